//! The sums are what a fold over the links gives, whatever happens to links, rows and processes.

use super::*;
use crate::engine::Durability;
use crate::{NewAccount, Origin};
use model::{AccountId, Address, Domain, ManualClock};
use proptest::prelude::*;
use std::sync::Arc;

const PEOPLE: usize = 4;

/// What happens to one person's link.
#[derive(Debug, Clone)]
enum Event {
    Put {
        who: usize,
        state: LinkState,
        second: u8,
        writer: u8,
        end: Option<u64>,
    },
    Unlink(usize),
    Erase(usize),
    Count,
    Damage(usize, u8),
    Forget,
}

fn event() -> impl Strategy<Value = Event> {
    let since = Timestamp::from_millis(1);
    let state = prop_oneof![
        6 => Just(LinkState::Linked),
        1 => Just(LinkState::Gone { since }),
        1 => Just(LinkState::OutOfScope { since }),
        1 => Just(LinkState::MovedAway { to: "b.test".into() }),
    ];
    let put = (0..PEOPLE, state, 0u8..5, 1u8..3, proptest::option::of(1u64..9));
    prop_oneof![
        12 => put.prop_map(|(who, state, second, writer, end)| Event::Put { who, state, second, writer, end }),
        2 => (0..PEOPLE).prop_map(Event::Unlink),
        1 => (0..PEOPLE).prop_map(Event::Erase),
        2 => Just(Event::Count),
        1 => (0usize..60, any::<u8>()).prop_map(|(at, x)| Event::Damage(at, x)),
        1 => Just(Event::Forget),
    ]
}

fn uuid(who: usize) -> EntryUuid {
    EntryUuid::from_bytes([u8::try_from(who).expect("few people") + 1; 16])
}

fn csn(second: u8, writer: u8) -> String {
    format!("202601010000{second:02}.000000Z#000000#{writer:03}#000000")
}

/// Not everything means something: the second 4 was lost.
fn counts(version: &str) -> bool {
    !version.starts_with("20260101000004")
}

struct World {
    store: Store,
    people: Vec<AccountId>,
}

impl World {
    async fn new() -> Self {
        let store = Store::in_memory(Arc::new(ManualClock::default())).expect("opens");
        let domain = Domain::parse("example.test").expect("a domain");
        let made = store.create_domain(&domain, &Origin::System).await;
        made.expect("a domain");
        let mut world = Self {
            store,
            people: Vec::new(),
        };
        for who in 0..PEOPLE {
            let id = world.person(who).await;
            world.people.push(id);
        }
        // Another connector's links of the same objects are not counted.
        world.put("other", 0, LinkState::Linked, (9, 1), Some(3)).await;
        world
    }

    async fn person(&self, who: usize) -> AccountId {
        let address = Address::parse(&format!("p{who}@example.test")).expect("an address");
        let made = self
            .store
            .create_account(NewAccount::new(address), &Origin::System);
        made.await.expect("an account")
    }

    async fn put(
        &self,
        connector: &str,
        who: usize,
        state: LinkState,
        (second, writer): (u8, u8),
        end: Option<u64>,
    ) {
        let mut data = LinkData::new("uid=a,dc=test");
        data.state = state;
        data.version = Some(csn(second, writer));
        if let Some(end) = end {
            let end = Bytes::copy_from_slice(&end.to_be_bytes());
            data.digests.insert(STATE_UNTIL.to_owned(), end);
        }
        let link = Association {
            connector: connector.to_owned(),
            local: LocalId::Account(self.people[who]),
            remote: uuid(who),
            data,
        };
        self.store.put_association(&link).await.expect("stored");
    }

    fn overwrite(&self, row: Option<Bytes>) {
        let write = (Space::Directory, keys::sums("c"), row);
        let written = self.store.engine().write(vec![write], Durability::Kernel);
        written.expect("written");
    }

    /// Whether the sums went away for a reason that a link's change is not.
    async fn happens(&mut self, event: Event) {
        let store = self.store.clone();
        match event {
            Event::Put {
                who,
                state,
                second,
                writer,
                end,
            } => self.put("c", who, state, (second, writer), end).await,
            Event::Unlink(who) => {
                let local = LocalId::Account(self.people[who]);
                store.remove_association("c", local).await.expect("removed");
            }
            Event::Erase(who) => {
                let erased = store.erase_account(self.people[who], &Origin::System).await;
                erased.expect("erased");
                self.people[who] = self.person(who).await;
            }
            Event::Count => {
                let counted = store.count_links("c", counts).await.expect("counted");
                assert_eq!(store.link_sums("c").expect("reads"), Some(counted.clone()));
                assert_eq!(counted, self.folded(&counts));
            }
            Event::Damage(at, x) => {
                let row = store.engine().get(Space::Directory, &keys::sums("c"));
                if let Some(row) = row.expect("reads") {
                    let mut bytes = row.to_vec();
                    let at = at % bytes.len();
                    bytes[at] = x;
                    self.overwrite(Some(bytes.into()));
                }
            }
            // As in a store of an earlier release.
            Event::Forget => self.overwrite(None),
        }
    }

    fn folded(&self, counts: &dyn Fn(&str) -> bool) -> LinkSums {
        let links = self.store.list_associations("c", None, 256).expect("reads");
        let (mut sums, mut newest) = (LinkSums::default(), BTreeMap::new());
        for link in links {
            sums.links += 1;
            sums.living += u64::from(link.data.state.is_living());
            if let (LinkState::Linked, Some(version)) = (&link.data.state, &link.data.version)
                && counts(version)
            {
                let writer = version.split('#').nth(2).expect("a writer").to_owned();
                let known: &mut String = newest.entry(writer).or_default();
                *known = std::mem::take(known).max(version.clone());
            }
        }
        sums.newest = Some(newest.into_values().collect());
        sums
    }

    fn ends(&self, then: u64) -> Vec<(EntryUuid, Timestamp)> {
        let links = self.store.list_associations("c", None, 256).expect("reads");
        let end = |link: &Association| Some((end_of(&link.data)?, link.remote));
        let mut ends: Vec<_> = links.iter().filter_map(end).collect();
        ends.retain(|(end, _)| end.as_millis() <= then);
        ends.sort();
        ends.into_iter().map(|(end, uuid)| (uuid, end)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn sums_are_true_or_not_there(events in proptest::collection::vec(event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            let (mut counted, mut lost) = (false, false);
            for event in events {
                counted |= matches!(event, Event::Count);
                lost |= matches!(event, Event::Forget | Event::Damage(..));
                lost &= !matches!(event, Event::Count);
                world.happens(event).await;
                let (store, all) = (&world.store, world.folded(&|_| true));
                if let Some(sums) = store.link_sums("c").expect("reads") {
                    assert_eq!((sums.links, sums.living), (all.links, all.living));
                    // A version that was left out when all were counted is as good as unknown.
                    let (kept, real) = (sums.newest, world.folded(&counts).newest.expect("a fold knows"));
                    // A version that was left out when all were counted is as good as unknown.
                    let kept: Option<Vec<_>> = kept.filter(|kept| kept.iter().all(|version| counts(version)));
                    assert!(kept.is_none_or(|kept| kept == real));
                }
                let mut entries = Vec::new();
                let shown = store.linked_entries("c", |uuid| entries.push(uuid));
                let (links, kept) = shown.expect("reads");
                assert_eq!((links, entries.len() as u64), (all.links, all.links));
                assert!(kept.is_none_or(|kept| kept == all.links));
                assert!(kept.is_some() || !counted || lost, "kept, once counted");
                for then in [0, 4, 9] {
                    let ends = store.ends_until("c", Timestamp::from_millis(then)).expect("reads");
                    assert_eq!(ends, world.ends(then));
                }
            }
        });
    }
}

#[tokio::test]
async fn accounts_that_come_together_are_summed_as_each_alone() {
    let world = World::new().await;
    world.put("c", 0, LinkState::Linked, (2, 1), None).await;
    world.store.count_links("c", |_| true).await.expect("counted");
    let since = Timestamp::from_millis(1);
    let come = [
        (10, LinkState::Linked, (1, 1), Some(3)),
        (11, LinkState::Linked, (4, 2), None),
        (12, LinkState::Linked, (3, 2), None),
        (13, LinkState::Linked, (3, 1), Some(8)),
        (14, LinkState::Gone { since }, (5, 1), None),
        (15, LinkState::MovedAway { to: "b.test".into() }, (1, 3), None),
    ];
    let new = come.map(|(who, state, (second, writer), end)| {
        let mut data = LinkData::new("uid=a,dc=test");
        data.state = state;
        data.version = Some(csn(second, writer));
        if let Some(end) = end {
            let end = Bytes::copy_from_slice(&u64::to_be_bytes(end));
            data.digests.insert(STATE_UNTIL.to_owned(), end);
        }
        let address = Address::parse(&format!("p{who}@example.test")).expect("an address");
        let mut new = NewAccount::new(address);
        new.association = Some(crate::NewAssociation {
            connector: "c".to_owned(),
            remote: uuid(who),
            data,
        });
        new
    });
    let mut staged = world.store.staging(&Origin::System, new.len());
    let ids = world.store.reserve_ids(&mut staged, new.len()).await;
    ids.expect("ids");
    for one in new {
        world.store.stage(&mut staged, one).expect("rows");
    }
    let made = world.store.create_accounts(staged).await;
    assert_eq!(made.expect("accounts").into_iter().flatten().count(), 6);
    let sums = world.store.link_sums("c").expect("reads").expect("known");
    assert_eq!(sums, world.folded(&|_| true));
    assert_eq!(sums.newest, Some(vec![csn(3, 1), csn(4, 2)]));
    for then in [0, 4, 9] {
        let ends = world.store.ends_until("c", Timestamp::from_millis(then));
        assert_eq!(ends.expect("reads"), world.ends(then));
    }
}

#[tokio::test]
async fn a_newest_link_that_goes_is_counted_once() {
    let world = World::new().await;
    world.store.count_links("c", |_| true).await.expect("counted");
    for (who, second) in [(0, 1), (1, 3), (2, 2)] {
        world.put("c", who, LinkState::Linked, (second, 1), None).await;
    }
    let sums = || world.store.link_sums("c").expect("reads");
    assert_eq!(sums().expect("known").newest, Some(vec![csn(3, 1)]));
    let removed = world
        .store
        .remove_association("c", LocalId::Account(world.people[1]))
        .await;
    removed.expect("removed");
    let left = sums().expect("known");
    assert_eq!(
        (left.links, left.newest),
        (2, None),
        "only a count tells which is the newest now"
    );
    let counted = world.store.count_links("c", |_| true).await.expect("counted");
    assert_eq!((counted.links, counted.newest), (2, Some(vec![csn(2, 1)])));
    let removed = world
        .store
        .remove_association("c", LocalId::Account(world.people[2]))
        .await;
    removed.expect("removed");
    // What is newer than all that went makes it certain again.
    world.put("c", 3, LinkState::Linked, (5, 1), None).await;
    assert_eq!(sums().expect("known").newest, Some(vec![csn(5, 1)]));
}

#[tokio::test]
async fn a_count_that_was_overtaken_is_not_kept() {
    let world = World::new().await;
    world.put("c", 0, LinkState::Linked, (1, 1), None).await;
    let (late, _) = world.store.counted("c", &|_| true).expect("counted");
    world.put("c", 1, LinkState::Linked, (2, 1), None).await;
    let overtaken = world.store.commit(late).await;
    assert!(matches!(overtaken, Err(StoreError::Conflict)));
    assert_eq!(world.store.link_sums("c").expect("reads"), None);
    assert_eq!(
        world
            .store
            .count_links("c", |_| true)
            .await
            .expect("counted")
            .links,
        2
    );
}
