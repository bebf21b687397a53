//! What is true of all links of a connector together, kept beside them: how many there are, the newest version of each
//! writing server, and whose state ends when. A start reads this in place of every link.
//!
//! The sums change in the same commit as the links, on the thread that commits. They are a cache of a fold over the
//! links: a row that is missing or damaged reads as none, and [`Store::count_links`] makes it anew.

use super::change::prefix;
use super::rows::{checksum, read_link};
use super::types::{Association, LinkData, LinkState};
use crate::codec::{Decoded, Reader, Writer};
use crate::commit::{Batch, Class, Op};
use crate::engine::{PAGE_ROWS, Snapshot, Space, after_key, after_prefix};
use crate::{LocalId, Store, StoreError, keys};
use bytes::Bytes;
use model::{EntryUuid, Timestamp};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// How often a count begins anew because links changed meanwhile.
const TRIES: usize = 3;

/// The digest of a link under which its writer keeps when the state of the entry ends by itself: milliseconds,
/// big-endian. The store keeps an index of it.
pub const STATE_UNTIL: &str = "state-until";

/// What the links of a connector come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkSums {
    /// All of them.
    pub links: u64,
    /// Those whose object is in use.
    pub living: u64,
    /// The newest version of each writing server, among those that are linked. None: the link that had one of them
    /// went, and only [`Store::count_links`] tells which is the newest now.
    pub newest: Option<Vec<String>>,
}

/// The stored form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// False until the links were counted.
    known: bool,
    /// Counts the changes, so that a count of all links knows whether it was overtaken.
    changes: u64,
    links: u64,
    living: u64,
    /// By writer: the newest version, and whether a link is known to have it.
    newest: BTreeMap<String, (String, bool)>,
}

/// One change of the sums, carried out in commit order.
#[derive(Debug, Clone)]
pub(crate) enum Tally {
    /// A link came, went or changed.
    Link {
        before: Option<Mark>,
        after: Option<Mark>,
    },
    /// Links came, all of them new.
    Came(Came),
    /// Everything was counted when the row had seen so many changes.
    Counted { changes: u64, row: Box<Row> },
}

/// What links that come in one batch mean together: the same as each of them alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Came {
    links: u64,
    living: u64,
    /// By writer.
    newest: BTreeMap<String, String>,
}

impl Came {
    fn note(&mut self, writer: &str, version: &str) {
        match self.newest.get_mut(writer) {
            Some(newest) if newest.as_str() >= version => {}
            Some(newest) => version.clone_into(newest),
            None => drop(self.newest.insert(writer.to_owned(), version.to_owned())),
        }
    }

    /// Takes another link.
    pub(crate) fn add(&mut self, mark: &Mark) {
        self.links += 1;
        self.living += u64::from(mark.living);
        if let Some((writer, version)) = mark.version.as_deref().and_then(writer_of) {
            self.note(writer, version);
        }
    }
}

/// What the sums take from a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    living: bool,
    /// Only of a link that stands: the entry of another one may be of a directory that is no more.
    version: Option<String>,
}

impl Mark {
    pub(crate) fn of(data: &LinkData) -> Self {
        let stands = data.state == LinkState::Linked;
        Self {
            living: data.state.is_living(),
            version: data.version.clone().filter(|_| stands),
        }
    }

    /// The same of a link that nobody needs any more.
    pub(crate) fn of_last(data: LinkData) -> Self {
        let stands = data.state == LinkState::Linked;
        Self {
            living: data.state.is_living(),
            version: data.version.filter(|_| stands),
        }
    }
}

impl Row {
    /// What does not read is a row that knows nothing.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        read(bytes).unwrap_or_default()
    }

    pub(crate) fn write(&self) -> Bytes {
        let mut w = Writer::new(VERSION);
        w.flag(self.known)
            .num(self.changes)
            .num(self.links)
            .num(self.living)
            .list(self.newest.iter(), |w, (writer, (version, sure))| {
                w.text(writer).text(version).flag(*sure);
            });
        let body = w.done();
        let mut whole = body.to_vec();
        whole.extend_from_slice(&checksum(&body));
        whole.into()
    }

    /// Whether the change still fits.
    pub(crate) fn takes(&self, tally: &Tally) -> bool {
        match tally {
            Tally::Link { .. } | Tally::Came(_) => true,
            Tally::Counted { changes, .. } => self.changes == *changes,
        }
    }

    pub(crate) fn apply(&mut self, tally: &Tally) {
        let changes = self.changes.wrapping_add(1);
        match tally {
            Tally::Link { before, after } => self.link(before.as_ref(), after.as_ref()),
            Tally::Came(came) => self.came(came),
            Tally::Counted { row, .. } => self.clone_from(row),
        }
        self.changes = changes;
    }

    fn link(&mut self, before: Option<&Mark>, after: Option<&Mark>) {
        if !self.known {
            return;
        }
        let count = |sum: u64, was: bool, is: bool| match (was, is) {
            (false, true) => sum.checked_add(1),
            (true, false) => sum.checked_sub(1),
            _ => Some(sum),
        };
        let lives = |mark: Option<&Mark>| mark.is_some_and(|mark| mark.living);
        let links = count(self.links, before.is_some(), after.is_some());
        let living = count(self.living, lives(before), lives(after));
        let (Some(links), Some(living)) = (links, living) else {
            // Fewer than none: count again.
            self.known = false;
            return;
        };
        (self.links, self.living) = (links, living);
        let was = before.and_then(|mark| mark.version.as_deref());
        let is = after.and_then(|mark| mark.version.as_deref());
        if was == is {
            return;
        }
        if let Some((writer, was)) = was.and_then(writer_of)
            && let Some((newest, sure)) = self.newest.get_mut(writer)
            && newest == was
        {
            // Another link may have the same, or one that is older is the newest now.
            *sure = false;
        }
        if let Some((writer, is)) = is.and_then(writer_of) {
            self.note(writer, is);
        }
    }

    fn came(&mut self, came: &Came) {
        if !self.known {
            return;
        }
        self.links = self.links.saturating_add(came.links);
        self.living = self.living.saturating_add(came.living);
        for (writer, version) in &came.newest {
            self.note(writer, version);
        }
    }

    fn note(&mut self, writer: &str, version: &str) {
        match self.newest.get_mut(writer) {
            Some((newest, _)) if newest.as_str() > version => {}
            Some((newest, sure)) => {
                version.clone_into(newest);
                *sure = true;
            }
            None => drop(self.newest.insert(writer.to_owned(), (version.to_owned(), true))),
        }
    }

    /// A link in a count of all; `counts` says whether its version means anything.
    fn count(&mut self, data: &LinkData, counts: &impl Fn(&str) -> bool) {
        let mark = Mark::of(data);
        self.links += 1;
        self.living += u64::from(mark.living);
        if let Some(version) = mark.version.filter(|version| counts(version))
            && let Some((writer, version)) = writer_of(&version)
        {
            self.note(writer, version);
        }
    }

    fn sums(&self) -> Option<LinkSums> {
        let newest = self.newest.values();
        self.known.then(|| LinkSums {
            links: self.links,
            living: self.living,
            newest: newest
                .map(|(version, sure)| sure.then(|| version.clone()))
                .collect(),
        })
    }
}

/// The writing server in an `entryCSN`: time, count, server, operation, whose text order is their order. Other versions
/// (Active Directory's) have no order over servers.
fn writer_of(version: &str) -> Option<(&str, &str)> {
    // Octet by octet: a search for three marks by the library costs as much as ten such texts.
    let mut parts = version.as_bytes().split(|byte| *byte == b'#');
    let writer = std::str::from_utf8(parts.nth(2)?).ok()?;
    Some((writer, version))
}

fn read(bytes: &[u8]) -> Decoded<Row> {
    let (body, sum) = bytes
        .len()
        .checked_sub(16)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(corrupt)?;
    if checksum(body) != sum {
        return Err(corrupt());
    }
    let mut r = Reader::new(body, "sums of links", VERSION)?;
    let row = Row {
        known: r.flag()?,
        changes: r.num()?,
        links: r.num()?,
        living: r.num()?,
        newest: r
            .list(|r| Ok((r.text()?, (r.text()?, r.flag()?))))?
            .into_iter()
            .collect(),
    };
    r.end()?;
    Ok(row)
}

fn corrupt() -> StoreError {
    StoreError::Corrupt {
        account: None,
        what: "sums of links".into(),
    }
}

/// The index of ends: time, entry.
fn end_key(connector: &str, end: Timestamp, remote: EntryUuid) -> Vec<u8> {
    let mut key = prefix(b'F', connector);
    key.extend_from_slice(&end.as_millis().to_be_bytes());
    key.extend_from_slice(remote.as_bytes());
    key
}

fn end_of(data: &LinkData) -> Option<Timestamp> {
    let millis = data.digests.get(STATE_UNTIL)?.as_ref().try_into().ok()?;
    Some(Timestamp::from_millis(u64::from_be_bytes(millis)))
}

/// Adds what the change of a link means for the sums and the index of ends.
pub(super) fn stage(
    batch: &mut Batch,
    (connector, remote): (&str, EntryUuid),
    before: Option<&LinkData>,
    after: Option<&LinkData>,
) {
    let (was, is) = (before.and_then(end_of), after.and_then(end_of));
    if was != is {
        if let Some(was) = was {
            batch.delete(Space::Directory, end_key(connector, was, remote));
        }
        if let Some(is) = is {
            let here = Bytes::from_static(&[1]);
            batch.put(Space::Directory, end_key(connector, is, remote), here);
        }
    }
    let (before, after) = (before.map(Mark::of), after.map(Mark::of));
    if before != after {
        let tally = Tally::Link { before, after };
        batch.ops.push(Op::Tally(Box::new((connector.to_owned(), tally))));
    }
}

/// The same for the link of an object that comes with it. What it means for the sums is added up with the others ([`Came`]).
pub(super) fn stage_arrival(batch: &mut Batch, link: &Association) {
    if let Some(end) = end_of(&link.data) {
        let key = end_key(&link.connector, end, link.remote);
        batch.put(Space::Directory, key, Bytes::from_static(&[1]));
    }
}

impl Store {
    /// The sums of a connector's links. None: they are not known, and [`Store::count_links`] finds them.
    pub fn link_sums(&self, connector: &str) -> Result<Option<LinkSums>, StoreError> {
        let row = self.engine().get(Space::Directory, &keys::sums(connector))?;
        Ok(row.and_then(|row| Row::read(&row).sums()))
    }

    /// Reads every link of a connector and keeps what they come to. `counts` says whether a version means anything:
    /// a directory that was set back may have lost it.
    pub async fn count_links(
        &self,
        connector: &str,
        counts: impl Fn(&str) -> bool,
    ) -> Result<LinkSums, StoreError> {
        super::check_name(connector)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let (batch, row) = self.counted(connector, &counts)?;
            match self.commit(batch).await {
                // Links changed meanwhile, so that what was counted is stored by nobody; but it is true of that moment.
                Err(StoreError::Conflict) if tries < TRIES => {}
                Ok(()) | Err(StoreError::Conflict) => return row.sums().ok_or_else(corrupt),
                Err(error) => return Err(error),
            }
        }
    }

    /// The count of one moment, as the batch that stores it.
    fn counted(&self, connector: &str, counts: &impl Fn(&str) -> bool) -> Result<(Batch, Row), StoreError> {
        let snapshot = self.engine().snapshot();
        let known = snapshot.get(Space::Directory, &keys::sums(connector))?;
        let known = known.map(|row| Row::read(&row)).unwrap_or_default();
        let mut row = Row {
            known: true,
            ..Row::default()
        };
        let mut batch = Batch::new(Class::Durable);
        each_link(&snapshot, connector, |link| {
            row.count(&link.data, counts);
            // The index of a store that had none before; from here on it is kept.
            if let (false, Some(end)) = (known.known, end_of(&link.data)) {
                let here = Bytes::from_static(&[1]);
                batch.put(Space::Directory, end_key(connector, end, link.remote), here);
            }
        })?;
        let tally = Tally::Counted {
            changes: known.changes,
            row: Box::new(row.clone()),
        };
        batch.ops.push(Op::Tally(Box::new((connector.to_owned(), tally))));
        Ok((batch, row))
    }

    /// Shows the UUID of every linked entry, in their order. Gives how many they are, and the number of links as it was
    /// kept, if it was: both of one moment.
    pub fn linked_entries(
        &self,
        connector: &str,
        mut each: impl FnMut(EntryUuid),
    ) -> Result<(u64, Option<u64>), StoreError> {
        let snapshot = self.engine().snapshot();
        let row = snapshot.get(Space::Directory, &keys::sums(connector))?;
        let kept = row.map(|row| Row::read(&row)).filter(|row| row.known);
        let prefix = keys::remotes_of(connector);
        let mut found = 0;
        pages(&snapshot, &prefix, &after_prefix(&prefix), |key, _| {
            each(uuid_at(key, prefix.len())?);
            found += 1;
            Ok(())
        })?;
        Ok((found, kept.map(|row| row.links)))
    }

    /// Entries whose state ends by itself up to then, with the moment.
    pub fn ends_until(
        &self,
        connector: &str,
        then: Timestamp,
    ) -> Result<Vec<(EntryUuid, Timestamp)>, StoreError> {
        let snapshot = self.engine().snapshot();
        let prefix = prefix(b'F', connector);
        let mut behind = prefix.clone();
        behind.extend_from_slice(&then.as_millis().saturating_add(1).to_be_bytes());
        let mut ends = Vec::new();
        pages(&snapshot, &prefix, &behind, |key, _| {
            let millis = key.get(prefix.len()..prefix.len() + 8).unwrap_or_default();
            let millis = millis.try_into().map_err(|_| corrupt())?;
            let end = Timestamp::from_millis(u64::from_be_bytes(millis));
            ends.push((uuid_at(key, prefix.len() + 8)?, end));
            Ok(())
        })?;
        Ok(ends)
    }
}

fn uuid_at(key: &[u8], at: usize) -> Result<EntryUuid, StoreError> {
    let bytes = key.get(at..).and_then(|bytes| bytes.try_into().ok());
    bytes.map(EntryUuid::from_bytes).ok_or_else(corrupt)
}

/// Every row of a range, a page at a time.
fn pages(
    snapshot: &Snapshot<'_>,
    from: &[u8],
    to: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = from.to_vec();
    loop {
        let page = snapshot.page(Space::Directory, &from, to, PAGE_ROWS)?;
        for (key, row) in &page.rows {
            each(key, row)?;
        }
        match page.rows.last() {
            Some((key, _)) if page.more => from = after_key(key),
            _ => return Ok(()),
        }
    }
}

/// Every link of a connector, in the order of the objects here, which is the order on the disk.
fn each_link(
    snapshot: &Snapshot<'_>,
    connector: &str,
    mut each: impl FnMut(&Association),
) -> Result<(), StoreError> {
    let prefix = keys::links();
    pages(snapshot, prefix, &after_prefix(prefix), |key, row| {
        // Tag, kind and number of the object, connector.
        let (local, name) = key
            .get(1..)
            .and_then(|key| key.split_at_checked(9))
            .ok_or_else(corrupt)?;
        if name == connector.as_bytes() {
            let local = LocalId::from_bytes(local).ok_or_else(corrupt)?;
            each(&read_link(connector, local, row)?);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
