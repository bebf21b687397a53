//! Members of a group that are no entries: dead names, or names that slapd is about to rewrite.
//!
//! slapd's refint overlay renames and removes members some time after the change of the member itself, without a message
//! and without a new version of the group. A group that was read in between names nobody by the old DN. So such a
//! group is read again, soon and then ever later; where the same names lead nowhere for two minutes they are dead.

use bytes::Bytes;
use model::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// The waits double: 250 ms, 500 ms and so on up to 64 s.
const ATTEMPTS: u8 = 9;
const KEY: &str = "members.unresolved";

/// The names of one group that lead nowhere, and how often they were looked up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unresolved {
    names: [u8; 16],
    attempts: u8,
}

/// What stands for these names. None when there are none.
pub(crate) fn digest(names: &[String]) -> Option<[u8; 16]> {
    if names.is_empty() {
        return None;
    }
    let mut sorted: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    sorted.sort_unstable();
    let mut hash = blake3::Hasher::new_derive_key("homing members that lead nowhere 1");
    for name in sorted {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    let mut digest = [0; 16];
    hash.finalize_xof().fill(&mut digest);
    Some(digest)
}

impl Unresolved {
    /// What is to be noted of these names now, and when they are looked up again; `known` and `next` are what was
    /// noted before.
    pub(crate) fn after(
        known: Option<Self>,
        next: Option<Timestamp>,
        names: [u8; 16],
        now: Timestamp,
    ) -> (Self, Option<Timestamp>) {
        let attempts = match (known.filter(|known| known.names == names), next) {
            // Read for another reason, before its time.
            (Some(known), Some(next)) if next > now => {
                // The clock may have been set back meanwhile.
                return (known, Some(next.min(now.after(wait(known.attempts)))));
            }
            (Some(known), Some(_)) => known.attempts.saturating_add(1),
            (Some(known), None) => known.attempts,
            (None, _) => 0,
        };
        let next = (attempts < ATTEMPTS).then(|| now.after(wait(attempts)));
        (Self { names, attempts }, next)
    }

    /// What is kept beside the base of the link.
    pub(crate) fn write(self, digests: &mut BTreeMap<String, Bytes>) {
        let text = [self.names.as_slice(), &[self.attempts]].concat();
        digests.insert(KEY.to_owned(), Bytes::from(text));
    }

    /// Reads it back. What does not read was never noted.
    pub(crate) fn read(digests: &BTreeMap<String, Bytes>) -> Option<Self> {
        let (attempts, names) = digests.get(KEY)?.split_last()?;
        Some(Self {
            names: names.try_into().ok()?,
            attempts: *attempts,
        })
    }
}

fn wait(attempts: u8) -> Duration {
    FIRST.saturating_mul(1 << attempts.min(ATTEMPTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_nowhere_are_looked_up_ever_later_and_then_no_more() {
        let names = digest(&["uid=b".to_owned(), "uid=A".to_owned()]).expect("some");
        assert_eq!(digest(&["UID=a".to_owned(), "uid=b".to_owned()]), Some(names));
        assert_eq!(digest(&[]), None);
        let mut now = Timestamp::from_millis(1_000_000);
        let (mut noted, mut next) = Unresolved::after(None, None, names, now);
        let (mut looks, begun) = (0, now);
        while let Some(due) = next {
            // A look for another reason changes nothing.
            assert_eq!(Unresolved::after(Some(noted), next, names, now), (noted, next));
            now = due;
            // Nor does a restart.
            let mut digests = BTreeMap::new();
            noted.write(&mut digests);
            (noted, next) = Unresolved::after(Unresolved::read(&digests), next, names, now);
            looks += 1;
        }
        assert_eq!((looks, now.since(begun)), (9, Duration::from_millis(127_750)));
        assert_eq!(
            Unresolved::after(Some(noted), None, names, now),
            (noted, None),
            "dead"
        );
        let others = digest(&["uid=c".to_owned()]).expect("some");
        let (_, next) = Unresolved::after(Some(noted), None, others, now);
        assert_eq!(next, Some(now.after(FIRST)), "other names begin anew");
        let back = Timestamp::from_millis(5);
        let (_, next) = Unresolved::after(Some(Unresolved { names, attempts: 1 }), Some(now), names, back);
        assert_eq!(next, Some(back.after(FIRST * 2)), "the clock was set back");
    }

    #[test]
    fn what_is_damaged_was_never_noted() {
        for text in [b"".as_slice(), b"short", &[0; 40]] {
            let digests = BTreeMap::from([(KEY.to_owned(), Bytes::from_static(text))]);
            assert_eq!(Unresolved::read(&digests), None, "{text:?}");
        }
    }
}
