//! Entries that cannot be seen, and neither can what stood above them: deleted with their branch, or only hidden.

use super::scenarios::{account, person};
use super::*;
use crate::driver::operate::Order;

// Rights to read one branch are withdrawn; people elsewhere are still seen, so the sample says nothing.
#[tokio::test]
async fn nobody_is_removed_whose_parent_cannot_be_read() {
    let mut world = World::new(29, config(1000, false)).await;
    let mut people = Vec::new();
    for number in 0..3 {
        let mut one = person(&mut world, &format!("h{number}"), "a.test");
        one.dn = format!("uid=h{number},ou=Closed,ou=people,dc=test");
        world.directory.lock().put(one.clone());
        people.push(one);
        person(&mut world, &format!("open{number}"), "a.test");
    }
    assert!(world.round(Wake::Now).await);
    let hidden: Vec<Person> = {
        let mut directory = world.directory.lock();
        directory.hidden.insert("ou=Closed,ou=people,dc=test".to_owned());
        people
            .iter()
            .filter_map(|one| directory.entries.remove(&one.uuid))
            .collect()
    };
    let plan = world.engine.plan().await.expect("a plan");
    assert_eq!((plan.changes, plan.set_aside.len()), (0, 3), "{plan:?}");
    assert!(world.round(Wake::Full).await);
    for one in &people {
        assert!(account(&world, one.uuid).expect("linked").can_log_in());
    }
    let rows = world.engine.status().quarantine;
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.reason.starts_with("uid=h")), "{rows:?}");
    // The rights come back with two of them: the third was deleted meanwhile, and now that counts.
    world.directory.lock().hidden.clear();
    let returned = hidden.into_iter().skip(1).map(|one| (one.uuid, one));
    world.directory.lock().entries.extend(returned);
    world.clock.advance(Duration::from_secs(31));
    assert!(world.round(Wake::Now).await);
    let can_log_in: Vec<bool> = people
        .iter()
        .map(|one| account(&world, one.uuid).expect("linked").can_log_in())
        .collect();
    assert_eq!(can_log_in, [false, true, true]);
    assert!(world.engine.status().quarantine.is_empty());
}

// A branch gets another name, and slapd says nothing about the entries below it. The daily comparison writes their
// names down, so that a deletion later asks for the right parent.
#[tokio::test]
async fn a_renamed_branch_is_noticed() {
    let mut world = World::new(30, config(1000, false)).await;
    let mut moved = person(&mut world, "moved", "a.test");
    person(&mut world, "stays", "a.test");
    assert!(world.round(Wake::Now).await);
    moved.dn = "uid=moved,ou=staff,dc=test".to_owned();
    {
        let mut directory = world.directory.lock();
        directory.entries.insert(moved.uuid, moved.clone());
        directory.hidden.insert("ou=people,dc=test".to_owned());
    }
    assert!(world.round(Wake::Full).await);
    world.directory.lock().delete(moved.uuid);
    assert!(world.round(Wake::Now).await);
    assert!(!account(&world, moved.uuid).expect("linked").can_log_in());
}

// A branch gets another name and then loses somebody before the daily comparison. Nothing of the former name can be read,
// but the branch is known by its UUID, in this process and in the next.
#[tokio::test]
async fn a_renamed_branch_is_found_by_its_uuid() {
    let mut world = World::new(33, config(1000, false)).await;
    let mut people = closed(&mut world, 4);
    let mut branch = person(&mut world, "branch", "a.test");
    branch.in_scope = false;
    branch.dn = "ou=Closed,ou=people,dc=test".to_owned();
    world.directory.lock().put(branch.clone());
    assert!(world.round(Wake::Now).await);
    branch.dn = "ou=Staff,ou=people,dc=test".to_owned();
    {
        let mut directory = world.directory.lock();
        directory.put(branch.clone());
        directory.hidden.insert("ou=Closed,ou=people,dc=test".to_owned());
        directory.delete(people[0].uuid);
    }
    // Nobody below it can be seen: what was lost with the name may be rights.
    assert!(world.round(Wake::Now).await);
    assert_eq!(active(&world, &people), 4);
    assert_eq!(world.engine.status().quarantine.len(), 1);
    {
        let mut directory = world.directory.lock();
        people[3].dn = "uid=h3,ou=Staff,ou=people,dc=test".to_owned();
        directory.entries.insert(people[3].uuid, people[3].clone());
    }
    world.clock.advance(Duration::from_secs(31));
    assert!(world.round(Wake::Now).await);
    assert_eq!(active(&world, &people), 3);
    assert!(world.engine.status().quarantine.is_empty());
    // The branch itself is not to be seen any more: that may be lost rights.
    {
        let mut directory = world.directory.lock();
        directory.delete(branch.uuid);
        directory.delete(people[1].uuid);
    }
    assert!(world.round(Wake::Now).await);
    assert_eq!(
        (active(&world, &people), world.engine.status().quarantine.len()),
        (3, 1)
    );
}

// A branch is deleted with everybody in it, which looks like lost rights: it takes an administrator's word, and the guard has
// its say all the same.
#[tokio::test]
async fn who_is_said_to_be_gone_goes() {
    let mut world = World::new(32, config(3, false)).await;
    let people = closed(&mut world, 6);
    assert!(world.round(Wake::Now).await);
    delete_branch(&world, &people);
    assert!(world.round(Wake::Full).await);
    assert_eq!(active(&world, &people), 6);
    let rows = world.engine.status().quarantine;
    let advice = "homing sync quarantine gone 'ou=Closed,ou=people,dc=test'";
    assert!(
        rows.len() == 6 && rows.iter().all(|row| row.reason.contains(advice)),
        "{rows:?}"
    );
    let below = |dn: &str| Order::Gone(ldap::Dn::parse(dn).expect("a DN"));
    let mut worker = Worker::load(&world.engine).await.expect("loads");
    let nobody = worker.obey(below("ou=Open,ou=people,dc=test")).await;
    assert_eq!(nobody.expect("heard"), 0);
    assert_eq!(active(&world, &people), 6);
    let found = worker.obey(below("OU=closed, ou=people, dc=test")).await;
    assert_eq!(found.expect("heard"), 6);
    drop(worker);
    let guard = world.engine.status().guard;
    assert_eq!((active(&world, &people), guard.held), (4, 4));
    // What is approved is that, although the branch is still not to be seen, and by another process.
    let mut worker = Worker::load(&world.engine).await.expect("loads");
    let hash = guard.hash.expect("a hash to approve");
    assert!(worker.approve(&hash).await.expect("kept"));
    drop(worker);
    assert!(world.round(Wake::Now).await);
    assert_eq!(active(&world, &people), 0);
    assert!(world.engine.status().quarantine.is_empty());
}

/// People in a branch of their own, and as many elsewhere.
fn closed(world: &mut World, count: usize) -> Vec<Person> {
    let people = (0..count).map(|number| {
        person(world, &format!("open{number}"), "a.test");
        let mut one = person(world, &format!("h{number}"), "a.test");
        one.dn = format!("uid=h{number},ou=Closed,ou=people,dc=test");
        world.directory.lock().put(one.clone());
        one
    });
    people.collect()
}

fn delete_branch(world: &World, people: &[Person]) {
    let mut directory = world.directory.lock();
    for one in people {
        directory.delete(one.uuid);
    }
    directory.hidden.insert("ou=Closed,ou=people,dc=test".to_owned());
}

fn active(world: &World, people: &[Person]) -> usize {
    let can_log_in = |one: &&Person| account(world, one.uuid).expect("linked").can_log_in();
    people.iter().filter(can_log_in).count()
}
