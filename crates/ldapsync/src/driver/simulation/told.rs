//! What others ask of the engine, and hear from it.

use super::scenarios::person;
use super::*;
use model::OnDemandOutcome;

// Deliveries for somebody new, side by side: one account, and nobody hears "try later".
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_ask_for_one_name_at_once() {
    let mut world = World::new(26, config(1000, false)).await;
    for number in 0..10 {
        let new = person(&mut world, &format!("new{number}"), "a.test");
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (engine, address) = (Arc::clone(&world.engine), new.address.clone());
            asking.spawn(async move { engine.on_demand(&address).await });
        }
        let answers = asking.join_all().await;
        assert_eq!(answers, [OnDemandOutcome::Synced; 8]);
    }
    let accounts = world.store.list_accounts(None, 100).expect("reads").len();
    assert_eq!(accounts, 11, "and postmaster");
}

// Whoever holds sessions is told once the change is durable, and only of what sessions may not outlive.
#[tokio::test]
async fn sessions_hear_of_the_end_of_an_account() {
    let mut world = World::new(31, config(1000, true)).await;
    let mut off = person(&mut world, "off", "a.test");
    let gone = person(&mut world, "gone", "a.test");
    let mut moved = person(&mut world, "moved", "a.test");
    let mut renamed = person(&mut world, "renamed", "a.test");
    assert!(world.round(Wake::Now).await);
    assert_eq!(*world.ended.lock(), []);
    off.enabled = Some(false);
    moved.host = Some("b.test".to_owned());
    renamed.name = "Another".to_owned();
    for person in [&off, &moved, &renamed] {
        world.directory.lock().put(person.clone());
    }
    world.directory.lock().delete(gone.uuid);
    assert!(world.round(Wake::Now).await);
    let told: BTreeMap<EntryUuid, AccountEventKind> = world.ended.lock().drain(..).collect();
    let to = "b.test".to_owned();
    let want = [
        (off.uuid, AccountEventKind::Disabled),
        (gone.uuid, AccountEventKind::Deleted),
        (moved.uuid, AccountEventKind::MovedAway { to }),
    ];
    assert_eq!(told, BTreeMap::from(want));
    assert!(world.round(Wake::Full).await);
    assert_eq!(*world.ended.lock(), [], "told once");
}
