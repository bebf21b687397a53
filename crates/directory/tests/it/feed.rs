//! Polling for changes.

use super::slapd::{SUFFIX, Slapd, person};
use super::{clock, config, connect};
use directory::EntryKind;
use directory::feed::{
    Change, ChangeSource as _, ContentSync, Cookie, Coverage, FeedError, PollEnd, Presence, Step,
};
use model::EntryUuid;
use std::collections::BTreeMap;

struct Poll {
    entries: BTreeMap<String, EntryUuid>,
    outside: usize,
    present: usize,
    deleted: Vec<EntryUuid>,
    end: PollEnd,
}

async fn poll(source: &mut ContentSync, cookie: Option<&Cookie>) -> Result<Poll, FeedError> {
    let mut changes = source.poll(cookie).await?;
    let (mut entries, mut outside, mut present, mut deleted) = (BTreeMap::new(), 0, 0, Vec::new());
    while let Some(step) = changes.next().await {
        match step? {
            Step::Changes(list) => {
                for change in list {
                    match change {
                        Change::Entry(entry) if entry.kind.is_none() => outside += 1,
                        Change::Entry(entry) => {
                            let name = entry.entry.first_str("cn").unwrap_or_default().to_owned();
                            assert_eq!(entry.account.expect("readable").uuid, entry.uuid);
                            entries.insert(name, entry.uuid);
                        }
                        Change::Present(_) => present += 1,
                        Change::Deleted(uuid) => deleted.push(uuid),
                    }
                }
            }
            Step::Done(end) => {
                assert!(changes.next().await.is_none(), "nothing follows the end");
                return Ok(Poll {
                    entries,
                    outside,
                    present,
                    deleted,
                    end,
                });
            }
        }
    }
    panic!("a feed without an end")
}

fn names(poll: &Poll) -> Vec<&str> {
    poll.entries.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn add_modify_rename_delete() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    slapd.person("bert", "");
    slapd.modify(&format!(
        "dn: cn=team,ou=Groups,{SUFFIX}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: team\n\
         mail: staff@localdomain.test\nmember: uid=anna,ou=Users,{SUFFIX}\n"
    ));
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let first = poll(&mut source, None).await.expect("a first refresh");
    assert_eq!(names(&first), ["anna", "bert", "team"]);
    assert_eq!(first.end.coverage, Coverage::Everything);
    let cookie = first.end.cookie.expect("a cookie");
    let fingerprint = source.fingerprint().await.expect("a fingerprint");
    assert_eq!(fingerprint.suffix, SUFFIX);
    assert!(fingerprint.has_caught_up(&cookie), "{fingerprint:?} {cookie:?}");

    let quiet = poll(&mut source, Some(&cookie)).await.expect("nothing new");
    assert!(quiet.entries.is_empty() && quiet.deleted.is_empty());
    assert_eq!(quiet.end.coverage, Coverage::NamedDeletes);
    let cookie = quiet.end.cookie.unwrap_or(cookie);

    slapd.person("carl", "");
    slapd.modify(&format!(
        "dn: uid=bert,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=berta\ndeleteoldrdn: 1\n"
    ));
    slapd.modify(&format!("dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    let cookie = Cookie::from_stored(&cookie.to_stored()).expect("undamaged");
    let next = poll(&mut source, Some(&cookie)).await.expect("changes");
    assert_eq!(names(&next), ["bert", "carl"]);
    assert_eq!(
        next.entries["bert"], first.entries["bert"],
        "a rename keeps the UUID"
    );
    match next.end.coverage {
        Coverage::NamedDeletes => assert_eq!(next.deleted, [first.entries["anna"]]),
        Coverage::Everything => assert!(next.present > 0),
    }
    let asked = [
        first.entries["anna"],
        first.entries["bert"],
        first.entries["team"],
    ];
    let answers = source.verify(&asked).await.expect("answers");
    assert!(matches!(answers[0], Presence::Gone), "{answers:?}");
    assert!(matches!(&answers[1], Presence::InScope(entry) if entry.kind == Some(EntryKind::Account)));
    assert!(matches!(&answers[2], Presence::InScope(entry) if entry.kind == Some(EntryKind::Group)));
}

#[tokio::test]
async fn an_entry_that_moves_away_is_not_gone() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    slapd.person("bert", "");
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let first = poll(&mut source, None).await.expect("a first refresh");
    let cookie = first.end.cookie.expect("a cookie");
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=anna\ndeleteoldrdn: 0\nnewsuperior: ou=Elsewhere,{SUFFIX}\n"
    ));
    let next = poll(&mut source, Some(&cookie)).await.expect("changes");
    assert!(
        next.entries.is_empty(),
        "it is in nobody's scope now: {:?}",
        next.entries
    );
    assert!(next.outside == 1 || next.deleted == [first.entries["anna"]]);
    let answers = source.verify(&[first.entries["anna"]]).await.expect("answers");
    assert!(
        matches!(&answers[0], Presence::OutOfScope(entry) if entry.dn.contains("Elsewhere")),
        "{answers:?}"
    );
}

#[tokio::test]
async fn what_a_restart_forgets_is_told_as_a_present_phase_or_by_name() {
    let mut slapd = Slapd::start();
    for number in 0..30 {
        slapd.person(&format!("p{number}"), "");
    }
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let first = poll(&mut source, None).await.expect("a first refresh");
    assert_eq!(first.entries.len(), 30);
    let cookie = first.end.cookie.expect("a cookie");
    slapd.modify(&format!("dn: uid=p7,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    slapd.restart();
    // The old connection is gone; the first poll may find out the hard way.
    let next = match poll(&mut source, Some(&cookie)).await {
        Err(FeedError::Unavailable(_)) => poll(&mut source, Some(&cookie)).await,
        other => other,
    }
    .expect("changes");
    match next.end.coverage {
        Coverage::Everything => assert_eq!(next.present + next.entries.len(), 29),
        Coverage::NamedDeletes => assert_eq!(next.deleted, [first.entries["p7"]]),
    }
}

#[tokio::test]
async fn a_cookie_ahead_of_the_server_and_a_dead_server() {
    let mut slapd = Slapd::start();
    slapd.modify(&person("anna", ""));
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let cookie = Cookie::new("rid=000,csn=20990101000000.000000Z#000000#000#000000").expect("a cookie");
    let error = poll(&mut source, Some(&cookie)).await.err().expect("an error");
    assert!(matches!(error, FeedError::CookieTooNew(_)), "{error:?}");
    assert!(
        !source
            .fingerprint()
            .await
            .expect("a fingerprint")
            .has_caught_up(&cookie)
    );
    slapd.kill();
    for _ in 0..2 {
        let error = poll(&mut source, None).await.err().expect("an error");
        assert!(matches!(error, FeedError::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_base_that_does_not_exist_is_no_empty_directory() {
    let slapd = Slapd::start();
    slapd.modify(&person("anna", ""));
    let cookie = {
        let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
        poll(&mut source, None).await.expect("a poll").end.cookie
    };
    let wrong = format!("ou=Userz,{SUFFIX}");
    for persist in [false, true] {
        let mut misspelt = config(&[&slapd]);
        misspelt.accounts.base_dn = vec![wrong.clone()];
        misspelt.persist = persist;
        let mut source = ContentSync::new(connect(misspelt, &clock()));
        for cookie in [None, cookie.as_ref()] {
            let error = source.follow(cookie).await.map(drop).expect_err("an error");
            assert!(
                matches!(&error, FeedError::Protocol(text) if text.contains(&wrong)),
                "{error:?}"
            );
        }
    }
}

// What is looked up is read against what the server has said of itself, so nobody else may answer in its place.
#[tokio::test]
async fn who_answers_after_a_lost_connection_is_asked_how_far_it_is() {
    let mut slapd = Slapd::start();
    slapd.modify(&person("anna", ""));
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let all = poll(&mut source, None).await.expect("a poll").entries;
    let anna = [all["anna"]];
    // The old connection is gone; the first question may find out the hard way.
    slapd.restart();
    let _ = source.verify(&anna).await;
    let found = source.verify(&anna).await.expect("nobody was asked yet");
    assert!(matches!(found.as_slice(), [Presence::InScope(_)]), "{found:?}");
    source.fingerprint().await.expect("how far it is");
    slapd.restart();
    let _ = source.verify(&anna).await;
    for _ in 0..2 {
        let refused = source.verify(&anna).await.expect_err("another connection");
        assert!(refused.to_string().contains("how far"), "{refused}");
    }
    source.fingerprint().await.expect("how far it is");
    let found = source.verify(&anna).await.expect("an answer");
    assert!(matches!(found.as_slice(), [Presence::InScope(_)]), "{found:?}");
}
