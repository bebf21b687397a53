//! Entries larger than `max_entry`: told of by name, and never the end of a feed.

use super::live::Live;
use super::slapd::{SUFFIX, Slapd};
use super::{address, clock, config, connect};
use directory::feed::{Change, ChangeSource as _, ChangedEntry, ContentSync, FeedEvent, Following, Presence};
use directory::{ConnectorConfig, EntryKind, EntryProblem, Lookup};
use std::time::Duration;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Beyond 1 MiB, as base64.
fn recording() -> String {
    format!("audio:: {}\n", "YWFh".repeat(400_000))
}

/// The least that may be set.
fn small_limit(slapd: &Slapd) -> ConnectorConfig {
    let mut config = config(&[slapd]);
    config.max_entry = 1;
    // An attribute that is read, and may be of any size.
    config.attributes.quota = Some("audio".to_owned());
    config
}

fn edit(uid: &str, what: &str) -> String {
    format!("dn: uid={uid},ou=Users,{SUFFIX}\nchangetype: modify\n{what}")
}

async fn next(following: &mut Following) -> FeedEvent {
    timeout(PATIENCE, following.next())
        .await
        .expect("an event in time")
        .expect("a feed that goes on")
        .expect("an event")
}

/// The account entries of a refresh, and what is wrong with the next live one.
async fn refreshed(following: &mut Following) -> Vec<ChangedEntry> {
    let mut found = Vec::new();
    loop {
        match next(following).await {
            FeedEvent::Refreshing(changes) => {
                for change in changes {
                    match change {
                        Change::Entry(entry) if entry.kind == Some(EntryKind::Account) => found.push(*entry),
                        _ => {}
                    }
                }
            }
            FeedEvent::Refreshed(end) => {
                assert!(end.cookie.is_some());
                return found;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn live_entry(following: &mut Following) -> ChangedEntry {
    match next(following).await {
        FeedEvent::Live { mut changes, cookie } => {
            assert!(cookie.is_some(), "the cookie of a large entry counts too");
            match changes.pop() {
                Some(Change::Entry(entry)) if changes.is_empty() => *entry,
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

/// The uid, and whether the entry was too large.
fn shape(entry: &ChangedEntry) -> (String, bool) {
    let dn = &entry.entry.dn;
    let uid = dn
        .trim_start_matches("uid=")
        .split(',')
        .next()
        .unwrap_or_default();
    let large = match &entry.account {
        Ok(account) => {
            assert_eq!(&account.dn, dn);
            false
        }
        Err(EntryProblem::TooLarge { dn: named, size }) => {
            assert_eq!((named, *size > 1 << 20), (dn, true));
            assert!(
                entry
                    .entry
                    .attributes
                    .iter()
                    .all(|attribute| attribute.name != *"audio")
            );
            true
        }
        Err(other) => panic!("{other}"),
    };
    (uid.to_owned(), large)
}

#[tokio::test]
async fn the_feed_goes_on_behind_it() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    slapd.person("bulk", &recording());
    slapd.person("carl", "");
    let mut source = ContentSync::new(connect(small_limit(&slapd), &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    let entries = refreshed(&mut following).await;
    let mut shapes: Vec<_> = entries.iter().map(shape).collect();
    shapes.sort();
    let expected = [("anna", false), ("bulk", true), ("carl", false)];
    assert_eq!(shapes, expected.map(|(uid, large)| (uid.to_owned(), large)));

    // Live, and back again.
    slapd.modify(&edit("carl", &format!("add: audio\n{}", recording())));
    let carl = live_entry(&mut following).await;
    assert_eq!(shape(&carl), ("carl".to_owned(), true));
    // Whoever asks by UUID hears the same, not that it is gone.
    let uuids: Vec<_> = entries.iter().map(|entry| entry.uuid).collect();
    let answers = source.verify(&uuids).await.expect("answers");
    for (entry, answer) in entries.iter().zip(answers) {
        let large = !shape(entry).0.starts_with("anna");
        match answer {
            Presence::InScope(found) => {
                assert_eq!(found.uuid, entry.uuid);
                assert_eq!(found.kind, Some(EntryKind::Account));
                assert_eq!(shape(&found), (shape(entry).0, large));
            }
            other => panic!("{other:?}"),
        }
    }
    slapd.modify(&edit("carl", "delete: audio\n"));
    let again = live_entry(&mut following).await;
    assert_eq!(
        (shape(&again), again.uuid),
        (("carl".to_owned(), false), carl.uuid)
    );
}

#[tokio::test]
async fn a_live_map_leaves_it_to_the_server() {
    let slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    slapd.person("bulk", &format!("description: h2\n{}", recording()));
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(small_limit(&slapd), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    // Its address is not known here, so no "no" is: the server is asked, and knows.
    let said = live.say("bulk@localdomain.test").await;
    assert!(said.starts_with("h2 ") && said != "h2 live", "{said}");
    assert_eq!(live.say("nobody@localdomain.test").await, "no");
    let problem = live.problem().expect("a problem");
    assert!(
        problem.contains("1 entries are larger than max_entry"),
        "{problem}"
    );
    // What was known before an entry became large is not served any more.
    slapd.modify(&edit(
        "anna",
        &format!(
            "replace: description\ndescription: h3\n-\nadd: audio\n{}",
            recording()
        ),
    ));
    live.until_not("anna@localdomain.test", "h1 live").await;
    let said = live.say("anna@localdomain.test").await;
    assert!(said.starts_with("h3 ") && said != "h3 live", "{said}");
    live.stop().await;
    // After a restart the snapshot must not say that there is nobody.
    let live = Live::start(small_limit(&slapd), folder.path());
    let said = live.say("bulk@localdomain.test").await;
    assert!(said.starts_with("h2 "), "{said}");
    for uid in ["anna", "bulk"] {
        slapd.modify(&edit(uid, "delete: audio\n"));
    }
    live.until("anna@localdomain.test", "h3 live").await;
    live.until("bulk@localdomain.test", "h2 live").await;
    live.until("nobody@localdomain.test", "no").await;
    assert_eq!(live.problem(), None);
    live.stop().await;
}

// A list of hundreds of thousands must not make everybody hear "try later" at each mail to it.
#[tokio::test]
async fn a_look_up_that_meets_too_large_an_entry_is_nobody_elses_trouble() {
    let slapd = Slapd::with_large_requests();
    slapd.person("anna", "");
    // Past 16 MiB, as base64.
    slapd.person("large", &format!("audio:: {}\n", "YWFh".repeat(5_700_000)));
    let mut config = config(&[&slapd]);
    config.attributes.quota = Some("audio".to_owned());
    // Its clock stands still: a server that is passed over for a while is passed over for ever.
    let connector = connect(config, &clock());
    let (anna, large) = ("anna@localdomain.test", "large@localdomain.test");
    for _ in 0..2 {
        let found = connector.lookup_address(&address(large)).await;
        assert!(matches!(found, Lookup::Unavailable(_)), "{found:?}");
        let holder = connector.lookup_holder(&address(large)).await;
        assert!(
            matches!(&holder, Err(untold) if untold.to_string().contains("uid=large")),
            "{holder:?}"
        );
        let found = connector.lookup_address(&address(anna)).await;
        assert!(matches!(found, Lookup::Found(_)), "{found:?}");
        let holder = connector.lookup_holder(&address(anna)).await;
        assert!(matches!(holder, Ok(Lookup::Found(_))), "{holder:?}");
    }
}
