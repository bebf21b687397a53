//! Reading both sides of an object for the engine, and looking entries up without a filter.

use super::equal::Written;
use super::parents::Met;
use super::renames::is_list;
use super::worker::{Worker, store_trouble};
use super::{SyncEngine, gone, rivals, sums};
use crate::engine::{Effect, Input, Notice, Trouble};
use crate::local::{Copies, Local, Seen, store_id};
use crate::mapping::Members;
use crate::plan::{Digest, Hash, LocalId, LocalState, Remote, RemotePassword, Situation};
use crate::unresolved::{self, Unresolved};
use directory::feed::{ChangedEntry, FeedError, Presence};
use directory::{AccountEventKind, AccountState, EntryKind, PasswordSeen};
use model::{Address, EntryUuid, Secret, Timestamp};
use store::{Elsewhere, LinkState, Shown};

/// Entries that are looked at to see whether anything can be seen at all.
const SAMPLE: usize = 5;

impl Worker<'_> {
    /// Reads both sides of an entry and hands them to the engine.
    pub(super) async fn examine(
        &mut self,
        entry: &ChangedEntry,
        members: Members,
        elsewhere: &mut Vec<(EntryUuid, Option<Elsewhere>)>,
    ) -> Result<(), Trouble> {
        let (remote, read) = self.read_entry(entry, members, elsewhere)?;
        let (origin, address) = (origin_of(entry), address_of(entry));
        self.examine_remote((entry.uuid, Some(read)), remote, origin, Some(address))
            .await
    }

    /// The same of an entry that was looked up: nobody is here, and nothing is noted of it. There is nothing to wait for,
    /// and a first synchronisation does nothing else; so this is no future.
    pub(super) fn meet(
        &mut self,
        entry: &ChangedEntry,
        elsewhere: &mut Vec<(EntryUuid, Option<Elsewhere>)>,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let (remote, read) = self.read_entry(entry, Members::default(), elsewhere)?;
        let (situation, mut seen) = Local::nobody(entry.uuid, remote, origin_of(entry));
        if self.engine.pushes() {
            seen.entry = Some(read.entry.clone());
        }
        (seen.hash, seen.unresolved) = (read.hash, read.unresolved);
        if matches!(situation.remote, Remote::Here(_)) {
            self.parents.note(&situation.name, Met::Anew);
        }
        {
            let mut fetched = self.parts.fetched.lock();
            if !fetched.is_empty() {
                fetched.remove(&entry.uuid);
            }
        }
        let effects = self.engine.met(&situation, address_of(entry), now);
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::SetAside(..)))
        {
            self.shown
                .insert(entry.uuid, shown(&situation.remote, Some(&entry.entry)));
        }
        self.comes(entry.uuid, seen, effects);
        Ok(())
    }

    /// What an entry says, as far as it takes no look at what is here of it.
    fn read_entry<'e>(
        &mut self,
        entry: &'e ChangedEntry,
        members: Members,
        elsewhere: &mut Vec<(EntryUuid, Option<Elsewhere>)>,
    ) -> Result<(Remote, Read<'e>), Trouble> {
        let parts = self.parts;
        let unresolved = self.unresolved(entry.uuid, &members)?;
        let mut remote = parts.remote(entry, members);
        let mut hash = None;
        if let (Remote::Here(remote), EntryKind::Account) =
            (&mut remote, entry.kind.unwrap_or(EntryKind::Group))
        {
            let seen = (parts.remotes.passwords)(entry.uuid, &entry.entry);
            remote.password = password(&seen, parts.local.copies);
            hash = seen.hash.filter(|_| parts.local.copies == Copies::Yes);
            self.tell_of_an_end(entry);
        }
        if let (Remote::Here(remote), Some((_, next))) = (&mut remote, unresolved) {
            remote.until = next;
        }
        if let Remote::Elsewhere { host, .. } = &remote {
            let now = Elsewhere { host: host.clone() };
            let known = parts
                .local
                .store
                .elsewhere(&parts.config.name, entry.uuid)
                .map_err(store_trouble)?;
            if known.as_ref() != Some(&now) {
                elsewhere.push((entry.uuid, Some(now)));
            }
        }
        if let Some(csn) = version(entry) {
            self.engine.note_version(csn);
        }
        let read = Read {
            entry: &entry.entry,
            hash,
            unresolved: unresolved.map(|(unresolved, _)| unresolved),
        };
        Ok((remote, read))
    }

    /// The names among a group's members that lead nowhere, and when they are looked up again.
    fn unresolved(
        &self,
        group: EntryUuid,
        members: &Members,
    ) -> Result<Option<(Unresolved, Option<Timestamp>)>, Trouble> {
        let Some(names) = unresolved::digest(&members.dangling) else {
            return Ok(None);
        };
        let (local, now) = (&self.parts.local, self.parts.now());
        let link = local.store.association_by_uuid(&local.connector, group);
        let digests = link.map_err(store_trouble)?.map(|link| link.data.digests);
        let digests = digests.unwrap_or_default();
        let (known, next) = (Unresolved::read(&digests), crate::link::until(&digests));
        let (noted, next) = Unresolved::after(known, next, names, now);
        tracing::debug!(
            connector = %self.parts.config.name, %group, names = ?members.dangling, again = next.is_some(),
            "members that are no entries"
        );
        Ok(Some((noted, next)))
    }

    /// What a write left behind: a server that has not got so far may lack the entry.
    pub(super) fn note_written(&mut self, object: Option<LocalId>, renamed: bool) {
        let Some(object) = object else { return };
        let local = &self.parts.local;
        match local.store.association(&local.connector, store_id(object)) {
            Ok(Some(link)) => {
                if let Some(csn) = &link.data.version {
                    self.engine.note_version(csn);
                }
                if renamed {
                    self.note_rename(&link);
                }
            }
            Ok(None) => {}
            Err(error) => self.step(Input::Failed(store_trouble(error))),
        }
    }

    /// No message tells that an account's time is over, so nobody else has told those who hold its sessions.
    fn tell_of_an_end(&self, entry: &ChangedEntry) {
        let Ok(account) = &entry.account else { return };
        let closed = matches!(account.state, AccountState::Disabled | AccountState::Expired);
        if closed && self.engine.is_over(entry.uuid, self.parts.now()) {
            let address = Some(account.address.clone());
            (self.parts.remotes.sessions.ended)(entry.uuid, address, AccountEventKind::Disabled);
        }
    }

    /// Whether the entry was seen before, and nobody here is linked to it: at a server that is behind its own word it may
    /// be somebody who is gone elsewhere.
    pub(super) fn is_old_news(&self, entry: &ChangedEntry) -> Result<bool, Trouble> {
        if !self.engine.is_old_news(version(entry)) {
            return Ok(false);
        }
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let link = store.association_by_uuid(name, entry.uuid);
        Ok(link.map_err(store_trouble)?.is_none())
    }

    /// What a message of the feed is, before anything is planned.
    pub(super) fn freshness(&mut self, entry: &ChangedEntry) -> Result<Freshness, Trouble> {
        if self.is_equal(entry, Written::Perhaps)? {
            return Ok(Freshness::Echo);
        }
        let (parts, uuid) = (self.parts, entry.uuid);
        if self.is_not_there_yet(uuid, Some(&entry.entry))? {
            return Ok(Freshness::Older);
        }
        let csn = version(entry);
        let compared = self.engine.compares_all() || self.doubtful || self.engine.is_aside(uuid);
        let (Some(csn), false) = (csn, compared) else {
            return Ok(Freshness::News);
        };
        let link = parts.local.store.association_by_uuid(&parts.config.name, uuid);
        let link = link
            .map_err(store_trouble)?
            .filter(|link| link.data.state == LinkState::Linked);
        let Some((link, known)) = link
            .and_then(|link| Some((link.data.version.clone()?, link)))
            .map(|(known, link)| (link, known))
        else {
            return Ok(Freshness::News);
        };
        match csn.cmp(known.as_str()) {
            std::cmp::Ordering::Less => return Ok(Freshness::Older),
            std::cmp::Ordering::Greater => return Ok(Freshness::News),
            std::cmp::Ordering::Equal => {}
        }
        let seen = (parts.remotes.passwords)(uuid, &entry.entry);
        let noted = crate::link::passwords(&link.data.digests).remote;
        let until = entry
            .account
            .as_ref()
            .ok()
            .and_then(|account| account.state_until);
        let same = noted == seen.stamp.map(Digest)
            && crate::link::until(&link.data.digests) == until.map(|end| end.at)
            && link.data.dn == entry.entry.dn
            && !parts.fetched.lock().contains(&uuid);
        let open = parts
            .local
            .store
            .intent(&parts.config.name, link.local)
            .map_err(store_trouble)?;
        Ok(match same && open.is_none() {
            true => Freshness::Echo,
            false => Freshness::News,
        })
    }

    async fn examine_remote(
        &mut self,
        (uuid, entry): (EntryUuid, Option<Read<'_>>),
        remote: Remote,
        origin: (String, Option<String>),
        address: Option<Option<Address>>,
    ) -> Result<(), Trouble> {
        let found = self.parts.local.situation(uuid, remote, origin);
        let (mut situation, mut seen) = found.map_err(store_trouble)?;
        if self.engine.pushes() {
            seen.entry = entry.as_ref().map(|read| read.entry.clone());
            rivals::find(self.parts, &mut situation).await?;
        }
        self.planned_on(situation, seen, entry, address);
        Ok(())
    }

    /// Hands both sides to the engine, and keeps what the plan is carried out with.
    fn planned_on(
        &mut self,
        situation: Situation,
        mut seen: Seen,
        entry: Option<Read<'_>>,
        address: Option<Option<Address>>,
    ) {
        let uuid = situation.uuid;
        if situation.link.is_some() || matches!(situation.remote, Remote::Here(_)) {
            let met = match situation.link.is_none() || situation.is_renamed() {
                true => Met::Anew,
                false => Met::Before,
            };
            if entry.is_some() {
                self.parents.note(&situation.name, met);
            }
        }
        // Should it be set aside, its row says what it was made from.
        let shown = shown(&situation.remote, entry.as_ref().map(|read| read.entry));
        self.shown.insert(uuid, shown);
        if let Some(read) = entry {
            seen.hash = read.hash;
            seen.unresolved = read.unresolved;
        }
        if let Some(address) = address
            && (self.parts.fetched.lock().remove(&uuid)
                || self.doubtful
                // A group that was read while the entry was unusable waits for it.
                || self.engine.is_aside(uuid)
                || !is_known_by(&situation, address.as_ref()))
        {
            self.step(Input::Noticed(Notice::Member(uuid, address)));
        }
        self.seen.insert(uuid, seen);
        self.step(Input::Examined(Box::new(situation)));
    }

    pub(super) async fn note(&mut self, elsewhere: &[(EntryUuid, Option<Elsewhere>)]) -> Result<(), Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        store.note_elsewhere(name, elsewhere).await.map_err(store_trouble)
    }

    /// Looks UUIDs up without a filter: this is what makes an absence a fact.
    pub(super) async fn look_up(&mut self, uuids: &[EntryUuid]) -> Result<(), Trouble> {
        self.forget().await;
        let answers = self.source.verify(uuids).await?;
        if answers.len() != uuids.len() {
            return Err(FeedError::Protocol("a look-up left objects out".to_owned()).into());
        }
        let (mut elsewhere, mut parents) = (Vec::new(), gone::Parents::default());
        let lists_are_old = self.lists_are_old(&answers).await?;
        for (uuid, presence) in uuids.iter().zip(answers) {
            let shown = match &presence {
                Presence::InScope(entry) => Some(&entry.entry),
                Presence::OutOfScope(entry) => Some(&**entry),
                Presence::Gone => None,
            };
            if lists_are_old && is_list(&presence) || self.is_not_there_yet(*uuid, shown)? {
                tracing::debug!(connector = %self.parts.config.name, %uuid, "the server has not got our last write of it yet");
                self.step(Input::NotYet(*uuid));
                continue;
            }
            let found = match &presence {
                Presence::InScope(entry) => version(entry),
                Presence::Gone | Presence::OutOfScope(_) => None,
            };
            self.engine.note_found(*uuid, found, self.parts.now());
            match presence {
                Presence::Gone => {
                    let remote = parents.judge(self.parts, &mut *self.source, *uuid).await?;
                    let gone = (remote == Remote::Gone).then_some(None);
                    if gone.is_some() {
                        elsewhere.push((*uuid, None));
                    }
                    let origin = (String::new(), None);
                    self.examine_remote((*uuid, None), remote, origin, gone).await?;
                }
                Presence::OutOfScope(entry) => {
                    let origin = (entry.dn.clone(), None);
                    let remote = Remote::OutOfScope;
                    self.examine_remote((*uuid, None), remote, origin, Some(None))
                        .await?;
                }
                Presence::InScope(entry) => {
                    let members = members(self.parts, &entry).await?;
                    self.examine(&entry, members, &mut elsewhere).await?;
                }
            }
        }
        let known = |(uuid, seen): &(EntryUuid, Option<Elsewhere>)| {
            // Forgetting what was never noted needs no commit.
            seen.is_some()
                || matches!(
                    self.parts.local.store.elsewhere(&self.parts.config.name, *uuid),
                    Ok(Some(_))
                )
        };
        let elsewhere: Vec<_> = elsewhere.into_iter().filter(known).collect();
        self.note(&elsewhere).await
    }

    /// Whether what a server shows of an entry is from before the last version that is known of it, and the server has
    /// not got so far: what is not there yet is not gone, and what is as it was before a write of ours was not set back.
    pub(super) fn is_not_there_yet(
        &self,
        uuid: EntryUuid,
        shown: Option<&ldap::Entry>,
    ) -> Result<bool, Trouble> {
        #[cfg(test)]
        if crate::broken::believes_lag_of_writes() {
            return Ok(false);
        }
        let Some(server) = &self.server else {
            return Ok(false);
        };
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let link = store.association_by_uuid(name, uuid).map_err(store_trouble)?;
        // Of what is unlinked nothing is concluded anyway.
        let Some(known) = link
            .filter(|link| !link.data.state.is_held())
            .and_then(|link| link.data.version)
        else {
            return Ok(false);
        };
        let shown = shown.and_then(|entry| entry.first_str("entryCSN"));
        let older = shown.is_none_or(|shown| shown < known.as_str());
        Ok(older && server.lacks(&known) && !self.engine.is_past(&known))
    }

    /// Every UUID that is known here, linked or noted at another home, and that this round was not told of.
    pub(super) async fn all_missing(&mut self) -> Result<Vec<EntryUuid>, Trouble> {
        let engine = &self.engine;
        let missing = |uuid: EntryUuid| !engine.has_named(uuid);
        let entries = sums::entries(self.parts, engine.void(), missing);
        let mut known = entries.await.map_err(store_trouble)?;
        let mut after = None;
        loop {
            let store = &self.parts.local.store;
            let page = store
                .list_elsewhere(&self.parts.config.name, after, 256)
                .map_err(store_trouble)?;
            let Some(last) = page.last() else { return Ok(known) };
            after = Some(*last);
            known.extend(page.into_iter().filter(|uuid| missing(*uuid)));
        }
    }

    /// Looks whether entries that should be there can be seen: lost read rights look like mass deletion.
    pub(super) async fn sample(&mut self, absent: &[EntryUuid]) -> Result<(), Trouble> {
        let absent: std::collections::HashSet<&EntryUuid> = absent.iter().collect();
        let (mut sample, mut leaving, mut after) = (Vec::new(), 0usize, None);
        // Accounts alone: rights to read them and rights to read groups are not the same.
        let account = |found: &&store::Association| {
            found.data.state == LinkState::Linked && matches!(found.local, store::LocalId::Account(_))
        };
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        while sample.len() < SAMPLE {
            let page = store.list_associations(name, after, 256).map_err(store_trouble)?;
            let Some(last) = page.last() else { break };
            after = Some(last.remote);
            let (gone, there): (Vec<_>, Vec<_>) = page
                .iter()
                .filter(account)
                .map(|found| found.remote)
                .partition(|uuid| absent.contains(uuid));
            leaving += gone.len();
            sample.extend(there);
        }
        sample.truncate(SAMPLE);
        if sample.is_empty() && leaving > SAMPLE {
            // Nobody is left to ask for: an empty answer, as far as accounts go.
            return Err(Trouble::Blind(leaving));
        }
        let answers = if sample.is_empty() {
            Vec::new()
        } else {
            self.source.verify(&sample).await?
        };
        let visible = answers
            .iter()
            .filter(|answer| !matches!(answer, Presence::Gone))
            .count();
        self.step(Input::Sampled {
            asked: sample.len(),
            visible,
        });
        Ok(())
    }
}

/// What was read of an entry beside its mapped fields.
struct Read<'a> {
    entry: &'a ldap::Entry,
    hash: Option<Secret>,
    unresolved: Option<Unresolved>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    News,
    /// What was read, or written and acknowledged, already.
    Echo,
    /// Older than what is known. A transaction that was rolled back shows its values all the same, under a version of
    /// its own; so which of the two is true, only another look tells.
    Older,
}

/// The version of an entry that can be mapped.
pub(super) fn version(entry: &ChangedEntry) -> Option<&str> {
    let account = entry.account.as_ref().ok()?;
    account.entry_csn.as_deref()
}

/// Where an entry stands, and its version.
fn origin_of(entry: &ChangedEntry) -> (String, Option<String>) {
    (entry.entry.dn.clone(), version(entry).map(str::to_owned))
}

fn address_of(entry: &ChangedEntry) -> Option<Address> {
    let account = entry.account.as_ref().ok()?;
    Some(account.address.clone())
}

/// The plan's view of a password.
pub(super) fn password(seen: &PasswordSeen, copies: Copies) -> RemotePassword {
    RemotePassword {
        digest: seen.stamp.map(Digest),
        hash: match (&seen.hash, copies) {
            (Some(_), Copies::Yes) => Hash::Copied,
            _ => Hash::NotCopied,
        },
        origin: seen.origin,
    }
}

/// Whether the groups know this entry by this address already.
fn is_known_by(situation: &Situation, address: Option<&Address>) -> bool {
    let living = situation
        .local
        .as_ref()
        .is_some_and(|local| matches!(local.state, LocalState::Active | LocalState::AwaitingMail { .. }));
    let base = situation.link.as_ref().and_then(|link| link.base.address());
    living && base.is_some() && base.as_ref().map(Address::as_str) == address.map(Address::as_str)
}

/// What a row in quarantine says of the entry. One that cannot be mapped has a version all the same.
fn shown(remote: &Remote, entry: Option<&ldap::Entry>) -> Shown {
    let version = entry.and_then(|entry| entry.first_str("entryCSN"));
    match (remote, version) {
        (Remote::Gone | Remote::Hidden { .. } | Remote::OutOfScope, _) => Shown::Nothing,
        (_, Some(version)) => Shown::Version(version.to_owned()),
        (_, None) => Shown::Unknown,
    }
}

/// The members of a group's entry, resolved.
async fn members(parts: &SyncEngine, entry: &ChangedEntry) -> Result<Members, Trouble> {
    match (entry.kind, &entry.account) {
        (Some(EntryKind::Group), Ok(group)) => parts
            .resolve(&group.members)
            .await
            .map_err(|why| FeedError::Unavailable(why).into()),
        _ => Ok(Members::default()),
    }
}
