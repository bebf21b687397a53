//! Is it there, is the way secure, and does it know us?

use super::Report;
use crate::config::ConnectorConfig;
use crate::connector::identity::Identity;
use ldap::{Client, ConnectOptions, LdapError, LdapUri, ResultCode, StartTls};
use net::TlsError;

/// Connects and binds; none when either fails.
pub(super) async fn reach(
    config: &ConnectorConfig,
    identity: &Identity,
    options: &ConnectOptions,
    report: &mut Report,
) -> Option<Client> {
    let server = options.uri.to_string();
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error) => {
            unreachable(&server, &error, report);
            return None;
        }
    };
    report.answered();
    report.good("reachable", format!("{server} accepts connections"));
    security(config, options, report);
    match identity.bind(&client).await {
        Ok(()) => {
            known(&server, &client, identity, report).await;
            Some(client)
        }
        Err(error) => {
            refused(&server, &error, report);
            None
        }
    }
}

/// Whether the identity for writes is let in, where there is one of its own. Nothing is written.
pub(super) async fn writes(config: &ConnectorConfig, options: &ConnectOptions, report: &mut Report) {
    let Some(dn) = &config.write_bind_dn else {
        return;
    };
    let server = options.uri.to_string();
    let identity = match Identity::for_writes(config) {
        Ok(identity) => identity,
        Err(problem) => {
            let remedy = "name a file that this command can read, with the password of write_bind_dn";
            report.wrong(
                "write-bind",
                format!("{}: {}", problem.key, problem.message),
                remedy,
            );
            return;
        }
    };
    let bound = match Client::connect(options).await {
        Ok(client) => identity.bind(&client).await,
        Err(error) => Err(error),
    };
    match bound {
        Ok(()) => report.good("write-bind", format!("{server} lets {dn} in, which writes")),
        Err(error) => {
            let remedy = "write_bind_dn or its password is wrong: until it is right nothing that changes here reaches \
                          the directory; try: ldapwhoami -x -H URI -D WRITE_BIND_DN -W";
            let remedy = match error.code() {
                Some(ResultCode::InvalidCredentials) => remedy,
                _ => "look into the server's log",
            };
            report.wrong("write-bind", format!("{server}: {dn}: {error}"), remedy);
        }
    }
}

fn unreachable(server: &str, error: &LdapError, report: &mut Report) {
    let text = format!("{server}: {error}");
    match error {
        LdapError::Tls(TlsError::Certificate { .. }) => {
            report.answered();
            let remedy = "give the server a certificate for the name in uris, or name its authority in ca_file; \
                          openssl s_client shows what it sends";
            report.wrong("certificate", text, remedy);
        }
        LdapError::TimedOut | LdapError::Tls(TlsError::TimedOut) => {
            let remedy = "the server, or what stands before it, hangs: look whether it still works (is it stopped, out of \
                          disk or of file descriptors?), and whether this port speaks TLS";
            let text = format!("{server} does not answer in time: {error}");
            report.wrong("reachable", text, remedy);
        }
        LdapError::Tls(_) => {
            report.answered();
            let remedy = "let the server offer TLS on this port; ldaps:// has a port of its own, 636";
            report.wrong("tls", text, remedy);
        }
        LdapError::Result(_) => {
            report.answered();
            let remedy = "StartTLS was refused: give the server a certificate (TLSCertificateFile, \
                          olcTLSCertificateFile), or use ldaps:// or ldapi://";
            report.wrong("tls", text, remedy);
        }
        _ => {
            let remedy =
                "is the server running, are host and port in uris right, does a firewall stand between?";
            report.wrong("reachable", text, remedy);
        }
    }
}

fn security(config: &ConnectorConfig, options: &ConnectOptions, report: &mut Report) {
    let text = match (&options.uri, options.starttls) {
        (LdapUri::Ldaps { .. }, _) => "encrypted (ldaps), certificate verified",
        (LdapUri::Ldapi { .. }, _) => "a socket on this machine",
        (_, StartTls::Require) => "encrypted (StartTLS), certificate verified",
        (_, StartTls::Off) if options.uri.is_loopback() => "not encrypted, on this machine only",
        (_, StartTls::Off) => {
            let text = format!("{}: passwords cross the network in the clear", options.uri);
            let remedy = if config.allow_plaintext {
                "allow_plaintext permits it; use tls = \"starttls\" or ldaps://"
            } else {
                "use tls = \"starttls\" or ldaps://"
            };
            report.note("tls", text, remedy);
            return;
        }
    };
    report.good("tls", text);
}

async fn known(server: &str, client: &Client, identity: &Identity, report: &mut Report) {
    match (identity, client.whoami().await) {
        (Identity::Anonymous, _) => {
            let remedy =
                "set bind_dn and bind_password_file, unless the directory shows everything to everybody";
            report.note("bind", format!("{server}: anonymous"), remedy);
        }
        // RFC 4532: not every server tells.
        (_, Ok(who)) if !who.is_empty() => report.good("bind", format!("{server} knows us as {who}")),
        _ => report.good("bind", format!("{server} accepts our bind")),
    }
}

fn refused(server: &str, error: &LdapError, report: &mut Report) {
    let remedy = match error.code() {
        Some(ResultCode::InvalidCredentials) => {
            "bind_dn or its password is wrong; try: ldapwhoami -x -H URI -D BIND_DN -W"
        }
        Some(ResultCode::ConfidentialityRequired | ResultCode::StrongerAuthRequired) => {
            "the server takes passwords over TLS only: use tls = \"starttls\" or ldaps://"
        }
        Some(ResultCode::InappropriateAuthentication) => {
            "the entry of bind_dn has no password; give it a userPassword"
        }
        Some(ResultCode::AuthMethodNotSupported) => {
            "the server does not offer this way to bind; use bind_dn with a password"
        }
        _ => "look into the server's log",
    };
    report.wrong("bind", format!("{server}: {error}"), remedy);
}
