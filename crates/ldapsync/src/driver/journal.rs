//! The local journal as a source of events, beside the feed: what others changed here is looked at again.

use super::SyncEngine;
use super::push::{is_newcomer, notice};
use super::worker::{Worker, store_trouble};
use crate::engine::{Input, Notice, Trouble};
use crate::local::own_id;
use crate::mapping::Scope;
use crate::outbox::is_same_name;
use crate::plan::{Kind, LocalId, Newcomer, Reason};
use directory::Lookup;
use directory::feed::{Coverage, FeedError, PollEnd};
use model::{Address, EntryUuid};
use std::collections::BTreeSet;
use store::{StoreError, Touched};

/// Rows that are read at once, which is what the store gives.
const PAGE: usize = 256;
/// Pages of one round: its end waits for a commit here, which is one more for each.
const PAGES: usize = 4;

/// What says nothing about an entry.
const OURS_ALONE: Touched = Touched(Touched::PASSWORD.0 | Touched::ASSOCIATION.0 | Touched::CATCH_ALL.0);

/// Whether a change says something about an entry.
pub(super) const fn concerns_entries(touched: Touched) -> bool {
    touched.0 & !OURS_ALONE.0 != 0
}

impl Worker<'_> {
    /// Whether what happens here is to be looked at now: the direction writes, and the directory answers.
    pub(super) fn hears_journal(&self) -> bool {
        self.engine.pushes() && self.engine.may_begin()
    }

    /// Reads what others changed here, a few pages for each round, until there is no more or a round fails. False when it
    /// failed: the same rows are to be read again once rounds end well.
    pub(super) async fn journal(&mut self) -> bool {
        while self.hears_journal() {
            match self.page().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(connector = %self.parts.config.name, %error, "the journal cannot be read");
                    if !self.engine.begin_live(self.parts.now()) {
                        return true;
                    }
                    // A round that failed: the status says why, and it is read again after a pause.
                    self.step(Input::Failed(store_trouble(error)));
                    self.pump().await;
                }
            }
        }
        let well = self.engine.is_well();
        if !well {
            // Another round's end is not this page's.
            self.reading = None;
        }
        well
    }

    /// Some pages; whether there is more.
    async fn page(&mut self) -> Result<bool, StoreError> {
        let local = &self.parts.local;
        let (store, name) = (&local.store, &self.parts.config.name);
        let mut page = store.journal_for(name, self.offset, PAGE)?;
        for _ in 1..PAGES {
            if page.gap || !page.more {
                break;
            }
            let next = store.journal_for(name, page.offset, PAGE)?;
            if next.gap {
                // Trimmed just now: the next round begins with it.
                break;
            }
            page.entries.extend(next.entries);
            (page.offset, page.more) = (next.offset, next.more);
        }
        if page.gap {
            // Trimmed before it was read: everything is compared.
            self.offset = page.offset;
            self.engine.compare_all();
            self.round(crate::engine::Wake::Now).await;
            return Ok(page.more);
        }
        let mut objects = BTreeSet::new();
        let mut erased = BTreeSet::new();
        for row in &page.entries {
            let Some(object) = row.object else { continue };
            if row.touched.has(Touched::DELETED) {
                erased.insert(object);
            } else if concerns_entries(row.touched) {
                objects.insert(object);
            }
        }
        let mut notices = Vec::new();
        for object in objects.difference(&erased) {
            notices.push(notice(local, *object, None)?);
        }
        notices.extend(self.entombed(&erased)?);
        if notices.is_empty() {
            self.offset = page.offset;
            return Ok(page.more);
        }
        if !self.engine.begin_live(self.parts.now()) {
            return Ok(false);
        }
        for notice in notices {
            self.step(Input::Noticed(notice));
        }
        self.reading = Some(page.offset);
        self.step(Input::Ended(PollEnd {
            cookie: None,
            coverage: Coverage::NamedDeletes,
        }));
        self.pump().await;
        Ok(page.more)
    }

    /// The entries of objects that are gone for good.
    fn entombed(&self, erased: &BTreeSet<store::LocalId>) -> Result<Vec<Notice>, StoreError> {
        if erased.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self
            .tombstones()?
            .into_iter()
            .filter(|(object, _)| erased.contains(object))
            .map(|(_, uuid)| Notice::Here(uuid))
            .collect())
    }

    fn tombstones(&self) -> Result<Vec<(store::LocalId, EntryUuid)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (store, name) = (&self.parts.local.store, &self.parts.config.name);
            let page = store.list_tombstones(name, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.link.remote);
            found.extend(page.iter().map(|stone| (stone.link.local, stone.link.remote)));
        }
    }

    /// What an earlier process, or an outage, left behind: it is looked at before anything else of the round.
    pub(super) fn left_behind(&mut self) -> Result<(), Trouble> {
        if !self.engine.pushes() {
            return Ok(());
        }
        let local = &self.parts.local;
        let mut notices = Vec::new();
        for (object, remote) in local.intents().map_err(store_trouble)? {
            notices.push(notice(local, object, remote).map_err(store_trouble)?);
        }
        let entombed = self.tombstones().map_err(store_trouble)?;
        notices.extend(entombed.into_iter().map(|(_, uuid)| Notice::Here(uuid)));
        for notice in notices {
            self.step(Input::Noticed(notice));
        }
        Ok(())
    }

    /// Every object here that has no entry and would get one.
    pub(super) fn list_newcomers(&self) -> Result<Vec<LocalId>, StoreError> {
        let local = &self.parts.local;
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = local.store.list_accounts(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for account in &page {
                let id = LocalId::Account(account.id);
                if is_written(self.parts, &account.address) && is_newcomer(local, id)? {
                    found.push(id);
                }
            }
        }
        let mut after = None;
        loop {
            let page = local.store.list_groups(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.id);
            for group in &page {
                let id = LocalId::Group(group.id);
                if is_written(self.parts, &group.address) && is_newcomer(local, id)? {
                    found.push(id);
                }
            }
        }
    }

    /// Reads newcomers, with the entries that have their addresses.
    pub(super) async fn look_at(&mut self, objects: &[LocalId]) -> Result<(), Trouble> {
        for local in objects {
            let newcomer = newcomer(self.parts, *local).await?;
            match newcomer {
                Some(newcomer) => self.step(Input::Newcomer(Box::new(newcomer))),
                None => self.step(Input::NoNewcomer(*local)),
            }
            if self.engine.next_wake().is_some() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether objects of this address's domain are this connector's to write.
pub(super) fn is_written(parts: &SyncEngine, address: &Address) -> bool {
    let domains = &parts.config.domains;
    domains.is_empty() || domains.contains(&address.domain())
}

pub(super) async fn newcomer(parts: &SyncEngine, local: LocalId) -> Result<Option<Newcomer>, Trouble> {
    let store = &parts.local.store;
    let id = crate::local::store_id(local);
    let Some((object, _)) = parts.local.object(id).map_err(store_trouble)? else {
        return Ok(None);
    };
    let Some(address) = object
        .image
        .address()
        .filter(|address| is_written(parts, address))
    else {
        return Ok(None);
    };
    let link = store.association(&parts.config.name, id).map_err(store_trouble)?;
    let begun = store.intent(&parts.config.name, id).map_err(store_trouble)?;
    let former = begun.as_ref().and_then(|begun| begun.former);
    #[cfg(test)]
    let former = former.filter(|_| !crate::broken::is(crate::broken::Broken::FormerIgnored));
    let aliases = object.image.get(crate::field::Field::Aliases).to_addresses();
    // The entry that was to be made may be there under an address that the object has no more.
    let unanswered = begun
        .as_ref()
        .filter(|begun| begun.remote.is_none() && begun.former.is_none());
    let sent = unanswered.map(|begun| crate::outbox::sent(begun).brings);
    let sent = sent.map(|sent| sent.get(crate::field::Field::Address).clone());
    let sent = sent.unwrap_or_default();
    let before = sent.without(object.image.get(crate::field::Field::Address));
    let (mut found, mut untold): (Vec<crate::plan::Found>, _) = (Vec::new(), None);
    let all = std::iter::once(address).chain(aliases);
    for wanted in all.chain(before.to_addresses()) {
        let holders = match holders_there(parts, &wanted).await? {
            Ok(holders) => holders,
            Err(reason) => {
                refuses_every_search(parts, &wanted, &reason).await?;
                untold = Some(reason);
                break;
            }
        };
        for mut one in holders {
            one.ours = begun
                .as_ref()
                .is_some_and(|begun| is_same_name(&begun.dn, &one.dn));
            if !found
                .iter()
                .any(|known| known.uuid == one.uuid && known.dn == one.dn)
            {
                found.push(one);
            }
        }
    }
    let mut standing = link.map(|link| crate::link::standing(&link.data.state));
    if standing.is_none() && found.is_empty() && untold.is_none() {
        // An entry that this connector does not see is an entry all the same.
        standing = parts.standing_beside(local).map_err(store_trouble)?;
    }
    Ok(Some(Newcomer {
        local: object,
        standing,
        found,
        untold,
        former,
        sent,
    }))
}

/// A server may refuse to search at all for a while: rights are loaded anew, it is full or read-only. That says nothing of
/// one object, and thousands of new ones would be set aside one by one. An address that nobody has is refused then, too.
/// Whoever has an entry goes on without that address.
async fn refuses_every_search(parts: &SyncEngine, wanted: &Address, reason: &Reason) -> Result<(), Trouble> {
    let Some(nobody) = crate::plan::parked(EntryUuid::from_bytes([0; 16]), wanted) else {
        return Ok(());
    };
    match (parts.remotes.holder)(nobody).await {
        Ok(_) => Ok(()),
        Err(_) => Err(FeedError::Unavailable(model::Unavailable(reason.to_string())).into()),
    }
}

/// The entries that have an address, or why that cannot be told: one entry that nobody may read is no trouble of the others.
pub(super) async fn holders_there(
    parts: &SyncEngine,
    wanted: &Address,
) -> Result<Result<Vec<crate::plan::Found>, Reason>, Trouble> {
    let answer = match (parts.remotes.holder)(wanted.clone()).await {
        Ok(answer) => answer,
        Err(untold) => {
            return Ok(Err(Reason::HolderUntold {
                address: wanted.to_string(),
                message: untold.to_string(),
            }));
        }
    };
    match answer {
        Lookup::NotFound => Ok(Ok(Vec::new())),
        Lookup::Found(account) => {
            let linked = parts
                .local
                .store
                .association_by_uuid(&parts.config.name, account.uuid);
            let linked = linked.map_err(store_trouble)?;
            let place = parts.scope.place(&account);
            let kind = match account.kind {
                directory::EntryKind::Account => Kind::Account,
                directory::EntryKind::Group => Kind::Group,
            };
            Ok(Ok(vec![crate::plan::Found {
                uuid: account.uuid,
                dn: account.dn.clone(),
                kind: (place == crate::mapping::Place::Here).then_some(kind),
                image: Scope::addresses_of(&account),
                linked_to: linked.map(|link| own_id(link.local)),
                ours: false,
            }]))
        }
        // Whose they are does not matter: none of them is taken.
        Lookup::Ambiguous(dns) => Ok(Ok(dns
            .into_iter()
            .map(|dn| crate::plan::Found {
                uuid: EntryUuid::from_bytes([0; 16]),
                dn,
                kind: None,
                image: Scope::address_image(wanted),
                linked_to: None,
                ours: false,
            })
            .collect())),
        Lookup::Unavailable(why) => Err(FeedError::Unavailable(why).into()),
    }
}
