//! Many writes, in transactions (RFC 5805).

use super::*;
use directory::write::Fate;

fn people(count: usize) -> Vec<Write> {
    (0..count)
        .map(|number| Write::Add(person(&format!("p{number}"), &[])))
        .collect()
}

async fn all(writer: &Arc<Writer>, writes: Vec<Write>) -> Vec<Written> {
    let answers = writer.write_all(writes, &names(&["mail", "displayName"])).await;
    answers
        .into_iter()
        .map(|answer| answer.expect("written"))
        .collect()
}

fn display_name(one: &Written, text: &str) -> Write {
    let change = AttributeChange::values("displayName", Vec::new(), vec![value(text)]);
    modify(one, seen(one), change)
}

#[tokio::test]
async fn each_of_many_has_its_own_answer() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    // slapd does not survive adds in a transaction.
    let before = slapd.commits();
    let added = all(&writer, people(250)).await;
    assert!(slapd.commits() - before >= 250);
    for (number, one) in added.iter().enumerate() {
        assert_eq!(
            one.entry.first_str("mail"),
            Some(format!("p{number}@localdomain.test").as_str())
        );
    }
    assert_eq!(slapd.values("p249", "entryUUID"), [added[249].uuid.to_string()]);
    assert_eq!(
        slapd.values("p249", "entryCSN"),
        added[249].csn.clone().into_iter().collect::<Vec<_>>()
    );
    let rename = Write::Rename {
        target: target(&added[1]),
        precondition: seen(&added[1]),
        rdn: Rdn::new("uid", "renamed").expect("an RDN"),
        new_parent: None,
    };
    let delete = Write::Delete {
        target: target(&added[2]),
        precondition: seen(&added[2]),
    };
    let mut changes = vec![display_name(&added[0], "Zero"), rename, delete];
    changes.extend(added[10..240].iter().map(|one| display_name(one, "Many")));
    let before = slapd.commits();
    let done = all(&writer, changes).await;
    let commits = slapd.commits() - before;
    assert!((3..25).contains(&commits), "not one for each entry: {commits}");
    assert_eq!(done[0].entry.first_str("displayName"), Some("Zero"));
    assert_eq!(done[1].dn, format!("uid=renamed,ou=Users,{SUFFIX}"));
    assert_eq!((done[2].uuid, done[2].csn.as_ref()), (added[2].uuid, None));
    assert_eq!(slapd.values("p109", "displayName"), ["Many"]);
    assert_eq!(slapd.values("renamed", "entryUUID"), [done[1].uuid.to_string()]);
    assert!(done[0].csn.is_some(), "who brings a new attribute goes alone");
    assert!(
        done[1..].iter().all(|one| one.csn.is_none()),
        "it may be somebody else's by now"
    );
}

#[tokio::test]
async fn what_needs_a_look_keeps_nobody_from_a_transaction() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let added = all(&writer, people(102)).await;
    let mut writes: Vec<Write> = added.iter().map(|one| display_name(one, "Ours")).collect();
    // One that replaces, and one that comes to nothing.
    writes[50] = modify(&added[50], seen(&added[50]), set("displayName", "Ours"));
    writes[51] = modify(&added[51], seen(&added[51]), set("mail", "p51@localdomain.test"));
    let before = slapd.commits();
    let done = all(&writer, writes).await;
    let commits = slapd.commits() - before;
    assert!((2..25).contains(&commits), "{commits}");
    for number in [0, 49, 50, 101] {
        assert_eq!(
            done[number].entry.first_str("displayName"),
            Some("Ours"),
            "{number}"
        );
    }
    assert_eq!(done[51].csn, added[51].csn, "nothing was sent");
}

#[tokio::test]
async fn one_that_cannot_be_written_does_not_keep_the_others_back() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let added = all(&writer, people(6)).await;
    slapd.modify(&format!(
        "dn: uid=p1,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: displayName\ndisplayName: Foreign\n"
    ));
    slapd.modify(&format!(
        "dn: uid=p2,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=moved\ndeleteoldrdn: 1\n"
    ));
    slapd.modify(&format!("dn: uid=p3,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    let mut writes: Vec<Write> = added
        .iter()
        .map(|one| {
            let change = AttributeChange::values("displayName", Vec::new(), vec![value("Ours")]);
            modify(
                one,
                Precondition {
                    csn: None,
                    ..seen(one)
                },
                change,
            )
        })
        .collect();
    writes[1] = modify(&added[1], seen(&added[1]), set("displayName", "Ours"));
    writes.push(Write::Add(person("p0", &[])));
    let answers = writer.write_all(writes, &names(&["displayName"])).await;
    for number in [0, 2, 4, 5] {
        let written = answers[number].as_ref().expect("written");
        assert_eq!(written.entry.first_str("displayName"), Some("Ours"), "{number}");
    }
    assert!(matches!(answers[1], Err(WriteError::Stale)), "{:?}", answers[1]);
    assert_eq!(
        answers[2].as_ref().expect("found by its UUID").dn,
        format!("uid=moved,ou=Users,{SUFFIX}")
    );
    assert!(
        matches!(answers[3], Err(WriteError::NoSuchObject)),
        "{:?}",
        answers[3]
    );
    assert!(
        matches!(answers[6], Err(WriteError::AlreadyExists(Some(_)))),
        "{:?}",
        answers[6]
    );
    // What the answers say is what is there, and no value of the batch that was given up.
    assert_eq!(slapd.values("p0", "displayName"), ["Ours"]);
    assert_eq!(slapd.values("p1", "displayName"), ["Foreign"]);
}

/// slapd frees the updates of a transaction at its end, also while the threads that have just sent the receipts still
/// use them (docs/design/0007). Nothing of it can be seen from outside but what we leave between the two.
#[tokio::test]
async fn the_server_is_given_time_before_a_transaction_ends() {
    let slapd = Slapd::start();
    let spy = Spy::to(slapd.address().port(), Meddle::Not).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![spy.uri()];
    config.writes.transaction = 40;
    let writer = writer(config);
    let added = all(&writer, people(90)).await;
    // The second batch is refused, for what one of it names is gone.
    slapd.modify(&format!("dn: uid=p50,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    let changes = added.iter().map(|one| display_name(one, "Ours")).collect();
    let answers = writer.write_all(changes, &[]).await;
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(number, 50),
            Err(error) => assert!(
                matches!((number, error), (50, WriteError::NoSuchObject)),
                "{number}: {error}"
            ),
        }
    }
    let looks = spy.looks_before_ends();
    assert_eq!(looks.len(), 4, "three batches, and one of them twice");
    assert!(looks.iter().all(|looks| *looks >= 4), "{looks:?}");
}

/// Two transactions are under way at a time, and each of them is refused, more than once: what crashes slapd where an end
/// comes too soon (docs/design/0007).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outlives_transactions_that_are_refused_beside_each_other() {
    let slapd = Slapd::start();
    let mut config = config(&[&slapd]);
    config.writes.transaction = 25;
    config.writes.rate = 0;
    let writer = writer(config);
    let added = all(&writer, people(100)).await;
    let old = Precondition {
        csn: Some("20000101000000.000000Z#000000#001#000000".to_owned()),
        hosts: Vec::new(),
    };
    let mut was = Vec::new();
    for round in 0..3 {
        let now = vec![value(&format!("Round {round}"))];
        let change = || AttributeChange::values("displayName", was.clone(), now.clone());
        let is_stale = |number: usize| number % 25 == round || number % 25 == 24;
        let writes = added.iter().enumerate().map(|(number, one)| {
            let asserted = match is_stale(number) {
                true => old.clone(),
                false => Precondition::default(),
            };
            modify(one, asserted, change())
        });
        let answers = writer.write_all(writes.collect(), &[]).await;
        for (number, answer) in answers.iter().enumerate() {
            match is_stale(number) {
                true => assert!(matches!(answer, Err(WriteError::Stale)), "{number}: {answer:?}"),
                false => assert!(answer.is_ok(), "{number}: {answer:?}"),
            }
        }
        // Those who were refused are brought to where the others are.
        for (number, one) in added.iter().enumerate().filter(|(number, _)| is_stale(*number)) {
            let write = modify(one, Precondition::default(), change());
            let answer = writer.write(&write, &[]).await;
            assert!(answer.is_ok(), "{number}: {answer:?}");
        }
        was = now;
    }
    assert_eq!(slapd.values("p99", "displayName"), ["Round 2"]);
}

/// The server hangs up at one request, as slapd does at one that is too large for it.
#[tokio::test]
async fn one_that_ends_the_connection_does_not_put_the_others_off() {
    let slapd = Slapd::start();
    let spy = Spy::to(slapd.address().port(), Meddle::HangUp("poison")).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![spy.uri()];
    // Nobody waits so long for a server that is said to be away.
    config.retry_interval = 60;
    config.writes.transaction = 1;
    let writer = writer(config);
    let added = all(&writer, people(40)).await;
    // Half of them look at the entry first.
    let changes = added.iter().enumerate().map(|(number, one)| match number {
        12 => display_name(one, "poison"),
        even if even % 2 == 0 => display_name(one, "Ours"),
        _ => modify(one, seen(one), set("displayName", "Ours")),
    });
    let answers = writer
        .write_all(changes.collect(), &names(&["displayName"]))
        .await;
    let mut unknown = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(written) => assert_eq!(written.entry.first_str("displayName"), Some("Ours")),
            // What was under way on the connection when it ended.
            Err(WriteError::Unavailable {
                fate: Fate::Unknown, ..
            }) => unknown.push(number),
            Err(error) => panic!("{number}: {error:?}"),
        }
    }
    assert!(unknown.contains(&12) && unknown.len() <= 4, "{unknown:?}");
    all(&writer, vec![display_name(&added[12], "After")]).await;
}

#[tokio::test]
async fn without_transactions_they_go_one_by_one() {
    let slapd = Slapd::start();
    let mut config = config(&[&slapd]);
    config.writes.transaction = 1;
    let writer = writer(config);
    let added = all(&writer, people(20)).await;
    let before = slapd.commits();
    all(
        &writer,
        added.iter().map(|one| display_name(one, "Ours")).collect(),
    )
    .await;
    assert!(slapd.commits() - before >= 20);
    assert_eq!(slapd.values("p19", "displayName"), ["Ours"]);
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown_for_all_of_its_batch() {
    let slapd = Slapd::start();
    let proxy = Proxy::to(slapd.address()).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri()];
    config.timeout = 1;
    let writer = writer(config);
    let added = all(&writer, people(10)).await;
    proxy.lose_commits();
    let changes = added.iter().map(|one| display_name(one, "Ours")).collect();
    let mut answers = writer.write_all(changes, &[]).await.into_iter();
    let first = answers.next().expect("ten answers");
    assert!(first.is_ok(), "who brings a new attribute goes alone: {first:?}");
    for answer in answers {
        assert!(
            matches!(
                answer,
                Err(WriteError::Unavailable {
                    fate: Fate::Unknown,
                    ..
                })
            ),
            "{answer:?}"
        );
    }
    assert_eq!(
        slapd.values("p9", "displayName"),
        ["Ours"],
        "this time it took place"
    );
}

#[tokio::test]
async fn a_server_that_is_away_has_done_nothing() {
    let mut slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    slapd.kill();
    for answer in writer.write_all(people(3), &[]).await {
        assert!(
            matches!(
                &answer,
                Err(WriteError::Unavailable {
                    fate: Fate::NotDone,
                    ..
                })
            ),
            "{answer:?}"
        );
    }
}

// A proxy before the server may take few connections of one client.
#[tokio::test]
async fn a_second_connection_that_is_refused_says_nothing_against_the_first() {
    let slapd = Slapd::start();
    let proxy = Proxy::to(slapd.address()).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri()];
    let writer = writer(config);
    let added = all(&writer, people(250)).await;
    // The one of single writes, and one more.
    proxy.take_at_most(2);
    let mut versions = added;
    for round in 1..=3 {
        let name = |round: u32| vec![value(&format!("N{round}"))];
        let was = if round > 1 { name(round - 1) } else { Vec::new() };
        let writes = versions.iter().map(|one| {
            let change = AttributeChange::values("displayName", was.clone(), name(round));
            let seen = Precondition {
                csn: None,
                ..seen(one)
            };
            modify(one, seen, change)
        });
        let (before, refused) = (slapd.commits(), proxy.refused());
        versions = all(&writer, writes.collect()).await;
        let commits = slapd.commits() - before;
        assert!((3..25).contains(&commits), "round {round}: {commits}");
        assert!(proxy.refused() > refused, "the second one was not asked for");
        while proxy.open() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
