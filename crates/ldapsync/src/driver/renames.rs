//! Lists are not read at a server that lacks a rename of ours.
//!
//! A list names its members by DN, and slapd's refint follows a rename in silence: the list's version stays. A server that
//! has not got so far shows the former name, which may be somebody else's by now (two who swapped theirs), and nothing of the
//! list itself says that it is old.

use super::worker::Worker;
use crate::engine::{Newest, Trouble};
use directory::EntryKind;
use directory::feed::{Fingerprint, Presence};
use store::{Association, LinkData};

impl Worker<'_> {
    /// An entry got another name by us, in this version.
    pub(super) fn note_rename(&mut self, link: &Association) {
        let LinkData { version, .. } = &link.data;
        if let Some(version) = version {
            self.renamed.note(version);
        }
    }

    /// Whether a list among these is to be looked at later.
    pub(super) async fn lists_are_old(&mut self, answers: &[Presence]) -> Result<bool, Trouble> {
        // One that says less than it has was looked at, entry by entry.
        if self.engine.is_forgetful()
            || !answers.iter().any(is_list)
            || !self.lacks_renames(self.server.as_ref())
        {
            return Ok(false);
        }
        // It was asked before they were written.
        let now = self.source.fingerprint().await?;
        let known = self.server.as_ref().into_iter();
        let another = known
            .flat_map(|known| known.context_csns.values())
            .any(|csn| now.lacks(csn));
        if another || self.lacks_renames(Some(&now)) {
            return Ok(true);
        }
        self.server = Some(now);
        self.renamed = Newest::default();
        Ok(false)
    }

    fn lacks_renames(&self, server: Option<&Fingerprint>) -> bool {
        server.is_some_and(|server| self.renamed.is_ahead_of(server))
    }
}

pub(super) fn is_list(shown: &Presence) -> bool {
    match shown {
        Presence::InScope(entry) => entry.kind == Some(EntryKind::Group),
        Presence::OutOfScope(_) | Presence::Gone => false,
    }
}
