//! Two connectors of one directory that begin to make an entry of the same object.

use super::*;
use crate::driver::beside::Moment;
use crate::engine::Outcome;
use crate::plan::tests::{here, image};
use crate::plan::{Birth, Creation, Decision, Newcomer, Policy, Standing, plan, plan_newcomer};
use directory::config::Direction;
use store::{Arrival, Association, LinkData, LinkState, Names, SyncChange};

/// The connectors `people` and `staff`, an object that has no entry, and what an entry of it would be.
async fn pair() -> (World, [Arc<SyncEngine>; 2], Creation) {
    let world = World::new(3, config(50, false)).await;
    let beside = Beside {
        connectors: vec!["people".to_owned(), "staff".to_owned()],
        homes: Vec::new(),
    };
    let engines = ["people", "staff"].map(|name| {
        let mut own = config(50, false);
        name.clone_into(&mut own.name);
        let (remotes, store) = (world.engine.remotes.clone(), world.store.clone());
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        SyncEngine::with_remotes(own, remotes, store, clock, ("a.test", &[]), &beside)
    });
    for name in ["people", "staff"] {
        of_directory(&world, name, 7).await;
    }
    let new = NewAccount::new(address("new@example.test"));
    let id = world.store.create_account(new, &admin()).await.expect("created");
    let local = &world.engine.local;
    let (object, _) = local.object(LocalId::Account(id)).expect("reads").expect("there");
    let policy = Policy {
        direction: Direction::BothWays,
        ..world.engine.policy.clone()
    };
    let Birth::Create(creation) = plan_newcomer(&Newcomer::alone(object), &policy) else {
        panic!("it gets an entry");
    };
    (world, engines, creation)
}

async fn of_directory(world: &World, name: &str, number: u8) {
    let mut state = world.store.connector_state(name).expect("reads");
    state.server_fingerprint = Some(vec![number; 16].into());
    let stored = world.store.put_connector_state(name, &state).await;
    stored.expect("stored");
}

async fn begin(engine: &SyncEngine, creation: &Creation) {
    let intent = engine.local.birth(creation, String::new());
    let rows = [SyncChange::Intent(Box::new(intent))];
    engine.local.store.commit_sync(&rows).await.expect("begun");
}

fn has_begun(engine: &SyncEngine, creation: &Creation) -> bool {
    let intent = engine
        .local
        .store
        .intent(engine.name(), crate::local::store_id(creation.local));
    intent.expect("reads").is_some()
}

async fn way(engine: &SyncEngine, creation: &Creation) -> Option<Outcome> {
    let way = engine.gives_way(creation.local, Moment::Begun).await;
    way.expect("reads")
}

fn to(name: &str) -> Option<Outcome> {
    Some(Outcome::GivesWay(name.to_owned()))
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_goes_on() {
    // Whoever looks first.
    for first in [0, 1] {
        let (_world, [people, staff], creation) = pair().await;
        begin(&people, &creation).await;
        begin(&staff, &creation).await;
        if first == 0 {
            assert_eq!(way(&people, &creation).await, to("staff"));
            assert!(has_begun(&people, &creation), "it waits");
        }
        assert_eq!(way(&staff, &creation).await, to("people"));
        assert!(!has_begun(&staff, &creation));
        // It does not begin again before the other one has ended; nor is the other one stopped by its next try.
        let again = staff.gives_way(creation.local, Moment::Before).await;
        assert_eq!(again.expect("reads"), to("people"));
        let first = people.gives_way(creation.local, Moment::Before).await;
        assert_eq!(first.expect("reads"), None);
        assert_eq!(way(&people, &creation).await, None);
        assert!(has_begun(&people, &creation));
    }
}

#[tokio::test]
async fn who_was_sent_is_waited_for() {
    let (_world, [people, staff], creation) = pair().await;
    begin(&staff, &creation).await;
    assert_eq!(way(&staff, &creation).await, None, "it is sent");
    begin(&people, &creation).await;
    assert_eq!(way(&people, &creation).await, to("staff"));
    let link = Association {
        connector: "staff".to_owned(),
        local: crate::local::store_id(creation.local),
        remote: EntryUuid::from_bytes([9; 16]),
        data: LinkData::new("uid=new,ou=staff,dc=test"),
    };
    let done = staff.local.intent_done(creation.local);
    let rows = [SyncChange::Association(Box::new(link.clone())), done];
    staff.local.store.commit_sync(&rows).await.expect("linked");
    assert_eq!(way(&people, &creation).await, to("staff"));
    assert!(!has_begun(&people, &creation), "the other one has made it");
}

#[tokio::test]
async fn an_entry_that_another_connector_has_counts_where_it_is_there() {
    let (world, [people, _], creation) = pair().await;
    let standing = || people.standing_beside(creation.local).expect("reads");
    assert_eq!(standing(), None);
    let since = Timestamp::from_millis(1);
    let held = |was| LinkState::UnlinkedHeld { was: Box::new(was) };
    for (state, expected) in [
        (LinkState::Linked, Some(Standing::Linked)),
        (LinkState::OutOfScope { since }, Some(Standing::OutOfScope)),
        (held(LinkState::Linked), Some(Standing::UnlinkedHeld)),
        (LinkState::Gone { since }, None),
        (held(LinkState::Gone { since }), None),
    ] {
        let mut data = LinkData::new("uid=new,ou=staff,dc=test");
        data.state = state;
        let link = Association {
            connector: "staff".to_owned(),
            local: crate::local::store_id(creation.local),
            remote: EntryUuid::from_bytes([9; 16]),
            data,
        };
        world.store.put_association(&link).await.expect("linked");
        assert_eq!(standing(), expected, "{link:?}");
        of_directory(&world, "staff", 8).await;
        assert_eq!(standing(), None, "of another directory");
        of_directory(&world, "staff", 7).await;
    }
}

#[tokio::test]
async fn an_entry_is_the_object_of_the_other_connector_whatever_its_address_is_by_now() {
    let (world, [people, _], creation) = pair().await;
    let uuid = EntryUuid::from_bytes([9; 16]);
    let policy = Policy {
        direction: Direction::BothWays,
        ..world.engine.policy.clone()
    };
    // What it joins, and whether it is one of the many that nobody here has heard of.
    let looked_at = || {
        let origin = ("uid=old,dc=test".to_owned(), None);
        let read = people.local.situation(uuid, here(image("old")), origin);
        let (situation, _) = read.expect("reads");
        let Decision::Act(plan) = plan(&situation, &policy) else {
            panic!("it is set aside");
        };
        let old = address("old@example.test");
        let arrival = Arrival {
            uuid,
            address: &old,
            aliases: &[],
        };
        let unknown = people.local.unknown(&[arrival], Names::Now);
        (plan.joined(), unknown.expect("reads") == [true])
    };
    assert_eq!(looked_at(), (None, true));
    let since = Timestamp::from_millis(1);
    let held = |was| LinkState::UnlinkedHeld { was: Box::new(was) };
    let same = Some(creation.local);
    for (state, joined) in [
        (LinkState::Linked, same),
        (LinkState::OutOfScope { since }, same),
        (held(LinkState::Linked), None),
        (LinkState::Gone { since }, None),
    ] {
        let mut data = LinkData::new("uid=old,ou=staff,dc=test");
        data.state = state;
        let link = Association {
            connector: "staff".to_owned(),
            local: crate::local::store_id(creation.local),
            remote: uuid,
            data,
        };
        world.store.put_association(&link).await.expect("linked");
        assert_eq!(looked_at(), (joined, false), "{link:?}");
        of_directory(&world, "staff", 8).await;
        assert_eq!(looked_at(), (None, true), "of another directory");
        of_directory(&world, "staff", 7).await;
    }
}
