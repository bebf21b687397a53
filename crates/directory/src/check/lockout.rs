//! Whether `lockout_budget` stays below what the directory bears, where we may read that.
//!
//! OpenLDAP's policies are entries of the class `pwdPolicy` (slapo-ppolicy(5)); Active Directory's default one stands
//! in the entry of the domain. Policies for single groups are not looked for there.

use super::Report;
use crate::config::{ConnectorConfig, ServerType};
use ldap::{Client, Entry, Filter, Scope, SearchRequest};

/// More policies than any server has.
const MAX: usize = 1_000;

/// When a directory locks an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    failures: u64,
    /// Seconds after which a failure is forgotten; none is never.
    window: Option<u64>,
}

pub(super) async fn look(client: &Client, root: &Entry, config: &ConnectorConfig, report: &mut Report) {
    let found = match config.server_type {
        ServerType::Openldap => policies(client, root).await,
        ServerType::ActiveDirectory => domain(client, root).await,
    };
    // The one that locks first counts: any account may be under it.
    let first = found.iter().filter_map(limit).min_by_key(|limit| limit.failures);
    match first {
        Some(limit) => compare(limit, config, report),
        None if config.lockout_budget == 0 => {}
        None if found.is_empty() => report.note(
            "lockout",
            "no password policy can be read, so nothing says whether lockout_budget is small enough",
            "let the service identity read the policy, or compare by hand",
        ),
        None => report.note(
            "lockout",
            "the directory locks nobody out, and lockout_budget makes users wait all the same",
            "remove lockout_budget, unless single accounts have a policy of their own",
        ),
    }
}

async fn policies(client: &Client, root: &Entry) -> Vec<Entry> {
    let mut found = Vec::new();
    for base in root.strings("namingContexts") {
        let filter = Filter::equals("objectClass", b"pwdPolicy".to_vec());
        let request = SearchRequest::new(base, Scope::Subtree, filter);
        found.extend(client.search_all(request, MAX).await.unwrap_or_default());
    }
    found
}

async fn domain(client: &Client, root: &Entry) -> Vec<Entry> {
    let Some(base) = root.first_str("defaultNamingContext") else {
        return Vec::new();
    };
    let request = SearchRequest::new(base, Scope::Base, Filter::Present("objectClass".to_owned()));
    let found = client.search_all(request, 1).await.unwrap_or_default();
    // What we may not read is not there.
    let readable = |entry: &Entry| entry.first_str("lockoutThreshold").is_some();
    found.into_iter().filter(readable).collect()
}

/// None for a policy that locks nobody.
fn limit(policy: &Entry) -> Option<Limit> {
    let number = |name: &str| policy.first_str(name)?.parse::<i64>().ok();
    if let Some(failures) = number("lockoutThreshold") {
        // Hundreds of nanoseconds, counted backwards; a domain always forgets in the end.
        let window = number("lockOutObservationWindow").map_or(0, i64::unsigned_abs) / 10_000_000;
        return counted(failures, Some(window));
    }
    let locks = policy
        .first_str("pwdLockout")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let interval = number("pwdFailureCountInterval").unwrap_or(0).unsigned_abs();
    let window = (interval > 0).then_some(interval);
    locks.then(|| counted(number("pwdMaxFailure")?, window))?
}

fn counted(failures: i64, window: Option<u64>) -> Option<Limit> {
    let failures = u64::try_from(failures).ok().filter(|failures| *failures > 0)?;
    Some(Limit { failures, window })
}

fn compare(limit: Limit, config: &ConnectorConfig, report: &mut Report) {
    let (budget, window) = (u64::from(config.lockout_budget), config.lockout_window);
    let most = limit.failures - 1;
    if budget == 0 {
        let text = format!(
            "the directory locks an account after {} failed binds, and nothing keeps guessers at ldap-bind from that",
            limit.failures
        );
        let remedy = format!("set lockout_budget = {most}, and lockout_window and front_ends");
        return report.note("lockout", text, remedy);
    }
    if budget > most {
        let text = format!(
            "lockout_budget is {budget}, and the directory locks an account after {} failed binds: a guesser can lock its owner out",
            limit.failures
        );
        return report.wrong("lockout", text, format!("set lockout_budget to {most} or less"));
    }
    match limit.window {
        Some(seconds) if window < seconds => {
            let text = format!(
                "lockout_window is {window}, and the directory counts failed binds for {seconds} seconds: two windows together can lock an account"
            );
            report.wrong(
                "lockout",
                text,
                format!("set lockout_window to {seconds} or more"),
            );
        }
        None => {
            let text = "the directory never forgets a failed bind (pwdFailureCountInterval is 0), so a patient guesser can lock an account";
            report.note(
                "lockout",
                text,
                "set pwdFailureCountInterval, and lockout_window to the same",
            );
        }
        Some(_) => report.good(
            "lockout",
            format!(
                "lockout_budget is below the {} failed binds that lock an account",
                limit.failures
            ),
        ),
    }
}
