//! Many people whom nobody here has: they come together, and what is in the way of one of them stops no other.

use super::*;

fn people(world: &mut World, count: usize) -> Vec<Person> {
    let people: Vec<Person> = (0..count)
        .map(|number| {
            let mut person = world.new_person();
            person.address = address(&format!("n{number}@example.test"));
            person.aliases = vec![address(&format!("also.n{number}@example.test"))];
            person.dn = format!("uid=n{number},ou=people,dc=test");
            person.host = Some("a.test".to_owned());
            person
        })
        .collect();
    for person in &people {
        world.directory.lock().put(person.clone());
    }
    people
}

fn linked(world: &World, person: &Person) -> Option<Arc<store::Account>> {
    let link = world
        .store
        .association_by_uuid("people", person.uuid)
        .expect("reads")?;
    match link.local {
        LocalId::Account(id) => world.store.account(id).expect("reads"),
        LocalId::Group(_) => None,
    }
}

#[tokio::test]
async fn who_is_new_comes_together_and_not_again() {
    let mut world = World::new(61, config(1000, false)).await;
    let people = people(&mut world, 1300);
    let before = world.store.stats().commits;
    assert!(world.round(Wake::Now).await);
    let commits = world.store.stats().commits - before;
    assert!(commits < 20, "{commits} commits of 1300 accounts");
    for person in &people {
        let account = linked(&world, person).expect("here");
        assert_eq!(
            (&account.address, &account.aliases),
            (&person.address, &person.aliases)
        );
        assert!(account.can_log_in() && account.version == 1);
    }
    // One row of the journal for each, as for whoever comes alone.
    let (mut created, mut after) = (0, 0);
    loop {
        let rows = world.store.journal_after(after, 256).expect("reads");
        let Some(last) = rows.last() else { break };
        after = last.seq;
        let by_us = |row: &&store::JournalEntry| row.origin == Origin::Connector("people".to_owned());
        created += rows
            .iter()
            .filter(by_us)
            .filter(|row| row.touched.has(Touched::CREATED))
            .count();
    }
    assert_eq!(created, people.len());
    let before = world.store.stats().commits;
    assert!(world.round(Wake::Full).await);
    let commits = world.store.stats().commits - before;
    assert!(commits < 5, "{commits} commits for nothing");
}

#[tokio::test]
async fn what_is_in_the_way_of_one_stops_no_other() {
    let mut world = World::new(62, config(1000, false)).await;
    let mut people = people(&mut world, 700);
    // Somebody made it here before: it joins. A service has an address that is an alias there: that one waits.
    let by = admin();
    let namesake = NewAccount::new(people[7].address.clone());
    let namesake = world.store.create_account(namesake, &by).await.expect("created");
    let service = NewAccount::new(people[600].aliases[0].clone());
    world.store.create_account(service, &by).await.expect("created");
    // Two entries with one address: the first has it, and nobody has both.
    people[20].address = people[21].address.clone();
    world.directory.lock().put(people[20].clone());
    assert!(world.round(Wake::Now).await);
    let here = |number: usize| linked(&world, &people[number]);
    assert_eq!(here(7).expect("joined").id, namesake);
    assert!(here(600).is_none());
    assert_eq!([here(20), here(21)].iter().flatten().count(), 1);
    let others = (0..700).filter(|number| ![20, 21, 600].contains(number));
    for number in others {
        let account = here(number).expect("here");
        assert_eq!(account.address, people[number].address);
    }
    assert_eq!(world.engine.status().quarantine.len(), 2);
}

/// An entry that the store does not take is set aside alone, not with those whose rows are made beside it.
#[tokio::test]
async fn one_that_cannot_be_made_takes_nobody_with_it() {
    let mut world = World::new(64, config(1000, false)).await;
    let mut people = people(&mut world, 700);
    // More than an account may have.
    people[300].aliases = (0..1001)
        .map(|n| address(&format!("a{n}@example.test")))
        .collect();
    world.directory.lock().put(people[300].clone());
    assert!(world.round(Wake::Now).await);
    for (number, person) in people.iter().enumerate() {
        assert_eq!(linked(&world, person).is_some(), number != 300, "{number}");
    }
    let rows = world.engine.status().quarantine;
    assert_eq!(rows.len(), 1, "{rows:?}");
}

/// Nobody lives here, but it is known who lives elsewhere: who is gone there is not known for ever.
#[tokio::test]
async fn where_nobody_lives_it_is_noticed_who_is_gone() {
    let mut world = World::new(65, config(1000, true)).await;
    let mut people = people(&mut world, 3);
    for person in &mut people {
        person.host = Some("b.test".to_owned());
        world.directory.lock().put(person.clone());
    }
    let noted = |world: &World, person: &Person| world.store.elsewhere("people", person.uuid).expect("reads");
    assert!(world.round(Wake::Now).await);
    assert!(world.round(Wake::Full).await);
    assert!(people.iter().all(|person| noted(&world, person).is_some()));
    // No message says so.
    world.directory.lock().entries.remove(&people[1].uuid);
    assert!(world.round(Wake::Full).await);
    let there: Vec<bool> = people.iter().map(|one| noted(&world, one).is_some()).collect();
    assert_eq!(there, [true, false, true]);
}

#[tokio::test]
async fn a_mail_server_that_dies_among_them_goes_on() {
    for after in [1, 2, 5, 9] {
        let mut world = World::new(63, config(1000, false)).await;
        let people = people(&mut world, 1300);
        world.directory.lock().faults.crash_after = Some(after);
        world.round(Wake::Now).await;
        world.directory.lock().faults = Faults::default();
        assert!(world.round(Wake::Now).await);
        assert!(people.iter().all(|person| linked(&world, person).is_some()));
        assert!(world.engine.status().quarantine.is_empty());
    }
}
