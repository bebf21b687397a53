//! Entries as this server reads them: whose they are depends on what is known here.

use super::SyncEngine;
#[cfg(test)]
use crate::broken::{self, Broken};
use crate::link;
use crate::mapping::{Known, Members, canonical_host};
use crate::plan::Remote;
use directory::DirectoryAccount;
use directory::feed::ChangedEntry;
use model::EntryUuid;
use store::{Association, LinkState};

impl SyncEngine {
    /// An entry of the feed.
    pub(super) fn remote(&self, entry: &ChangedEntry, members: Members) -> Remote {
        self.known(entry.uuid, |known| self.scope.remote(entry, members, known))
    }

    /// An entry that a look-up by address found.
    pub(super) fn remote_of_lookup(&self, account: &DirectoryAccount, members: Members) -> Remote {
        self.known(account.uuid, |known| {
            self.scope.remote_of_lookup(account, members, known)
        })
    }

    fn known(&self, uuid: EntryUuid, read: impl FnOnce(&Known<'_>) -> Remote) -> Remote {
        read(&Known {
            is_local: &|domain| self.is_local(domain),
            is_still_ours: &|host| self.is_still_ours(uuid, host),
        })
    }

    /// Whether an entry that says a former name of this server is still its own. Another server may have the name by
    /// now: so the entry must be linked here, and that name the last one that it was seen to say, or one under which a write
    /// to it was begun whose answer never came.
    pub(super) fn is_still_ours(&self, uuid: EntryUuid, former: &str) -> bool {
        let (store, connector) = (&self.local.store, &self.config.name);
        let link = match store.association_by_uuid(connector, uuid) {
            // Of an object that was erased, its tombstone is left.
            Ok(None) => store
                .tombstone(connector, uuid)
                .map(|found| found.map(|found| found.link)),
            link => link,
        };
        // What cannot be read is read again for the plan, which fails then.
        let Ok(Some(link)) = link else { return false };
        #[cfg(test)]
        match () {
            () if broken::is(Broken::FormerForgotten) => return false,
            () if broken::is(Broken::FormerForEver) => return true,
            () => {}
        }
        match link::home(&link.data.digests) {
            Some(shown) if shown == former => true,
            Some(_) => self.was_written_as(&link, former),
            // Linked before names were noted: under the only one that there was.
            None => matches!(
                link.data.state,
                LinkState::Linked | LinkState::AwaitingMail { .. }
            ),
        }
    }

    /// Whether a write to the entry of this link, begun under that name, has no end yet.
    fn was_written_as(&self, link: &Association, name: &str) -> bool {
        #[cfg(test)]
        if broken::is(Broken::SentForgotten) {
            return false;
        }
        let intent = self.local.store.intent(&self.config.name, link.local);
        let Ok(Some(intent)) = intent else { return false };
        let hosts = &intent.precondition.hosts;
        intent.remote == Some(link.remote) && hosts.iter().any(|host| canonical_host(host) == name)
    }
}
