//! The life of a remote write in the store: an intent that is durable before anything is sent, and the commit that
//! ends it together with the new base.
//!
//! Never says what is to be written, which is planned anew from both sides; so a crash at any moment repeats nothing.
//! What was sent is kept to be known again, and nothing secret is among it.

use crate::field::{Field, Image, Values};
use crate::link;
use crate::local::{Local, Seen, store_id};
use crate::merge::{Discarded, Sent, Side};
use crate::plan::{Creation, LinkValues, LocalId, LocalObject, LocalState, Plan, RemoteOp, Standing};
use bytes::Bytes;
use directory::config::Direction;
use directory::write::Written;
use model::EntryUuid;
use store::{
    Association, Conflict, ConflictId, Intent, IntentKind, LinkData, LinkState, Loser, MemberRef,
    Precondition, StoreError, SyncChange,
};

/// How often a link that changes under our hands is looked at again before its object is planned anew.
const LOOKS: usize = 3;

impl Local {
    /// The intent of a plan's remote half; none when there is none, or no local object.
    pub(crate) fn intent(&self, plan: &Plan, seen: &Seen, hosts: &[String]) -> Option<Intent> {
        let now = self.clock.now();
        let mut sent = plan.sent();
        sent.add(&seen.sent);
        Some(Intent {
            connector: self.connector.clone(),
            local: store_id(seen.local?),
            remote: Some(plan.uuid),
            dn: seen.dn.clone(),
            kind: plan.intent()?,
            expected: plan.expected(&seen.remote),
            brings: link::encode(&sent.brings),
            takes: link::encode(&sent.takes),
            former: None,
            precondition: Precondition {
                version: seen.csn.clone(),
                hosts: hosts.to_vec(),
            },
            attempts: 1,
            since: now,
            next: now,
            error: None,
        })
    }

    /// The intent of a plan whose write was never sent: what is to be done is due still, and nothing of it is in the directory.
    pub(crate) fn not_sent(&self, plan: &Plan, seen: &Seen) -> Option<SyncChange> {
        let intent = match &seen.begun {
            Some(earlier) => (**earlier).clone(),
            None => Intent {
                brings: store::FieldValues::new(),
                takes: store::FieldValues::new(),
                ..self.intent(plan, seen, &[])?
            },
        };
        Some(SyncChange::Intent(Box::new(intent)))
    }

    /// The intent of a new entry, whose name is none before it is sent.
    pub(crate) fn birth(&self, creation: &Creation, dn: String) -> Intent {
        let now = self.clock.now();
        Intent {
            connector: self.connector.clone(),
            local: store_id(creation.local),
            remote: None,
            kind: IntentKind::Create,
            expected: creation.image.digest(),
            brings: match dn.is_empty() {
                true => store::FieldValues::new(),
                false => link::encode(&creation.image),
            },
            takes: store::FieldValues::new(),
            former: creation.former,
            dn,
            precondition: Precondition::default(),
            attempts: 1,
            since: now,
            next: now,
            error: None,
        }
    }

    /// The end of an intent.
    pub(crate) fn intent_done(&self, local: LocalId) -> SyncChange {
        SyncChange::IntentDone {
            connector: self.connector.clone(),
            local: store_id(local),
        }
    }

    /// Values that lose, for the conflict journal.
    pub(crate) fn conflicts(&self, plan: &Plan, local: Option<LocalId>) -> Vec<SyncChange> {
        let time = self.clock.now();
        let row = |lost: &Discarded| {
            let loser = match lost.losers.as_slice() {
                [Side::Local] => Loser::Local,
                [Side::Remote] => Loser::Remote,
                _ => Loser::Both,
            };
            SyncChange::Conflict(Box::new(Conflict {
                connector: self.connector.clone(),
                id: ConflictId {
                    time,
                    remote: plan.uuid,
                    field: lost.field.name().to_owned(),
                },
                local: local.map(store_id),
                subject: plan.subject.clone(),
                rule: lost.rule.to_string(),
                loser,
                base: written(lost.field, &lost.base),
                local_values: written(lost.field, &lost.local),
                remote_values: written(lost.field, &lost.remote),
            }))
        };
        plan.discarded.iter().map(row).collect()
    }

    /// The directory has acknowledged a plan: the base, the version and the end of the intent are one commit. The disk may
    /// have it later: until then the intent stands there, and the entry is looked at again as after any answer that never came.
    pub(crate) async fn settle(&self, plan: &Plan, seen: &Seen, written: &Written) -> Result<(), StoreError> {
        for _ in 1..LOOKS {
            match self.settle_once(plan, seen, written).await {
                Err(StoreError::Conflict) => {}
                done => return done,
            }
        }
        self.settle_once(plan, seen, written).await
    }

    async fn settle_once(&self, plan: &Plan, seen: &Seen, written: &Written) -> Result<(), StoreError> {
        let rows = self.settlement(plan, seen, written)?;
        match rows.is_empty() {
            true => Ok(()),
            false => self.store.commit_sync_soon(&rows).await,
        }
    }

    /// The same of several, in one commit. False where that does not go: one of them stands in the way of all, and each is
    /// to be settled by itself.
    pub(crate) async fn settle_all(&self, all: &[(&Plan, &Seen, &Written)]) -> bool {
        let mut rows = Vec::with_capacity(all.len() * 2);
        for (plan, seen, written) in all {
            match self.settlement(plan, seen, written) {
                Ok(some) => rows.extend(some),
                Err(_) => return false,
            }
        }
        rows.is_empty() || self.store.commit_sync_soon(&rows).await.is_ok()
    }

    /// The rows that end the intent of a plan.
    fn settlement(&self, plan: &Plan, seen: &Seen, written: &Written) -> Result<Vec<SyncChange>, StoreError> {
        let Some(local) = seen.local else {
            return Ok(Vec::new());
        };
        let done = self.intent_done(local);
        let deleted = plan.remote.contains(&RemoteOp::Delete);
        if seen.entombed.is_some() && plan.joined().is_none() {
            let served = SyncChange::TombstoneDone {
                connector: self.connector.clone(),
                remote: plan.uuid,
            };
            return Ok(vec![served, done]);
        }
        // The local half may have changed the link after it was planned.
        let found = self.store.link_to_change(&self.connector, store_id(local))?;
        let Some(found) = found.filter(|found| found.link().remote == plan.uuid) else {
            return Ok(vec![done]);
        };
        let mut data = found.link().data.clone();
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::Echo) {
            return Ok(vec![done]);
        }
        let mut values = plan.settled();
        values.passwords = self.passwords_after(plan, seen);
        self.write_values(&mut data, &values, seen);
        if !deleted {
            data.dn.clone_from(&written.dn);
            data.version.clone_from(&written.csn);
        }
        Ok(vec![SyncChange::Relinked(Box::new(found), Box::new(data)), done])
    }

    /// The directory has acknowledged a new entry. The disk has it at once: the intent knows the entry by its name alone.
    pub(crate) async fn born(&self, creation: &Creation, written: &Written) -> Result<(), StoreError> {
        let mut data = LinkData::new(written.dn.clone());
        data.base = link::encode(&creation.image);
        data.version.clone_from(&written.csn);
        if matches!(creation.local, LocalId::Account(_)) {
            link::note_home(&mut data.digests, self.home.as_deref());
        }
        let link = Association {
            connector: self.connector.clone(),
            local: store_id(creation.local),
            remote: written.uuid,
            data,
        };
        let mut changes = vec![
            SyncChange::Association(Box::new(link)),
            self.intent_done(creation.local),
        ];
        changes.extend(self.pending(creation.local, &creation.waiting));
        self.store.commit_sync(&changes).await
    }

    /// The intents of entries that are about to be made: nothing is sent before the disk has them.
    pub(crate) async fn begin_births(&self, intents: &[SyncChange]) -> Result<(), StoreError> {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::IntentSoon) {
            return self.store.commit_sync_soon(intents).await;
        }
        self.store.commit_sync(intents).await
    }

    /// The members that a group waits for.
    pub(crate) fn pending(&self, group: LocalId, waiting: &[String]) -> Option<SyncChange> {
        let addresses = waiting.iter().filter_map(|text| model::Address::parse(text).ok());
        matches!(group, LocalId::Group(_)).then(|| SyncChange::Pending {
            connector: self.connector.clone(),
            group: Some(store_id(group)),
            members: addresses.map(MemberRef::Address).collect(),
        })
    }

    /// Ends the link with an entry that is gone, so that its object gets another entry; the intent of that one is in
    /// the same commit, or a crash would forget the object.
    pub(crate) async fn begin_again(&self, local: LocalId, intent: Intent) -> Result<(), StoreError> {
        let unlink = SyncChange::Unlink {
            connector: self.connector.clone(),
            local: store_id(local),
        };
        self.store
            .commit_sync(&[unlink, SyncChange::Intent(Box::new(intent))])
            .await
    }

    /// Writes into a link what a plan says of it, apart from its ends, which are operations.
    pub(crate) fn write_values(&self, data: &mut LinkData, values: &LinkValues, seen: &Seen) {
        if let Some(base) = &values.base {
            data.base = link::encode(base);
        }
        data.digests = link::encode_digests(&values.marks, values.passwords, values.until);
        link::note_home(&mut data.digests, values.home.as_deref());
        if let Some(unresolved) = seen.unresolved {
            unresolved.write(&mut data.digests);
        }
        if link::standing(&data.state) != values.standing {
            let since = self.clock.now();
            data.state = match values.standing {
                Standing::Linked => LinkState::Linked,
                Standing::Gone => LinkState::Gone { since },
                Standing::OutOfScope => LinkState::OutOfScope { since },
                // Only operations and administrators lead there.
                Standing::MovedAway | Standing::UnlinkedHeld => return,
            };
        }
    }

    /// Drops the intents of objects that turned out to need no write.
    pub(crate) async fn drop_intents(&self, objects: &[LocalId]) -> Result<(), StoreError> {
        let rows: Vec<SyncChange> = objects.iter().map(|local| self.intent_done(*local)).collect();
        self.store.commit_sync(&rows).await
    }

    /// Drops the intent of an object that gets no entry of its own. One that is linked has another intent, if any. One
    /// whose entry is gone keeps it as long as it is in use: it is what keeps it apart from strangers.
    pub(crate) async fn end_intent(&self, object: LocalId) -> Result<(), StoreError> {
        let id = store_id(object);
        let Some(intent) = self.store.intent(&self.connector, id)? else {
            return Ok(());
        };
        if self.store.association(&self.connector, id)?.is_some() {
            return Ok(());
        }
        let used = |object: LocalObject| object.state == LocalState::Active;
        let waits = intent.former.is_some() && self.object(id)?.is_some_and(|(object, _)| used(object));
        match waits {
            true => Ok(()),
            false => self.drop_intents(&[object]).await,
        }
    }

    /// The directory has refused a new entry: nothing was made, unless an `earlier` attempt did.
    pub(crate) async fn not_born(
        &self,
        creation: &Creation,
        earlier: Option<Intent>,
    ) -> Result<(), StoreError> {
        match (creation.former, earlier) {
            // What that one sent is what the entry is known by.
            (_, Some(earlier)) => {
                self.store
                    .commit_sync(&[SyncChange::Intent(Box::new(earlier))])
                    .await
            }
            (Some(_), None) => {
                let waits = self.birth(creation, String::new());
                self.store
                    .commit_sync(&[SyncChange::Intent(Box::new(waits))])
                    .await
            }
            (None, None) => self.drop_intents(&[creation.local]).await,
        }
    }

    /// The first new entry of an object that had none, whose answer never came, and of which this holds.
    pub(crate) fn unanswered_birth(
        &self,
        holds: impl Fn(&Intent) -> bool,
    ) -> Result<Option<Intent>, StoreError> {
        if self.direction == Direction::LdapToLocal {
            return Ok(None);
        }
        let mut after = None;
        loop {
            let page = self.store.list_intents(&self.connector, after, 256)?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some(last.local);
            let born = |intent: &Intent| intent.remote.is_none() && intent.former.is_none();
            let mut born = page
                .into_iter()
                .filter(|intent| born(intent) && !intent.dn.is_empty());
            if let Some(found) = born.find(|intent| holds(intent)) {
                return Ok(Some(found));
            }
        }
    }

    /// Every object that has an intent: what a crash, or a directory that went away, has left behind.
    pub(crate) fn intents(&self) -> Result<Vec<(store::LocalId, Option<EntryUuid>)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_intents(&self.connector, after, 256)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.local);
            found.extend(page.iter().map(|intent| (intent.local, intent.remote)));
        }
    }
}

/// Whether two names are of one entry. None is nobody's.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    let key = |name: &str| ldap::Dn::parse(name).ok().map(|dn| dn.key());
    !one.is_empty() && key(one).is_some_and(|one| key(other) == Some(one))
}

/// What an intent sent.
pub(crate) fn sent(intent: &Intent) -> Sent {
    #[cfg(test)]
    if crate::broken::is(crate::broken::Broken::SentForgotten) {
        return Sent::default();
    }
    Sent {
        brings: link::decode(&intent.brings),
        takes: link::decode(&intent.takes),
    }
}

/// The values of one field as a base has them.
fn written(field: Field, values: &Values) -> Vec<Bytes> {
    let image = Image::default().with(field, values.clone());
    link::encode(&image).remove(field.name()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Copies;
    use crate::plan::Remote;
    use directory::config::OnDelete;
    use ldap::Entry;
    use model::{Address, Domain, ManualClock};
    use std::sync::Arc;
    use std::time::Duration;
    use store::{NewAccount, NewAssociation, Origin, Store};

    const UUID: EntryUuid = EntryUuid::from_bytes([7; 16]);

    async fn linked() -> (Local, LocalId) {
        let clock = Arc::new(ManualClock::default());
        let store = Store::in_memory(clock.clone()).expect("opens");
        let domain = Domain::parse("example.test").expect("a domain");
        store
            .create_domain(&domain, &Origin::System)
            .await
            .expect("a domain");
        let mut account = NewAccount::new(Address::parse("anna@example.test").expect("an address"));
        account.association = Some(NewAssociation {
            connector: "people".into(),
            remote: UUID,
            data: LinkData::new("uid=anna,dc=test"),
        });
        let id = store
            .create_account(account, &Origin::System)
            .await
            .expect("an account");
        let local = Local {
            store,
            connector: "people".into(),
            clock,
            retention: Duration::ZERO,
            on_delete: OnDelete::default(),
            direction: Direction::BothWays,
            home: None,
            former: Vec::new(),
            copies: Copies::No,
            others: Vec::new(),
        };
        (local, LocalId::Account(id))
    }

    // The rows of many answers are made before one commit: whoever is erased meanwhile stays so.
    #[tokio::test]
    async fn who_is_erased_while_an_answer_is_written_down_is_not_linked_again() {
        let (local, id) = linked().await;
        let (_, mut seen) = Local::nobody(UUID, Remote::Gone, (String::new(), None));
        seen.local = Some(id);
        let plan = Plan::nothing(UUID, "anna".to_owned(), None);
        let written = Written {
            uuid: UUID,
            dn: "uid=anna,ou=new,dc=test".to_owned(),
            csn: None,
            entry: Entry::default(),
        };
        let rows = local.settlement(&plan, &seen, &written).expect("reads");
        let LocalId::Account(account) = id else { return };
        local
            .store
            .erase_account(account, &Origin::System)
            .await
            .expect("erased");
        let late = local.store.commit_sync_soon(&rows).await;
        assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
        // And so the answer is written down as that of somebody who is nobody's.
        local.settle(&plan, &seen, &written).await.expect("settled");
        let found = local.store.association_by_uuid("people", UUID);
        assert_eq!(found.expect("reads"), None);
        let tombstones = local.store.list_tombstones("people", None, 9).expect("reads");
        assert_eq!(tombstones.len(), 1, "the directory still hears of it");
    }
}
