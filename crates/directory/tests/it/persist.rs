//! The feed that stays open.

use super::proxy::Proxy;
use super::slapd::{SUFFIX, Slapd, person};
use super::{clock, config, connect};
use directory::feed::{
    Change, ChangeSource as _, ContentSync, Cookie, Coverage, FeedError, FeedEvent, Following,
};
use model::EntryUuid;
use std::time::Duration;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn next(following: &mut Following) -> Result<FeedEvent, FeedError> {
    timeout(PATIENCE, following.next())
        .await
        .expect("an event in time")
        .expect("a feed that goes on")
}

/// Reads a refresh to its end: the entries named, and the cookie.
async fn refreshed(following: &mut Following) -> (Vec<EntryUuid>, Coverage, Option<Cookie>) {
    let mut named = Vec::new();
    loop {
        match next(following).await.expect("an event") {
            FeedEvent::Refreshing(changes) => {
                named.extend(changes.iter().filter_map(|change| match change {
                    Change::Entry(entry) if entry.kind.is_some() => Some(entry.uuid),
                    _ => None,
                }))
            }
            FeedEvent::Refreshed(end) => return (named, end.coverage, end.cookie),
            other => panic!("{other:?}"),
        }
    }
}

async fn live(following: &mut Following) -> (Change, Option<Cookie>) {
    match next(following).await.expect("an event") {
        FeedEvent::Live { mut changes, cookie } => {
            assert_eq!(changes.len(), 1);
            (changes.remove(0), cookie)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn changes_arrive_as_they_happen() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    let (named, coverage, cookie) = refreshed(&mut following).await;
    assert_eq!((named.len(), coverage), (1, Coverage::Everything));
    assert!(cookie.is_some());
    slapd.person("bert", "");
    let (change, _) = live(&mut following).await;
    let bert = match change {
        Change::Entry(entry) => entry.uuid,
        other => panic!("{other:?}"),
    };
    slapd.modify(&format!(
        "dn: uid=bert,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=berta\ndeleteoldrdn: 1\n"
    ));
    let (change, cookie) = live(&mut following).await;
    assert!(matches!(change, Change::Entry(entry) if entry.uuid == bert && entry.entry.dn.contains("berta")));
    let cookie = cookie.expect("slapd gives a cookie with every change");
    assert!(
        source
            .fingerprint()
            .await
            .expect("a fingerprint")
            .has_caught_up(&cookie)
    );
    slapd.modify(&format!("dn: uid=berta,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    assert!(matches!(live(&mut following).await.0, Change::Deleted(uuid) if uuid == bert));
    drop(following);
    let mut again = source.follow(Some(&cookie)).await.expect("a feed");
    let (named, ..) = refreshed(&mut again).await;
    assert!(named.is_empty(), "the cookie covers all but the delete");
}

#[tokio::test]
async fn without_persist_it_polls() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    let mut config = config(&[&slapd]);
    config.persist = false;
    let mut source = ContentSync::new(connect(config, &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    let (named, ..) = refreshed(&mut following).await;
    assert_eq!(named.len(), 1);
    assert!(following.next().await.is_none(), "come again later");
}

// The reader works on another thread while this one waits for ldapmodify.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_can_wait_is_fetched_again_by_the_cookie() {
    let slapd = Slapd::start();
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    refreshed(&mut following).await;
    let people: String = (0..1500)
        .map(|number| person(&format!("p{number}"), "") + "\n")
        .collect();
    slapd.modify(&people);
    let (mut seen, mut waited, mut resumed) = (std::collections::BTreeSet::new(), 0, 0);
    while seen.len() < 1500 {
        let changes = match next(&mut following).await.expect("an event") {
            FeedEvent::Live { changes, .. } => {
                waited += usize::from(resumed == 0) * changes.len();
                changes
            }
            FeedEvent::Refreshing(changes) => changes,
            FeedEvent::Refreshed(_) => continue,
            FeedEvent::Resuming => {
                resumed += 1;
                continue;
            }
        };
        seen.extend(changes.iter().filter_map(|change| match change {
            Change::Entry(entry) => Some(entry.uuid),
            _ => None,
        }));
    }
    assert_eq!(
        (waited, resumed),
        (1024, 1),
        "the bound holds, and nothing is lost"
    );
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed() {
    let mut slapd = Slapd::start();
    let mut source = ContentSync::new(connect(config(&[&slapd]), &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    let (.., cookie) = refreshed(&mut following).await;
    slapd.kill();
    assert!(matches!(
        next(&mut following).await,
        Err(FeedError::Unavailable(_))
    ));
    assert!(following.next().await.is_none());
    let ahead = Cookie::new("rid=000,csn=20990101000000.000000Z#000000#000#000000").expect("a cookie");
    slapd.restart();
    let mut following = loop {
        match source.follow(Some(&ahead)).await {
            Ok(following) => break following,
            Err(FeedError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(matches!(
        next(&mut following).await,
        Err(FeedError::CookieTooNew(_))
    ));
    let mut following = source.follow(cookie.as_ref()).await.expect("a feed");
    refreshed(&mut following).await;
}

#[tokio::test]
async fn a_connection_dropped_in_silence_is_noticed() {
    let slapd = Slapd::start();
    let proxy = Proxy::to(slapd.address()).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri()];
    config.timeout = 1;
    let mut source = ContentSync::new(connect(config, &clock()));
    let mut following = source.follow(None).await.expect("a feed");
    refreshed(&mut following).await;
    proxy.go_silent();
    slapd.person("anna", "");
    let error = next(&mut following).await.expect_err("the keep-alive finds out");
    assert!(matches!(error, FeedError::Unavailable(_)), "{error:?}");
    proxy.speak();
    let before = proxy.connections();
    let mut following = loop {
        match source.follow(None).await {
            Ok(following) => break following,
            Err(FeedError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(other) => panic!("{other}"),
        }
    };
    let (named, ..) = refreshed(&mut following).await;
    assert_eq!(named.len(), 1);
    assert!(proxy.connections() > before, "a new connection");
}
