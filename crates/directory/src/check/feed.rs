//! Does the server tell of changes (RFC 4533)?

use super::configuration::Configuration;
use super::{Report, server};
use crate::patterns::Patterns;
use bytes::Bytes;
use ldap::control::{SyncDone, SyncMode, SyncRequest};
use ldap::{Client, LdapError, ResultCode};

const OVERLAY: &str = "add the overlay to the database: olcOverlay=syncprov (slapd.conf: overlay syncprov, \
                       syncprov-checkpoint 100 30)";

pub(super) async fn look(client: &Client, patterns: &Patterns, found: &Configuration, report: &mut Report) {
    match found.overlay("syncprov") {
        Some(None) => {
            report.wrong(
                "syncprov",
                "the overlay is not there: no change is noticed",
                OVERLAY,
            );
            return;
        }
        Some(Some(overlay)) => {
            report.good("syncprov", "the overlay is there");
            session_log(overlay.first_str("olcSpSessionlog"), report);
        }
        None => {
            let remedy = "let the service identity read cn=config to see it; without one, each deletion costs a \
                          list of all entries";
            report.note(
                "sessionlog",
                "cn=config cannot be read, so it is not known",
                remedy,
            );
        }
    }
    let cookie = match poll(client, patterns, None).await {
        Ok(cookie) => cookie,
        Err(error) if error.code() == Some(ResultCode::UnavailableCriticalExtension) => {
            report.wrong("syncprov", "the server does not do Content Sync here", OVERLAY);
            return;
        }
        // The bases were looked at before.
        Err(error) if server::no_such_object(&error) => return,
        Err(error) => {
            report.wrong("syncprov", format!("Content Sync: {error}"), server::RIGHTS);
            return;
        }
    };
    let has_csn = |cookie: &Bytes| cookie.windows(4).any(|part| part == b"csn=");
    let Some(cookie) = cookie.filter(has_csn) else {
        let remedy = "the database has no contextCSN: set serverID, restart slapd, and change any entry once";
        report.wrong(
            "cookie",
            "the server gives no cookie, so each poll reads everything",
            remedy,
        );
        return;
    };
    match poll(client, patterns, Some(cookie)).await {
        Ok(_) => report.good("cookie", "the server gives a cookie and takes it back"),
        Err(error) => {
            let remedy =
                "look into the server's log; a server behind a load balancer must always be the same one";
            report.wrong(
                "cookie",
                format!("the server does not take its own cookie: {error}"),
                remedy,
            );
        }
    }
}

fn session_log(size: Option<&str>, report: &mut Report) {
    match size {
        Some(size) => report.good("sessionlog", format!("the last {size} changes are remembered")),
        None => {
            let text = "none: after any deletion a poll lists all entries";
            let remedy =
                "set olcSpSessionlog (slapd.conf: syncprov-sessionlog) to about the number of entries";
            report.note("sessionlog", text, remedy);
        }
    }
}

/// One refreshOnly poll of the top entry alone: the cookie is the same as for all.
async fn poll(
    client: &Client,
    patterns: &Patterns,
    cookie: Option<Bytes>,
) -> Result<Option<Bytes>, LdapError> {
    let sync = SyncRequest {
        mode: SyncMode::RefreshOnly,
        cookie,
        reload_hint: false,
    };
    let request = server::base(patterns.top.to_string(), &["1.1"]).control(sync.to_control().critical());
    let mut stream = client.search(request).await?;
    while stream.next().await?.is_some() {}
    let controls = stream.outcome().map(|outcome| outcome.controls.as_slice());
    let done = SyncDone::find(controls.unwrap_or_default())
        .map_err(|error| LdapError::Protocol(error.to_string()))?;
    Ok(done.and_then(|done| done.cookie))
}
