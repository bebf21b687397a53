//! What a reload leaves as it is, and says so.

use super::parts::Parts;
use crate::config::{Config, Difference, Source};
use admin::NeedsRestart;

/// Keys and sections that only a start reads, with the reason.
const AT_START: [(&[&str], &str); 8] = [
    (&["data_dir"], "the folder is in use"),
    (
        &["server_name"],
        "accounts and sessions go by the name of the start",
    ),
    (&["store"], "the store is open"),
    (&["holds_accounts"], "the store is opened at the start"),
    (&["trusted_front_end"], "only their key files are read again"),
    (&["admin"], "the admin socket is bound"),
    (&["password"], "the pool for password checks is running"),
    (&["log", "format"], "the log is open"),
];

/// Back-end services, which need the store.
const BACK_END: [&str; 4] = ["smtp", "lmtp", "imap", "pop3"];

/// Puts back what only a start can change, and tells of each difference from what the server started with.
pub(super) fn pin(config: &mut Config, before: &Config, start: &Source, parts: &Parts) -> Vec<NeedsRestart> {
    let differences = start.differences(&config.source);
    let mut found: Vec<NeedsRestart> = Vec::new();
    for (path, why) in AT_START {
        let keys = differences.iter().filter(|difference| difference.is_in(path));
        found.extend(keys.map(|difference| NeedsRestart {
            key: difference.key(),
            why: why.to_owned(),
        }));
        config.source.keep(path, &before.source);
    }
    config.data_dir.clone_from(&before.data_dir);
    config.server_name.clone_from(&before.server_name);
    config.store = before.store.clone();
    // What it came to at the start, not what the listeners of today would make of it.
    config.holds_accounts = Some(before.holds_accounts());
    config.trusted_front_end.clone_from(&before.trusted_front_end);
    config.admin = before.admin.clone();
    config.password = before.password.clone();
    config.log.format = before.log.format;
    if parts.store.is_none() {
        without_back_end(config, &mut found);
    }
    if !parts.sync.is_empty() {
        // Engines hold the connector that they were made with.
        let is_alias =
            |difference: &Difference| difference.is_in(&["domain"]) && difference.key().ends_with(".aliases");
        let connectors = differences
            .iter()
            .filter(|difference| difference.is_in(&["connector"]) || is_alias(difference));
        found.extend(connectors.map(|difference| NeedsRestart {
            key: difference.key(),
            why: "logins and user maps follow it now, synchronisation goes on as it was started".to_owned(),
        }));
    }
    found
}

/// A front end that is to hold accounts opens its store when it starts.
fn without_back_end(config: &mut Config, found: &mut Vec<NeedsRestart>) {
    let lists = [
        &mut config.smtp.listener,
        &mut config.lmtp.listener,
        &mut config.imap.listener,
        &mut config.pop3.listener,
    ];
    for (name, listeners) in BACK_END.into_iter().zip(lists) {
        if !listeners.is_empty() {
            listeners.clear();
            found.push(NeedsRestart {
                key: format!("{name}.listener"),
                why: "this server was started without a store, as a front end only".to_owned(),
            });
        }
    }
}
