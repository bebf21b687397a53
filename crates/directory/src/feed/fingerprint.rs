//! Which directory a server holds, and how far it has come.

use super::cookie::{Cookie, csn_vector};
use model::EntryUuid;
use std::collections::BTreeMap;

/// Identity and progress of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The naming context that holds the connector's bases.
    pub suffix: String,
    /// The suffix entry's UUID: another one is another directory, whatever the names say.
    pub suffix_uuid: EntryUuid,
    /// The newest change number of each writing server, by server id (contextCSN); on Active Directory by the
    /// invocationId of each domain controller (highestCommittedUSN, replUpToDateVector).
    pub context_csns: BTreeMap<String, String>,
}

impl Fingerprint {
    pub(super) fn new<'a>(
        suffix: String,
        suffix_uuid: EntryUuid,
        context_csns: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            suffix,
            suffix_uuid,
            context_csns: csn_vector(context_csns),
        }
    }

    /// Whether the server has everything that the cookie covers. A server that is behind in any writer's
    /// changes shows objects as they were, and may lack what was added since.
    #[must_use]
    pub fn has_caught_up(&self, cookie: &Cookie) -> bool {
        cookie
            .csns()
            .iter()
            .all(|(sid, csn)| self.context_csns.get(sid).is_some_and(|own| own >= csn))
    }

    /// Whether the server has not got as far as this change. A writer that it does not report proves nothing: entries
    /// that were loaded from a file keep the ids of servers that no longer exist.
    #[must_use]
    pub fn lacks(&self, csn: &str) -> bool {
        let own = csn.split('#').nth(2).and_then(|sid| self.context_csns.get(sid));
        own.is_some_and(|own| own.as_str() < csn)
    }
}
