//! Single stories, told step by step.

use super::*;
use crate::engine::State;
use model::OnDemandOutcome;

pub(super) fn person(world: &mut World, name: &str, host: &str) -> Person {
    let mut person = world.new_person();
    person.address = address(&format!("{name}@example.test"));
    person.dn = format!("uid={name},ou=people,dc=test");
    person.host = Some(host.to_owned());
    world.directory.lock().put(person.clone());
    person
}

pub(super) fn account(world: &World, uuid: EntryUuid) -> Option<Arc<store::Account>> {
    let link = world.store.association_by_uuid("people", uuid).expect("reads")?;
    match link.local {
        LocalId::Account(id) => world.store.account(id).expect("reads"),
        LocalId::Group(_) => None,
    }
}

#[tokio::test]
async fn a_move_between_homes_keeps_mail_and_waits_for_it() {
    let mut world = World::new(1, config(1000, true)).await;
    let mut leaves = person(&mut world, "leaves", "a.test");
    let mut arrives = person(&mut world, "arrives", "b.test");
    let fresh = person(&mut world, "fresh", "a.test.");
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, leaves.uuid).expect("here").can_log_in());
    assert!(
        account(&world, fresh.uuid).expect("here").can_log_in(),
        "a new account opens at once"
    );
    assert!(account(&world, arrives.uuid).is_none());
    leaves.host = Some("b.test".to_owned());
    arrives.host = Some("a.test".to_owned());
    world.directory.lock().put(leaves.clone());
    world.directory.lock().put(arrives.clone());
    assert!(world.round(Wake::Now).await);
    let state = |uuid| account(&world, uuid).expect("here").state.clone();
    assert_eq!(
        state(leaves.uuid),
        AccountState::MovedAway {
            to: "b.test".to_owned()
        }
    );
    assert_eq!(
        state(arrives.uuid),
        AccountState::AwaitingMail {
            from: "b.test".to_owned()
        }
    );
    // The entry of the one that left is deleted over there: its mail here is nobody's to purge.
    world.directory.lock().delete(leaves.uuid);
    assert!(world.round(Wake::Now).await);
    assert!(matches!(
        account(&world, leaves.uuid).expect("kept").state,
        AccountState::MovedAway { .. }
    ));
}

// `homing account release`: the mail is kept until its date, and no longer, whatever is compared.
#[tokio::test]
async fn a_released_account_stays_released_until_its_entry_is_back() {
    let mut world = World::new(21, config(1000, true)).await;
    let mut leaves = person(&mut world, "leaves", "a.test");
    person(&mut world, "stays", "a.test");
    assert!(world.round(Wake::Now).await);
    leaves.host = Some("b.test".to_owned());
    world.directory.lock().put(leaves.clone());
    assert!(world.round(Wake::Now).await);
    let here = account(&world, leaves.uuid).expect("here");
    let month = Duration::from_secs(30 * 86_400);
    let by = admin();
    let released = world.store.delete_account(here.id, month, &by).await;
    released.expect("released");
    let successor = world
        .store
        .create_account(NewAccount::new(here.address.clone()), &by);
    let successor = successor.await.expect("the address is free");
    for wake in [Wake::Now, Wake::Full] {
        assert!(world.round(wake).await);
        let state = account(&world, leaves.uuid).expect("kept").state.clone();
        assert!(matches!(state, AccountState::SoftDeleted { .. }), "{state:?}");
        assert!(world.engine.status().quarantine.is_empty());
    }
    // The address is free again, and so the account takes it back.
    world
        .store
        .erase_account(successor, &admin())
        .await
        .expect("erased");
    leaves.host = Some("a.test".to_owned());
    world.directory.lock().put(leaves.clone());
    assert!(world.round(Wake::Now).await);
    let back = account(&world, leaves.uuid).expect("here");
    assert_eq!((back.id, &back.state), (here.id, &AccountState::Active));
}

#[tokio::test]
async fn a_namesake_starts_empty_and_the_old_entry_revives_its_own() {
    let mut world = World::new(2, config(1000, false)).await;
    let old = person(&mut world, "alice", "a.test");
    assert!(world.round(Wake::Now).await);
    let first = account(&world, old.uuid).expect("here").id;
    // Deleted and made again between two polls.
    world.directory.lock().delete(old.uuid);
    let new = person(&mut world, "alice", "a.test");
    assert!(world.round(Wake::Now).await);
    let second = account(&world, new.uuid).expect("the namesake came in the same round");
    assert_ne!(first, second.id);
    assert!(second.can_log_in());
    let kept = world.store.account(first).expect("reads").expect("kept");
    assert!(matches!(kept.state, AccountState::SoftDeleted { .. }));
    // The backup brings the old UUID back under another address.
    world.directory.lock().delete(new.uuid);
    assert!(world.round(Wake::Now).await);
    world.directory.lock().put(old.clone());
    assert!(world.round(Wake::Now).await);
    let revived = account(&world, old.uuid).expect("here");
    assert_eq!((revived.id, revived.can_log_in()), (first, true));
}

#[tokio::test]
async fn the_guard_holds_a_mass_deletion_and_nothing_else() {
    let mut world = World::new(3, config(20, false)).await;
    let people: Vec<Person> = (0..60)
        .map(|number| person(&mut world, &format!("m{number}"), "a.test"))
        .collect();
    assert!(world.round(Wake::Now).await);
    for victim in &people[..50] {
        world.directory.lock().delete(victim.uuid);
    }
    let newcomer = person(&mut world, "newcomer", "a.test");
    assert!(world.round(Wake::Now).await);
    let removed = |world: &World| {
        people
            .iter()
            .filter(|person| !account(world, person.uuid).expect("linked").can_log_in())
            .count()
    };
    assert_eq!(removed(&world), 19, "the twentieth trips it");
    assert!(account(&world, newcomer.uuid).is_some(), "everything else flows");
    let status = world.engine.status();
    assert_eq!((status.guard.tripped, status.guard.held), (true, 31));
    let hash = status.guard.hash.expect("a hash to approve");
    // It stays held through a restart, an hour, and a full comparison.
    world.clock.advance(Duration::from_secs(3700));
    assert!(world.round(Wake::Full).await);
    assert_eq!(
        (removed(&world), world.engine.status().guard.hash.as_ref()),
        (19, Some(&hash))
    );
    let mut worker = Worker::load(&world.engine).await.expect("loads");
    assert!(
        !worker.approve("0000000000000000").await.expect("kept"),
        "only what was seen can be approved"
    );
    assert!(worker.approve(&hash).await.expect("kept"));
    // The process ends before it is carried out.
    drop(worker);
    let mut worker = Worker::load(&world.engine).await.expect("loads");
    worker.round(Wake::Now).await;
    drop(worker);
    assert_eq!(removed(&world), 50);
    let guard = world.engine.status().guard;
    assert_eq!((guard.tripped, guard.held), (false, 0));
}

#[tokio::test]
async fn what_is_held_is_kept_once_the_store_takes_it() {
    let mut world = World::new(3, config(1, false)).await;
    let people: Vec<Person> = (0..5)
        .map(|number| person(&mut world, &format!("k{number}"), "a.test"))
        .collect();
    let mut worker = Worker::load(&world.engine).await.expect("loads");
    worker.round(Wake::Now).await;
    for victim in &people {
        world.directory.lock().delete(victim.uuid);
    }
    for full in [true, true, false] {
        world.store.be_full(full);
        world.clock.advance(Duration::from_secs(3600));
        worker.round(Wake::Now).await;
    }
    let rows = world.store.quarantine_after("people", None, 9).expect("reads");
    assert_eq!(rows.len(), people.len(), "{rows:?}");
    // Nor does a row stay whose end the store did not take.
    for victim in &people {
        world.directory.lock().put(victim.clone());
    }
    for full in [true, false] {
        world.store.be_full(full);
        world.clock.advance(Duration::from_secs(3600));
        worker.round(Wake::Now).await;
    }
    let rows = world.store.quarantine_after("people", None, 9).expect("reads");
    assert!(rows.is_empty(), "{rows:?}");
}

#[tokio::test]
async fn the_guard_remembers_over_a_restart() {
    let mut world = World::new(12, config(20, false)).await;
    let people: Vec<Person> = (0..40)
        .map(|number| person(&mut world, &format!("w{number}"), "a.test"))
        .collect();
    assert!(world.round(Wake::Now).await);
    for (round, removed) in [(0..10, 10), (10..25, 19)] {
        for victim in &people[round] {
            world.directory.lock().delete(victim.uuid);
        }
        // Each round of this world is a new process.
        assert!(world.round(Wake::Now).await);
        let gone = people
            .iter()
            .filter(|person| !account(&world, person.uuid).expect("linked").can_log_in());
        assert_eq!(gone.count(), removed);
    }
    // An hour later the count starts again, but what is held stays held.
    world.clock.advance(Duration::from_secs(3700));
    let status = world.engine.status();
    assert_eq!((status.guard.tripped, status.guard.held), (true, 6));
}

#[tokio::test]
async fn an_empty_or_lagging_directory_removes_nothing() {
    let mut world = World::new(4, config(1000, false)).await;
    let people: Vec<Person> = (0..5)
        .map(|number| person(&mut world, &format!("e{number}"), "a.test"))
        .collect();
    assert!(world.round(Wake::Now).await);
    let cookie = world.store.connector_state("people").expect("reads").cookie;
    // A replica that is behind: it does not have the newest entry yet.
    let newest = people[4].uuid;
    let entry = world.directory.lock().entries.remove(&newest).expect("there");
    world.directory.lock().csn -= 3;
    assert!(!world.round(Wake::Now).await);
    assert_eq!(world.engine.status().state, State::Waiting);
    assert!(account(&world, newest).expect("linked").can_log_in());
    world.directory.lock().entries.insert(newest, entry);
    world.directory.lock().csn += 3;
    // Emptied: no entry, no log.
    let entries = std::mem::take(&mut world.directory.lock().entries);
    world.directory.lock().csn += 10;
    let csn = world.directory.lock().csn;
    world.directory.lock().log_from = csn;
    assert!(!world.round(Wake::Now).await);
    assert_eq!(world.engine.status().state, State::Fault);
    assert!(!world.round(Wake::Full).await);
    assert_eq!(
        world.store.connector_state("people").expect("reads").cookie,
        cookie,
        "the cookie stays"
    );
    for person in &people {
        assert!(account(&world, person.uuid).expect("linked").can_log_in());
    }
    // Another directory in its place, with one entry: none of ours is taken for deleted.
    world.directory.lock().suffix = EntryUuid::from_bytes([0xdd; 16]);
    person(&mut world, "stranger", "a.test");
    assert!(world.round(Wake::Now).await);
    for person in &people {
        assert!(account(&world, person.uuid).expect("linked").can_log_in());
    }
    world.directory.lock().entries.extend(entries);
}

#[tokio::test]
async fn rights_withdrawn_look_like_a_fault_not_like_deletions() {
    let mut world = World::new(5, config(1000, false)).await;
    let people: Vec<Person> = (0..5)
        .map(|number| person(&mut world, &format!("r{number}"), "a.test"))
        .collect();
    assert!(world.round(Wake::Now).await);
    // One is named as deleted, and suddenly nobody can be read.
    let entries = std::mem::take(&mut world.directory.lock().entries);
    let csn = world.directory.lock().csn + 1;
    world.directory.lock().csn = csn;
    world.directory.lock().deleted.push((csn, people[0].uuid));
    assert!(!world.round(Wake::Now).await);
    assert_eq!(world.engine.status().state, State::Fault);
    world.directory.lock().entries = entries;
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, people[0].uuid).expect("linked").can_log_in());
}

#[tokio::test]
async fn a_damaged_cookie_is_never_sent() {
    let mut world = World::new(6, config(1000, false)).await;
    let gone = person(&mut world, "gone", "a.test");
    person(&mut world, "stays", "a.test");
    assert!(world.round(Wake::Now).await);
    let mut state = world.store.connector_state("people").expect("reads");
    state.cookie = Some(bytes::Bytes::from_static(
        b"rid=000,csn=garbage and a wrong checksum",
    ));
    world
        .store
        .put_connector_state("people", &state)
        .await
        .expect("stored");
    world.directory.lock().delete(gone.uuid);
    // The log is lost as well: only a comparison of everything finds the deletion.
    world.directory.lock().deleted.clear();
    assert!(world.round(Wake::Now).await);
    assert!(!account(&world, gone.uuid).expect("linked").can_log_in());
}

#[tokio::test]
async fn one_bad_object_delays_nobody_and_is_tried_again() {
    let mut world = World::new(7, config(1000, false)).await;
    let mut bad = person(&mut world, "bad", "a.test");
    bad.broken = true;
    world.directory.lock().put(bad.clone());
    let good = person(&mut world, "good", "a.test");
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, good.uuid).is_some() && account(&world, bad.uuid).is_none());
    let rows = world.engine.status().quarantine;
    assert_eq!((rows.len(), rows[0].uuid, rows[0].attempts), (1, bad.uuid, 1));
    assert!(rows[0].reason.contains(&bad.dn), "{}", rows[0].reason);
    // Repaired behind the feed's back; the row's time brings it in.
    bad.broken = false;
    world.directory.lock().entries.insert(bad.uuid, bad.clone());
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, bad.uuid).is_none(), "not before its time");
    world.clock.advance(Duration::from_secs(31));
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, bad.uuid).is_some());
    assert!(world.engine.status().quarantine.is_empty());
    assert!(
        world
            .store
            .quarantine_after("people", None, 10)
            .expect("reads")
            .is_empty()
    );
}

#[tokio::test]
async fn names_are_fetched_on_demand() {
    let mut world = World::new(8, config(1000, true)).await;
    let here = person(&mut world, "here", "a.test");
    let there = person(&mut world, "there", "b.test");
    let ask = async |text: &str| world.engine.on_demand(&address(text)).await;
    assert_eq!(ask("here@example.test").await, OnDemandOutcome::Synced);
    assert!(account(&world, here.uuid).expect("fetched").can_log_in());
    assert_eq!(ask("here@example.test").await, OnDemandOutcome::Synced);
    assert_eq!(ask("there@example.test").await, OnDemandOutcome::NoSuchName);
    assert_eq!(ask("nobody@example.test").await, OnDemandOutcome::NoSuchName);
    assert_eq!(ask("here@elsewhere.test").await, OnDemandOutcome::NotConnected);
    let mut twin = there.clone();
    twin.uuid = EntryUuid::from_bytes([9; 16]);
    world.directory.lock().put(twin);
    assert_eq!(
        ask("there@example.test").await,
        OnDemandOutcome::Unavailable,
        "two entries are no answer"
    );
    // The round that follows finds nothing to do for it.
    let before = account(&world, here.uuid).expect("fetched").version;
    assert!(world.round(Wake::Now).await);
    assert_eq!(account(&world, here.uuid).expect("fetched").version, before);
}

#[tokio::test]
async fn a_plan_tells_and_does_nothing() {
    let mut world = World::new(9, config(1000, false)).await;
    let mut joins = person(&mut world, "joins", "a.test");
    world
        .store
        .create_account(NewAccount::new(address("joins@example.test")), &admin())
        .await
        .expect("created");
    person(&mut world, "new", "a.test");
    let before = world.journal_end();
    let plan = world.engine.plan().await.expect("a plan");
    assert_eq!(world.journal_end(), before);
    let mut lines: Vec<&str> = plan.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "joins@example.test = link account 2",
            "joins@example.test ~ display_name: - -> Person 1",
            "new@example.test + create account address=new@example.test display_name=Person 2 enabled=TRUE",
        ]
    );
    assert_eq!(plan.unlinked, ["postmaster@example.test"]);
    assert_eq!(
        plan.hash,
        world.engine.plan().await.expect("a plan").hash,
        "the same inputs, the same hash"
    );
    assert!(world.round(Wake::Now).await);
    let settled = world.engine.plan().await.expect("a plan");
    assert_eq!((settled.changes, settled.unchanged), (0, 2));
    assert_ne!(settled.hash, plan.hash);
    joins.enabled = Some(false);
    world.directory.lock().put(joins);
    let plan = world.engine.plan().await.expect("a plan");
    assert_eq!(
        plan.lines().collect::<Vec<_>>(),
        ["joins@example.test ~ enabled: TRUE -> FALSE"]
    );
    assert!(
        serde_json::to_string(&plan)
            .expect("JSON")
            .contains("\"disable\":1")
    );
}

#[tokio::test]
async fn deletion_policies() {
    for (policy, can_log_in, purged) in [
        ("ignore", true, false),
        ("disable", false, false),
        ("delete", false, true),
    ] {
        let mut json = config(1000, false);
        json.on_delete = serde_json::from_value(serde_json::json!(policy)).expect("a policy");
        let mut world = World::new(10, json).await;
        let gone = person(&mut world, "gone", "a.test");
        person(&mut world, "stays", "a.test");
        assert!(world.round(Wake::Now).await);
        world.directory.lock().delete(gone.uuid);
        assert!(world.round(Wake::Now).await);
        let account = account(&world, gone.uuid).expect("linked");
        assert_eq!(account.can_log_in(), can_log_in, "{policy}");
        let month = world.clock.now().after(Duration::from_secs(31 * 86_400));
        let ends = matches!(account.state, AccountState::SoftDeleted { until, .. } if until < month);
        assert_eq!(ends, purged, "{policy}");
    }
}

#[tokio::test]
async fn runs_on_its_own_and_stops_when_told() {
    let mut world = World::new(11, config(1000, false)).await;
    let early = person(&mut world, "early", "a.test");
    assert!(world.engine.sync_now().await.is_err(), "it does not run yet");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&world.engine).run(stop.clone()));
    while world.engine.status().last_success.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(account(&world, early.uuid).is_some());
    let late = person(&mut world, "late", "a.test");
    let status = world.engine.sync_now().await.expect("runs");
    assert_eq!(
        (status.state, status.linked, status.counts.created),
        (State::Following, 2, 2)
    );
    assert!(account(&world, late.uuid).is_some());
    stop.cancel();
    running.await.expect("ends");
    assert!(world.engine.sync_now().await.is_err());
}

// A process that never lives for a day: what no message tells is found once a day all the same.
#[tokio::test]
async fn restarts_do_not_put_the_daily_comparison_off() {
    let mut world = World::new(27, config(1000, false)).await;
    let mut silent = person(&mut world, "silent", "a.test");
    assert!(world.round(Wake::Now).await);
    silent.name = "Changed without a message".to_owned();
    world.directory.lock().entries.insert(silent.uuid, silent.clone());
    let name = |world: &World| account(world, silent.uuid).expect("here").display_name.clone();
    for _ in 0..3 {
        // Each round of this world is a new process.
        world.clock.advance(Duration::from_secs(28_000));
        assert!(world.round(Wake::Now).await);
        assert_ne!(name(&world), Some(silent.name.clone()), "not yet a day");
    }
    world.clock.advance(Duration::from_secs(2_400));
    assert!(world.round(Wake::Now).await);
    assert_eq!(name(&world), Some(silent.name.clone()));
}

// Whoever may write the alias attribute does not get the service box by it, however he spells it.
#[tokio::test]
async fn an_alias_claims_no_account() {
    let mut world = World::new(28, config(1000, false)).await;
    let mut thief = person(&mut world, "thief", "a.test");
    thief.aliases = vec![address("Postmaster@Example.test")];
    world.directory.lock().put(thief.clone());
    let mut service = NewAccount::new(address("service@example.test"));
    service.aliases = vec![address("desk@example.test")];
    let service = world
        .store
        .create_account(service, &admin())
        .await
        .expect("created");
    let desk = person(&mut world, "desk", "a.test");
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, thief.uuid).is_none() && account(&world, desk.uuid).is_none());
    let link = world.store.association("people", LocalId::Account(service));
    assert_eq!(link.expect("reads"), None);
    let untouched = world
        .store
        .account_by_address(&address("postmaster@example.test"));
    assert_eq!(
        untouched.expect("reads").expect("there").version,
        world.postmaster
    );
    let rows = world.store.quarantine_after("people", None, 10).expect("reads");
    assert_eq!(rows.len(), 2);
    for (person, local) in [
        (&thief, "postmaster@example.test"),
        (&desk, "service@example.test"),
    ] {
        let row = rows.iter().find(|row| row.object == person.uuid.to_string());
        let reason = &row.expect("in quarantine").reason;
        assert!(reason.starts_with(&format!("{}: ", person.dn)), "{reason}");
        assert!(
            reason.contains(local) && reason.contains("make the entry's mail"),
            "{reason}"
        );
    }
    // Nor does an account that is linked already: the store refuses, and the row says whose entry it is.
    let mut greedy = person(&mut world, "greedy", "a.test");
    assert!(world.round(Wake::Now).await);
    greedy.aliases = vec![address("postmaster@example.test")];
    world.directory.lock().put(greedy.clone());
    assert!(world.round(Wake::Now).await);
    let status = world.engine.status();
    let row = status.quarantine.iter().find(|row| row.uuid == greedy.uuid);
    let reason = &row.expect("in quarantine").reason;
    assert!(
        reason.starts_with(&format!("{}: the change was refused", greedy.dn)),
        "{reason}"
    );
    // The alias is taken off, and the entry gets an account of its own.
    thief.aliases.clear();
    world.directory.lock().put(thief.clone());
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, thief.uuid).expect("created").can_log_in());
}

// Two people swap their addresses between two polls, and a third hands an alias on.
#[tokio::test]
async fn addresses_change_hands_in_one_round() {
    let mut world = World::new(20, config(1000, false)).await;
    let mut one = person(&mut world, "one", "a.test");
    let mut two = person(&mut world, "two", "a.test");
    let mut giver = person(&mut world, "giver", "a.test");
    giver.aliases = vec![address("desk@example.test")];
    world.directory.lock().put(giver.clone());
    let mut taker = person(&mut world, "taker", "a.test");
    assert!(world.round(Wake::Now).await);
    let id = |world: &World, person: &Person| account(world, person.uuid).expect("linked").id;
    let ids = [id(&world, &one), id(&world, &two)];
    std::mem::swap(&mut one.address, &mut two.address);
    std::mem::swap(&mut giver.aliases, &mut taker.aliases);
    for person in [&one, &two, &taker, &giver] {
        world.directory.lock().put(person.clone());
    }
    assert!(world.round(Wake::Now).await);
    assert_eq!(world.engine.status().quarantine, []);
    for (person, id) in [(&one, ids[0]), (&two, ids[1])] {
        let account = account(&world, person.uuid).expect("linked");
        assert_eq!((account.id, &account.address), (id, &person.address));
    }
    assert_eq!(
        account(&world, taker.uuid).expect("linked").aliases,
        taker.aliases
    );
}

// A new base that is wrong looks like mass deletion: the first comparison after it removes nothing.
#[tokio::test]
async fn a_changed_scope_removes_nothing_at_once() {
    let mut world = World::new(21, config(1000, false)).await;
    let mut leaves = person(&mut world, "leaves", "a.test");
    let stays = person(&mut world, "stays", "a.test");
    assert!(world.round(Wake::Now).await);
    let mut state = world.store.connector_state("people").expect("reads");
    state.scope_fingerprint = Some(bytes::Bytes::from_static(b"another mapping"));
    world
        .store
        .put_connector_state("people", &state)
        .await
        .expect("stored");
    leaves.in_scope = false;
    world.directory.lock().put(leaves.clone());
    // A server that lags is not believed either, though everything is compared.
    let entry = world.directory.lock().entries.remove(&stays.uuid).expect("there");
    world.directory.lock().csn -= 2;
    assert!(!world.round(Wake::Now).await);
    world.directory.lock().entries.insert(stays.uuid, entry);
    world.directory.lock().csn += 2;
    assert!(world.round(Wake::Now).await);
    assert!(account(&world, leaves.uuid).expect("linked").can_log_in());
    assert!(world.round(Wake::Full).await);
    assert!(!account(&world, leaves.uuid).expect("linked").can_log_in());
}

// Rights to read people are withdrawn, those to read groups are not.
#[tokio::test]
async fn people_that_vanish_all_at_once_stay() {
    let mut world = World::new(22, config(1000, false)).await;
    let people: Vec<Person> = (0..8)
        .map(|number| person(&mut world, &format!("v{number}"), "a.test"))
        .collect();
    let mut group = person(&mut world, "team", "a.test");
    group.kind = EntryKind::Group;
    group.members = vec![people[0].dn.clone()];
    world.directory.lock().put(group.clone());
    assert!(world.round(Wake::Now).await);
    world
        .directory
        .lock()
        .entries
        .retain(|uuid, _| *uuid == group.uuid);
    assert!(!world.round(Wake::Full).await);
    assert_eq!(world.engine.status().state, State::Fault);
    for person in &people {
        assert!(account(&world, person.uuid).expect("linked").can_log_in());
    }
}

// To and fro before the mail has come: it still is where it was.
#[tokio::test]
async fn an_account_that_waits_goes_and_comes_back_waiting() {
    let mut world = World::new(23, config(1000, true)).await;
    let mut moves = person(&mut world, "moves", "b.test");
    assert!(world.round(Wake::Now).await);
    for host in ["a.test", "b.test", "a.test", "c.test", "a.test"] {
        moves.host = Some(host.to_owned());
        world.directory.lock().put(moves.clone());
        assert!(world.round(Wake::Now).await);
        let state = account(&world, moves.uuid).expect("linked").state.clone();
        let want = if host == "a.test" {
            AccountState::AwaitingMail {
                from: "b.test".to_owned(),
            }
        } else {
            AccountState::MovedAway { to: host.to_owned() }
        };
        assert_eq!(state, want, "{host}");
    }
}

// A server that is behind still has the entry of somebody who was removed: he does not come back by asking.
#[tokio::test]
async fn nobody_is_revived_on_demand() {
    let mut world = World::new(24, config(1000, false)).await;
    let gone = person(&mut world, "gone", "a.test");
    person(&mut world, "stays", "a.test");
    assert!(world.round(Wake::Now).await);
    world.directory.lock().delete(gone.uuid);
    assert!(world.round(Wake::Now).await);
    assert!(!account(&world, gone.uuid).expect("kept").can_log_in());
    world.directory.lock().entries.insert(gone.uuid, gone.clone());
    let outcome = world.engine.on_demand(&gone.address).await;
    assert_eq!(outcome, OnDemandOutcome::Unavailable);
    assert!(!account(&world, gone.uuid).expect("kept").can_log_in());
}

// groupOfNames needs a member, so the last one that leaves leaves a placeholder behind: under the default
// `absent = "keep"` too that is an empty group and no missing attribute.
#[tokio::test]
async fn the_last_member_leaves() {
    let mut keep = config(1000, false);
    keep.absent = directory::config::Absent::Keep;
    let mut world = World::new(25, keep).await;
    let member = person(&mut world, "member", "a.test");
    let mut group = person(&mut world, "list", "a.test");
    group.kind = EntryKind::Group;
    group.members = vec![member.dn.clone()];
    world.directory.lock().put(group.clone());
    assert!(world.round(Wake::Now).await);
    let members = |world: &World| {
        let found = world.store.group_by_address(&group.address).expect("reads");
        found.expect("there").members.len()
    };
    assert_eq!(members(&world), 1);
    // Withheld: kept.
    group.members = Vec::new();
    world.directory.lock().put(group.clone());
    assert!(world.round(Wake::Now).await);
    assert_eq!(members(&world), 1);
    group.members = vec!["cn=no-member,dc=test".to_owned()];
    world.directory.lock().put(group.clone());
    assert!(world.round(Wake::Now).await);
    assert_eq!(members(&world), 0);
}

// A group names somebody by a name that leads nowhere yet, or no longer, and no message tells what becomes of it: it is
// read again, over restarts too (each round here is a process of its own), and is left alone once the name is dead.
#[tokio::test]
async fn a_group_with_a_dead_name_is_read_again_for_two_minutes() {
    let mut world = World::new(27, config(1000, false)).await;
    let member = person(&mut world, "member", "a.test");
    let mut group = person(&mut world, "list", "a.test");
    group.kind = EntryKind::Group;
    let dead = "uid=former,ou=people,dc=test".to_owned();
    group.members = vec![dead.clone(), "uid=dead,ou=people,dc=test".to_owned()];
    world.directory.lock().put(group.clone());
    assert!(world.round(Wake::Now).await);
    let version = |world: &World| {
        let found = world.store.group_by_address(&group.address).expect("reads");
        let found = found.expect("there");
        (found.members.len(), found.version)
    };
    assert_eq!(version(&world).0, 0);
    // slapd rewrites the group, silently.
    let rewrite = |world: &World, name: &str| {
        let mut directory = world.directory.lock();
        let entry = directory.entries.get_mut(&group.uuid).expect("there");
        entry.members[0] = name.to_owned();
    };
    rewrite(&world, &member.dn);
    world.clock.advance(Duration::from_millis(250));
    assert!(world.round(Wake::Now).await);
    assert_eq!(version(&world).0, 1);
    let mut written = Vec::new();
    for _ in 0..15 {
        world.clock.advance(Duration::from_secs(65));
        assert!(world.round(Wake::Now).await);
        written.push(version(&world).1);
    }
    written.dedup();
    assert!((2..=9).contains(&written.len()), "{written:?}");
    let end = version(&world);
    world.settle(Wake::Full).await;
    rewrite(&world, &dead);
    world.clock.advance(Duration::from_secs(65));
    assert!(world.round(Wake::Now).await);
    assert_eq!(
        version(&world),
        end,
        "left alone, also by a comparison of everything"
    );
}
