//! What stands above the entries that are linked: read once, and kept by UUID.
//!
//! A branch that gets another name says nothing of the entries below it, whose links go on to name the former one. Who is
//! not found any more then would look hidden for ever, for nothing of that name can be read. By its UUID the branch is
//! found again, and what is missing below it is gone, provided that somebody can be seen below it there: rights to read
//! people do not always follow a branch that was moved.
//!
//! Only parents of what is read and linked, as many as there are, up to a bound. They are learned after the round that met
//! them, so nobody waits for it.

use super::SyncEngine;
use super::worker::{Worker, store_trouble};
use crate::engine::Trouble;
use directory::feed::{ChangeSource, Presence};
use model::EntryUuid;
use std::collections::{BTreeSet, HashSet};
use store::{Parent, Store, StoreError};

/// Most parents that are kept. Who has more below each its own loses nothing but the help.
const MOST: usize = 4_096;
/// How many are read after one round.
const AT_ONCE: usize = 64;
const PAGE: usize = 256;
/// The longest name that is kept.
const LONGEST: usize = 1_024;

/// Parents by their names as entries have them.
#[derive(Debug, Default)]
pub(super) struct Parents {
    /// Those that this process has read: what the rows say of the others may be old.
    known: HashSet<String>,
    /// Those that are to be read.
    wanted: BTreeSet<String>,
    /// The last one that was met, and whether it is to be read whatever is known: most entries have the same.
    last: Option<(String, Met)>,
    /// Everything that a comparison of everything has met.
    met: Option<HashSet<String>>,
}

/// How an entry was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    /// As it was.
    Before,
    /// New, or under a new name: who knows what its parent is now.
    Anew,
}

impl Parents {
    /// A comparison of everything begins, or something else does.
    pub(super) fn begin(&mut self, full: bool) {
        self.met = full.then(HashSet::new);
        self.last = None;
    }

    /// An entry that is linked, or is about to be.
    pub(super) fn note(&mut self, dn: &str, met: Met) {
        let Some(parent) = parent_of(dn).filter(|parent| parent.len() <= LONGEST) else {
            return;
        };
        if let Some((last, how)) = &self.last
            && last == parent
            && *how >= met
        {
            return;
        }
        self.last = Some((parent.to_owned(), met));
        if let Some(all) = self.met.as_mut().filter(|all| all.len() < MOST) {
            all.insert(parent.to_owned());
        }
        let known = self.known.contains(parent);
        let room = self.wanted.len() < MOST && (known || self.known.len() < MOST);
        if room && (!known || met == Met::Anew) {
            self.wanted.insert(parent.to_owned());
        }
    }
}

impl Worker<'_> {
    /// Reads the parents that this round has met, some at a time, and forgets those that nothing is below any more.
    pub(super) async fn learn_parents(&mut self) {
        let met = self.parents.met.take();
        self.parents.last = None;
        if !self.engine.is_well() {
            return;
        }
        if let Err(trouble) = self.try_to_learn(met).await {
            // The next round that meets them asks again.
            tracing::debug!(connector = %self.parts.config.name, %trouble, "what stands above the entries is not known");
        }
    }

    async fn try_to_learn(&mut self, met: Option<HashSet<String>>) -> Result<(), Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        for _ in 0..AT_ONCE {
            let Some(dn) = self.parents.wanted.first().cloned() else {
                break;
            };
            let uuid = self.source.identity(&dn).await?;
            let key = ldap::Dn::parse(&dn).ok().map(|dn| dn.key());
            if let Some(key) = key {
                let known = store.parent(name, &key).map_err(store_trouble)?;
                // What cannot be read now is not what it was known for.
                let now = uuid.map(|uuid| Parent { dn: dn.clone(), uuid });
                if known != now {
                    let row = [(key, now)];
                    store.note_parents(name, &row).await.map_err(store_trouble)?;
                }
            }
            self.parents.wanted.remove(&dn);
            if uuid.is_some() {
                self.parents.known.insert(dn);
            }
        }
        // Whoever is set aside for a parent that is hidden, or held, needs what is known of it.
        let met = met.filter(|met| met.len() < MOST && self.engine.hidden().is_empty());
        let met = met.filter(|_| !self.engine.holds_anything());
        let mut rows = Vec::new();
        if let Some(met) = met {
            for (key, parent) in all(store, name).map_err(store_trouble)? {
                if !met.contains(&parent.dn) {
                    self.parents.known.remove(&parent.dn);
                    rows.push((key, None));
                }
            }
        }
        store.note_parents(name, &rows).await.map_err(store_trouble)
    }
}

/// Whether the entry that had this name when it was read is somewhere to be seen, with somebody below it: a branch that
/// was moved may have left the rights to read its people behind.
pub(super) async fn is_elsewhere(
    parts: &SyncEngine,
    source: &mut dyn ChangeSource,
    dn: &ldap::Dn,
) -> Result<bool, Trouble> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let Some(parent) = store.parent(name, &dn.key()).map_err(store_trouble)? else {
        return Ok(false);
    };
    let uuids: [EntryUuid; 1] = [parent.uuid];
    let now = match source.verify(&uuids).await?.pop() {
        Some(Presence::InScope(entry)) => entry.entry.dn,
        Some(Presence::OutOfScope(entry)) => entry.dn,
        Some(Presence::Gone) | None => return Ok(false),
    };
    Ok(source.shows_below(&now).await?)
}

fn all(store: &Store, connector: &str) -> Result<Vec<(Vec<u8>, Parent)>, StoreError> {
    let mut found: Vec<(Vec<u8>, Parent)> = Vec::new();
    while found.len() < 2 * MOST {
        let after = found.last().map(|(key, _)| key.as_slice());
        let page = store.list_parents(connector, after, PAGE)?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    Ok(found)
}

/// What follows the first RDN (RFC 4514 section 2.1), as it is written.
fn parent_of(dn: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, byte) in dn.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => return dn.get(at + 1..).map(str::trim_start),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_read() {
        let mut parents = Parents::default();
        parents.known.insert("ou=known,dc=test".to_owned());
        parents.begin(true);
        for (dn, met) in [
            ("uid=a,ou=known,dc=test", Met::Before),
            ("uid=b,ou=new,dc=test", Met::Before),
            ("cn=Smith\\, Al, ou=other,dc=test", Met::Before),
            ("dc=test", Met::Anew),
        ] {
            parents.note(dn, met);
        }
        let wanted = |parents: &Parents| parents.wanted.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(wanted(&parents), "ou=new,dc=test ou=other,dc=test");
        // Somebody new below it: it may have been made anew itself.
        parents.note("uid=c,ou=known,dc=test", Met::Anew);
        assert_eq!(
            wanted(&parents),
            "ou=known,dc=test ou=new,dc=test ou=other,dc=test"
        );
        assert_eq!(parents.met.as_ref().map(HashSet::len), Some(3));
        for number in 0..=MOST {
            parents.note(&format!("uid=d,ou={number},dc=test"), Met::Before);
        }
        assert_eq!(parents.wanted.len(), MOST);
    }
}
