//! `homing directory test-login`.

use super::lookup::{answer_json, answer_text, attempt_json, attempt_text};
use super::{Which, connector, problems, runtime, section};
use crate::cli::{Failure, Global, output};
use crate::config::{AuthMethod, Config};
use directory::{Attempt, ConnectorConfig, LdapAuthenticator, LdapMethod, Lookup};
use model::{
    AuthOutcome, AuthRequest, Authenticator, Credential, Peer, Protocol, RejectReason, Secret, TlsState,
    TraceId,
};
use password::VerifyPool;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    which: Which,
    /// What a user types as login: an address or a bare name.
    login: String,
    /// How the password is checked; without it, as [[domain]] or [[user_map]] says for this connector.
    #[arg(long, value_enum)]
    method: Option<Method>,
    /// Read the password from standard input, also on a terminal. Without it a terminal is asked, and a pipe is read.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// Read the password attribute and compare here.
    LdapPassword,
    /// Bind as the entry.
    LdapBind,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::LdapPassword => "ldap-password",
            Self::LdapBind => "ldap-bind",
        }
    }

    fn ldap(self) -> LdapMethod {
        match self {
            Self::LdapPassword => LdapMethod::Password,
            Self::LdapBind => LdapMethod::Bind,
        }
    }
}

pub(super) fn run(global: &Global, args: &LoginArgs) -> Result<(), Failure> {
    if args.login.is_empty() {
        return Err(Failure::Usage("the login is empty".to_owned()));
    }
    let config = crate::config::load(global.config.as_deref())?;
    let section = section(&config, args.which.connector.as_deref())?;
    let method = args
        .method
        .unwrap_or_else(|| configured_method(&config, &section, &args.login));
    let password = read_password(args)?;
    let name = section.name.clone();
    let connector = connector(section)?;
    let pool = VerifyPool::new(NonZeroUsize::MIN, 1);
    let clock = Arc::new(model::SystemClock::new());
    let authenticator = LdapAuthenticator::new(Arc::clone(&connector), method.ldap(), pool, clock)
        .map_err(|problem| problems(&name, &[problem]))?;
    let request = request(&args.login, password);
    // One runtime for both: the connection of the first serves the second.
    let (lookup, attempts, outcome) = runtime()?.block_on(async {
        let (lookup, attempts) = connector.explain_login(&args.login).await;
        (lookup, attempts, authenticator.check(&request).await)
    });
    let pattern = connector.login_pattern();
    show(global, method, &pattern, &lookup, &attempts, &outcome);
    match outcome {
        AuthOutcome::Accepted(_) => Ok(()),
        AuthOutcome::Rejected(_) | AuthOutcome::NoEntry => Err(Failure::Refused("not accepted".to_owned())),
        AuthOutcome::Unavailable(_) | AuthOutcome::Throttled(_) => {
            Err(Failure::Temporary("nobody can say now".to_owned()))
        }
    }
}

fn show(
    global: &Global,
    method: Method,
    pattern: &str,
    lookup: &Lookup,
    attempts: &[Attempt],
    outcome: &AuthOutcome,
) {
    let (word, why) = words(outcome);
    let value = json!({
        "method": method.name(),
        "pattern": pattern,
        "searches": attempts.iter().map(attempt_json).collect::<Vec<_>>(),
        "entry": answer_json(lookup),
        "outcome": word,
        "why": why,
    });
    output::either(global.json, &value, |_| {
        let mut lines = vec![
            format!("method    {}", method.name()),
            format!("pattern   {pattern}"),
        ];
        lines.extend(attempts.iter().map(attempt_text));
        lines.push(answer_text(lookup));
        lines.push(format!("=> {word}: {why}"));
        lines.join("\n")
    });
}

/// The outcome in one word, and why.
fn words(outcome: &AuthOutcome) -> (&'static str, String) {
    match outcome {
        AuthOutcome::Accepted(who) => ("accepted", format!("logged in as {}", who.address)),
        AuthOutcome::NoEntry => ("no entry", "the directory has nobody with this login".to_owned()),
        AuthOutcome::Unavailable(why) => ("unavailable", why.to_string()),
        AuthOutcome::Throttled(why) => ("not checked", why.to_string()),
        AuthOutcome::Rejected(reason) => {
            let why = match reason {
                RejectReason::WrongCredential => "the password is not the entry's",
                RejectReason::EmptyPassword => "an empty password is never tried",
                RejectReason::NoPassword => "the entry has no password; set one with ldappasswd",
                RejectReason::Disabled => "the entry is disabled; see attributes.enabled",
                RejectReason::Locked => {
                    "the directory has locked the account; it or its administrator unlocks it"
                }
                RejectReason::Expired => "the account or its password has expired, or must be changed first",
                RejectReason::NotAllowed => "not at this time, or not in this way",
            };
            ("rejected", why.to_owned())
        }
    }
}

/// The method that the login's domain uses, else the one of a user map of this connector, else `ldap-bind`.
fn configured_method(config: &Config, section: &ConnectorConfig, login: &str) -> Method {
    let typed = login.rsplit_once('@').map(|(_, domain)| domain.to_owned());
    let domain = typed.or_else(|| section.default_domain.as_ref().map(ToString::to_string));
    let of_domain = config
        .domain
        .iter()
        .find(|known| {
            domain
                .as_ref()
                .is_some_and(|name| known.name.to_string().eq_ignore_ascii_case(name))
        })
        .and_then(|known| {
            known.auth.iter().find_map(|method| match method {
                AuthMethod::LdapPassword => Some(Method::LdapPassword),
                AuthMethod::LdapBind => Some(Method::LdapBind),
                AuthMethod::Local => None,
            })
        });
    let of_map = || {
        let mut maps = config.user_map.iter();
        let map = maps.find(|map| map.connector.as_deref() == Some(section.name.as_str()))?;
        (map.kind == directory::config::MapKind::LdapPassword).then_some(Method::LdapPassword)
    };
    of_domain.or_else(of_map).unwrap_or(Method::LdapBind)
}

/// From a prompt or, in a script, from standard input; never from the command line, where everybody reads it.
fn read_password(args: &LoginArgs) -> Result<Secret, Failure> {
    let text = if !args.password_stdin && std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ").map_err(|error| Failure::Usage(error.to_string()))?
    } else {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(4096).read_to_string(&mut text);
        read.map_err(|error| {
            Failure::Usage(format!("cannot read the password from standard input: {error}"))
        })?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    };
    Ok(Secret::from(text))
}

fn request(login: &str, password: Secret) -> AuthRequest {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    AuthRequest {
        login: login.to_owned(),
        authzid: None,
        credential: Credential::Password(password),
        protocol: Protocol::Imap,
        peer: Peer {
            client: here,
            local: here,
            tls: TlsState::Plain,
            trace: TraceId::new(0),
        },
    }
}
