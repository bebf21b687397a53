//! The newest change that was seen of each writing server, beside the cookie.
//!
//! What we write ourselves is newer than the cookie until its echo comes, and a cookie may be lost. A replica that has
//! not got so far does not have all the entries that are linked here, and would be taken to have lost them.

use super::{Engine, Phase};
use directory::feed::Fingerprint;
use std::collections::BTreeMap;

/// The newest entryCSN of each writing server, by its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Newest(BTreeMap<String, String>);

impl Newest {
    /// An entry has this version. One without a server id (Active Directory's) says nothing of other servers.
    pub(crate) fn note(&mut self, csn: &str) {
        // 20260101000000.000000Z#000000#001#000000: time, count, server, operation; text order is their order.
        let Some(sid) = sid(csn) else { return };
        match self.0.get_mut(sid) {
            Some(known) if known.as_str() >= csn => {}
            Some(known) => csn.clone_into(known),
            None => drop(self.0.insert(sid.to_owned(), csn.to_owned())),
        }
    }

    /// Whether the server has not got so far. A writer that it does not report proves nothing: entries that were loaded
    /// from a file keep the ids of servers that no longer exist. What the cookie covers is the cookie's to say.
    pub(crate) fn is_ahead_of(&self, server: &Fingerprint) -> bool {
        self.0.values().any(|csn| server.lacks(csn))
    }

    /// What a server that is believed all the same does not have: the versions after its own and up to what was seen.
    pub(super) fn lost_by(&self, server: &Fingerprint) -> Vec<Void> {
        let lost = self.0.iter().filter_map(|(sid, csn)| {
            let own = server.context_csns.get(sid)?;
            (own < csn).then(|| (own.clone(), csn.clone()))
        });
        lost.collect()
    }
}

/// Versions of a directory that was set back, after the first and up to the second. Links may have them for a long time:
/// where their entries are gone and somebody has to decide, or came back with the same values. They do not count.
pub(crate) type Void = (String, String);

/// As many as are remembered.
const MOST_VOID: usize = 16;

/// The id of the server that wrote a version. A search for three marks by the library costs as much as ten such texts.
fn sid(csn: &str) -> Option<&str> {
    let mut parts = csn.as_bytes().split(|byte| *byte == b'#');
    std::str::from_utf8(parts.nth(2)?).ok()
}

/// Whether a version belongs to a past that is no more.
pub(crate) fn is_void(ranges: &[Void], csn: &str) -> bool {
    ranges
        .iter()
        .any(|(after, upto)| sid(upto) == sid(csn) && csn > after.as_str() && csn <= upto.as_str())
}

/// Adds ranges; the oldest go.
pub(super) fn add_void(ranges: &mut Vec<Void>, more: Vec<Void>) {
    for range in more {
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    let surplus = ranges.len().saturating_sub(MOST_VOID);
    ranges.drain(..surplus);
}

impl Engine {
    /// What the links say, at the start.
    pub(crate) fn believe_from(&mut self, newest: Newest) {
        self.newest = newest;
    }

    /// Versions that say nothing, as last committed.
    pub(crate) fn void(&self) -> &[Void] {
        &self.checkpoint.void
    }

    /// An entry that is linked, or was just written, has this version.
    pub(crate) fn note_version(&mut self, csn: &str) {
        self.newest.note(csn);
        if let Phase::InRound(round) = &mut self.phase
            && let Some(newest) = &mut round.anew
        {
            newest.note(csn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::EntryUuid;

    #[test]
    fn a_server_is_behind_what_was_seen_of_a_writer_that_it_knows() {
        let csn = |second: u8, sid: u8| format!("202601010000{second:02}.000000Z#000000#{sid:03}#000000");
        let mut newest = Newest::default();
        for (second, sid) in [(5, 1), (3, 1), (9, 7)] {
            newest.note(&csn(second, sid));
        }
        newest.note("4711");
        let server = |second| Fingerprint {
            suffix: "dc=test".to_owned(),
            suffix_uuid: EntryUuid::from_bytes([1; 16]),
            context_csns: BTreeMap::from([("001".to_owned(), csn(second, 1))]),
        };
        assert!(newest.is_ahead_of(&server(4)));
        assert!(!newest.is_ahead_of(&server(5)));
        assert!(!Newest::default().is_ahead_of(&server(1)));
        // Set back to the third second: what came after it until then is void, and nothing else is.
        let mut ranges = Vec::new();
        add_void(&mut ranges, newest.lost_by(&server(3)));
        add_void(&mut ranges, newest.lost_by(&server(5)));
        for (second, sid, void) in [
            (3, 1, false),
            (4, 1, true),
            (5, 1, true),
            (6, 1, false),
            (4, 7, false),
        ] {
            assert_eq!(is_void(&ranges, &csn(second, sid)), void, "{second} {sid}");
        }
        for second in 0..40 {
            add_void(&mut ranges, vec![(csn(second, 2), csn(59, 2))]);
        }
        assert_eq!(ranges.len(), MOST_VOID);
    }
}
