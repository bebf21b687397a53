//! The change feed: DirSync with all rights, with those of an ordinary account, and change numbers.

use super::{as_reader, config, connector, person};
use crate::clock;
use crate::spy::{Meddle, Spy};
use directory::feed::{self, Change, ChangeSource, Cookie, Coverage, FeedError, FeedEvent, PollEnd, Step};
use directory::{ConnectorConfig, EntryKind};
use ldap::ResultCode;
use ldap::control::DirSyncRequest;
use model::EntryUuid;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use testkit::Samba;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Seen {
    /// By `cn`, with the address.
    entries: BTreeMap<String, EntryUuid>,
    members: BTreeMap<String, usize>,
    outside: BTreeSet<EntryUuid>,
    present: BTreeSet<EntryUuid>,
    deleted: Vec<EntryUuid>,
}

impl Seen {
    fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Entry(entry) if entry.kind.is_none() => {
                    self.outside.insert(entry.uuid);
                }
                Change::Entry(entry) => {
                    let name = entry.entry.first_str("cn").expect("a name").to_owned();
                    let account = entry.account.expect("readable");
                    assert_eq!(account.uuid, entry.uuid);
                    if account.kind == EntryKind::Group {
                        self.members.insert(name.clone(), account.members.len());
                    }
                    self.entries.insert(name, entry.uuid);
                }
                Change::Present(uuid) => drop(self.present.insert(uuid)),
                Change::Deleted(uuid) => self.deleted.push(uuid),
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }
}

async fn poll(source: &mut dyn ChangeSource, cookie: Option<&Cookie>) -> Result<(Seen, PollEnd), FeedError> {
    let mut changes = source.poll(cookie).await?;
    let mut seen = Seen::default();
    while let Some(step) = changes.next().await {
        match step? {
            Step::Changes(list) => seen.take(list),
            Step::Done(end) => return Ok((seen, end)),
        }
    }
    panic!("a feed without an end")
}

/// How many members the feed tells of a group.
pub(super) async fn members_in_feed(config: ConnectorConfig, group: &str) -> usize {
    let mut source = feed::open(&connector(config));
    let (seen, _) = poll(source.as_mut(), None).await.expect("a poll");
    seen.members[group]
}

/// Polls from `cookie` on, and keeps the new one there.
async fn next(source: &mut dyn ChangeSource, cookie: &mut Option<Cookie>) -> (Seen, Coverage) {
    let (seen, end) = poll(source, cookie.as_ref()).await.expect("a poll");
    *cookie = Some(end.cookie.expect("a cookie"));
    (seen, end.coverage)
}

fn rename(dn: &str, rdn: &str, superior: &str) -> String {
    format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\nnewsuperior: {superior}\n\n")
}

/// What every way of reading changes must tell.
async fn tells_everything(samba: &Samba, config: ConnectorConfig) {
    let people = samba.people_dn();
    samba.add(&person(samba, "anna", "")).expect("anna");
    samba.add(&person(samba, "bert", "")).expect("bert");
    samba
        .add(&samba.group_ldif("team", "team@example.test", &[samba.user_dn("anna")]))
        .expect("a group");
    let mut source = feed::open(&connector(config));
    let (source, mut cookie) = (source.as_mut(), None);
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(seen.names(), ["anna", "bert", "team"]);
    assert_eq!(seen.members["team"], 1);
    assert_eq!(coverage, Coverage::Everything);
    let anna = seen.entries["anna"];
    let print = source.fingerprint().await.expect("a fingerprint");
    assert!(print.has_caught_up(cookie.as_ref().expect("a cookie")));

    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!((seen.names().len(), coverage), (0, Coverage::NamedDeletes));

    // One attribute changed: the entry comes whole.
    samba
        .modify(&format!(
            "dn: CN=anna,{people}\nchangetype: modify\nreplace: givenName\ngivenName: Anna\n"
        ))
        .expect("a change");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!(seen.entries, BTreeMap::from([("anna".to_owned(), anna)]));

    // A member came.
    samba
        .modify(&format!(
            "dn: CN=team,{}\nchangetype: modify\nadd: member\nmember: CN=bert,{people}\n",
            samba.groups_dn()
        ))
        .expect("a change");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!((seen.names(), seen.members["team"]), (vec!["team"], 2));

    // A rename keeps the identity.
    samba
        .modify(&rename(&format!("CN=anna,{people}"), "CN=anne", &people))
        .expect("a rename");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!(seen.entries["anne"], anna);

    // A move out of the base, and back in a container that is itself renamed.
    let sub = format!("OU=Sub,{}", samba.suffix);
    samba
        .add(&format!("dn: {sub}\nobjectClass: organizationalUnit\n\n"))
        .expect("a container");
    samba
        .modify(&rename(&format!("CN=anne,{people}"), "CN=anne", &sub))
        .expect("a move");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!((seen.outside, seen.entries.len()), (BTreeSet::from([anna]), 0));
    samba.modify(&rename(&sub, "OU=Sub", &people)).expect("a move");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!(
        seen.entries.get("anne"),
        Some(&anna),
        "the container alone was named by the server"
    );
    samba
        .modify(&rename(&format!("OU=Sub,{people}"), "OU=Sub", &samba.suffix))
        .expect("a move");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!(seen.outside, BTreeSet::from([anna]));
}

// What an attribute says that nothing but the filter looks at: its change comes at once, not with a comparison of
// everything.
#[tokio::test]
async fn an_attribute_of_the_filter_alone_makes_an_event() {
    let samba = Samba::start("").expect("a domain controller");
    let mut config = config(&samba);
    // Membership of groups is no attribute that changes with the entry; to name it does no harm.
    config.accounts.filter = Some(format!(
        "(&(!(department=left))(!(memberOf=CN=nobody,{})))",
        samba.groups_dn()
    ));
    samba
        .add(&person(&samba, "anna", "department: here\n"))
        .expect("anna");
    let mut source = feed::open(&connector(config));
    let (source, mut cookie) = (source.as_mut(), None);
    let (seen, _) = next(source, &mut cookie).await;
    let anna = seen.entries["anna"];
    let department = |value: &str| {
        let dn = samba.user_dn("anna");
        let ldif = format!("dn: {dn}\nchangetype: modify\nreplace: department\ndepartment: {value}\n");
        samba.modify(&ldif).expect("a change");
    };
    department("left");
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(
        (seen.outside, coverage),
        (BTreeSet::from([anna]), Coverage::NamedDeletes)
    );
    department("back");
    let (seen, _) = next(source, &mut cookie).await;
    assert_eq!(seen.entries, BTreeMap::from([("anna".to_owned(), anna)]));
}

#[tokio::test]
async fn with_every_right_deletions_are_named() {
    let samba = Samba::start("").expect("a domain controller");
    tells_everything(&samba, config(&samba)).await;
    let mut source = feed::open(&connector(config(&samba)));
    let (source, mut cookie) = (source.as_mut(), None);
    let (seen, _) = next(source, &mut cookie).await;
    let bert = seen.entries["bert"];
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(
        (seen.deleted.as_slice(), coverage),
        ([bert].as_slice(), Coverage::NamedDeletes)
    );
}

#[tokio::test]
async fn an_ordinary_account_hears_everything_but_deletions() {
    let samba = Samba::start("").expect("a domain controller");
    let config = ConnectorConfig {
        audit_interval: 600,
        ..as_reader(&samba)
    };
    tells_everything(&samba, config.clone()).await;
    let clock = clock();
    let mut source = feed::open(&crate::connect(config, &clock));
    let (source, mut cookie) = (source.as_mut(), None);
    let (seen, _) = next(source, &mut cookie).await;
    let (team, bert) = (seen.entries["team"], seen.entries["bert"]);
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    let (seen, coverage) = next(source, &mut cookie).await;
    assert!(!seen.deleted.contains(&bert));
    assert_eq!(coverage, Coverage::NamedDeletes);
    clock.advance(Duration::from_secs(601));
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(
        (seen.present, coverage),
        (BTreeSet::from([team]), Coverage::Everything),
        "all are counted, and bert is not there"
    );
}

async fn event(following: &mut feed::Following) -> FeedEvent {
    timeout(PATIENCE, following.next())
        .await
        .expect("an event in time")
        .expect("a feed that goes on")
        .expect("no error")
}

async fn refreshed(following: &mut feed::Following) -> (Seen, PollEnd) {
    let mut seen = Seen::default();
    loop {
        match event(following).await {
            FeedEvent::Refreshing(changes) => seen.take(changes),
            FeedEvent::Refreshed(end) => return (seen, end),
            other => panic!("{other:?}"),
        }
    }
}

/// The next changes, and the cookie that covers them.
async fn live(following: &mut feed::Following) -> (Seen, Cookie) {
    let mut seen = Seen::default();
    loop {
        match event(following).await {
            FeedEvent::Live { changes, cookie } => {
                seen.take(changes);
                if let Some(cookie) = cookie {
                    return (seen, cookie);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_bell_rings_and_the_cookie_holds_after_a_restart() {
    let mut samba = Samba::start("").expect("a domain controller");
    samba.add(&person(&samba, "anna", "")).expect("anna");
    let config = ConnectorConfig {
        // Only the bell can be the reason for what comes within the time of a test.
        polling_interval: 86_400,
        ..config(&samba)
    };
    let mut source = feed::open(&connector(config));
    let mut following = source.follow(None).await.expect("a feed");
    assert!(following.stays());
    let (seen, end) = refreshed(&mut following).await;
    assert_eq!((seen.names(), end.coverage), (vec!["anna"], Coverage::Everything));
    samba.add(&person(&samba, "bert", "")).expect("bert");
    let (seen, _) = live(&mut following).await;
    assert_eq!(seen.names(), ["bert"]);
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    let (seen, cookie) = live(&mut following).await;
    assert_eq!(seen.deleted.len(), 1);
    samba.kill().expect("killed");
    let ended = timeout(PATIENCE, following.next()).await.expect("an end in time");
    assert!(matches!(ended, Some(Err(FeedError::Unavailable(_)))), "{ended:?}");
    drop(following);
    assert!(matches!(
        source.fingerprint().await,
        Err(FeedError::Unavailable(_))
    ));
    samba.restart().expect("a restart");
    samba.add(&person(&samba, "carl", "")).expect("carl");
    // As after a restart of ours: the cookie is all that is known.
    let stored = Cookie::from_stored(&cookie.to_stored()).expect("whole");
    let mut source = feed::open(&connector(super::config(&samba)));
    let print = source.fingerprint().await.expect("a fingerprint");
    assert!(print.has_caught_up(&stored));
    let (seen, end) = poll(source.as_mut(), Some(&stored)).await.expect("a poll");
    assert_eq!(
        (seen.names(), end.coverage),
        (vec!["carl"], Coverage::NamedDeletes)
    );
}

#[tokio::test]
async fn a_cookie_that_is_no_good_asks_for_a_full_refresh() {
    let samba = Samba::start("").expect("a domain controller");
    let mut source = feed::open(&connector(config(&samba)));
    let (_, end) = poll(source.as_mut(), None).await.expect("a poll");
    let good = end.cookie.expect("a cookie");
    let mut damaged = good.as_bytes().to_vec();
    damaged.truncate(damaged.len() - 20);
    let damaged = Cookie::new(damaged).expect("a cookie");
    let answer = poll(source.as_mut(), Some(&damaged)).await.map(drop);
    assert_eq!(answer, Err(FeedError::RefreshRequired));
    // The number of the last change, and a controller that never was: it is behind, or was restored.
    let print = source.fingerprint().await.expect("a fingerprint");
    let (invocation, number) = print.context_csns.first_key_value().expect("itself");
    assert_eq!(good.csns().get(invocation).map(String::len), Some(number.len()));
    let mut ahead = good.as_bytes().to_vec();
    let usn = 4 + 1 + 16;
    ahead[usn] = 1;
    assert!(!print.has_caught_up(&Cookie::new(ahead).expect("a cookie")));
    let mut elsewhere = good.as_bytes().to_vec();
    elsewhere[5] ^= 1;
    assert!(!print.has_caught_up(&Cookie::new(elsewhere).expect("a cookie")));
    // A cookie of another make is none.
    let foreign = Cookie::new("rid=001,csn=20260101000000.000000Z#000000#001#000000").expect("a cookie");
    let (_, end) = poll(source.as_mut(), Some(&foreign)).await.expect("a poll");
    assert_eq!(end.coverage, Coverage::Everything);
}

#[tokio::test]
async fn a_base_that_is_not_there_is_no_empty_directory() {
    let samba = Samba::start("").expect("a domain controller");
    let mut config = config(&samba);
    config.groups.base_dn = vec![format!("OU=Gruops,{}", samba.suffix)];
    let mut source = feed::open(&connector(config));
    let error = poll(source.as_mut(), None).await.map(drop).expect_err("no poll");
    assert!(
        matches!(&error, FeedError::Protocol(text) if text.contains("OU=Gruops")),
        "{error}"
    );
}

/// A relay to the domain controller that refuses DirSync in its place.
async fn without_dir_sync(samba: &Samba, code: ResultCode) -> Spy {
    Spy::to(samba.port, Meddle::Refuse(DirSyncRequest::OID, code)).await
}

#[tokio::test]
async fn without_dir_sync_the_numbers_of_changes_tell() {
    let samba = Samba::start("").expect("a domain controller");
    let spy = without_dir_sync(&samba, ResultCode::UnavailableCriticalExtension).await;
    let config = ConnectorConfig {
        uris: vec![spy.uri()],
        audit_interval: 600,
        ..config(&samba)
    };
    tells_everything(&samba, config.clone()).await;
    let asked = spy.take();
    assert!(asked.iter().any(|search| search.refused));
    assert!(asked.iter().any(|search| search.filter.contains("uSNChanged>=")));

    let clock = clock();
    let mut source = feed::open(&crate::connect(config.clone(), &clock));
    let (source, mut cookie) = (source.as_mut(), None);
    let (seen, _) = next(source, &mut cookie).await;
    let (team, bert) = (seen.entries["team"], seen.entries["bert"]);
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(
        (seen.deleted.as_slice(), coverage),
        ([bert].as_slice(), Coverage::NamedDeletes),
        "an administrator sees deleted objects"
    );
    clock.advance(Duration::from_secs(601));
    let (seen, coverage) = next(source, &mut cookie).await;
    assert_eq!(
        (seen.present, coverage),
        (BTreeSet::from([team]), Coverage::Everything)
    );

    // As after a restart of ours: all are counted, and only what changed is read.
    samba.add(&person(&samba, "carl", "")).expect("carl");
    let stored = Cookie::from_stored(&cookie.expect("a cookie").to_stored()).expect("whole");
    let mut again = feed::open(&crate::connect(config, &clock));
    let (seen, end) = poll(again.as_mut(), Some(&stored)).await.expect("a poll");
    assert_eq!((seen.names(), end.coverage), (vec!["carl"], Coverage::Everything));
    assert_eq!(seen.present.len(), 2);
    // The number of another controller is worth nothing, nor is any number where DirSync is offered.
    let mut elsewhere = stored.as_bytes().to_vec();
    elsewhere[5] ^= 1;
    let elsewhere = Cookie::new(elsewhere).expect("a cookie");
    let (seen, end) = poll(again.as_mut(), Some(&elsewhere)).await.expect("a poll");
    assert_eq!(
        (seen.names(), end.coverage),
        (vec!["carl", "team"], Coverage::Everything)
    );
    let mut direct = feed::open(&connector(super::config(&samba)));
    let (seen, end) = poll(direct.as_mut(), Some(&stored)).await.expect("a poll");
    assert_eq!(
        (seen.names(), end.coverage),
        (vec!["carl", "team"], Coverage::Everything)
    );
    // And a cookie of DirSync is none where only numbers are.
    let answer = poll(again.as_mut(), end.cookie.as_ref()).await.expect("a poll");
    assert_eq!(answer.1.coverage, Coverage::Everything);
}

#[tokio::test]
async fn where_dir_sync_is_refused_an_ordinary_account_counts() {
    let mut samba = Samba::start("").expect("a domain controller");
    let spy = without_dir_sync(&samba, ResultCode::InsufficientAccessRights).await;
    let config = ConnectorConfig {
        uris: vec![spy.uri()],
        polling_interval: 86_400,
        audit_interval: 600,
        ..as_reader(&samba)
    };
    tells_everything(&samba, config.clone()).await;
    let clock = clock();
    let mut source = feed::open(&crate::connect(config.clone(), &clock));
    let (feed, mut cookie) = (source.as_mut(), None);
    let (seen, _) = next(feed, &mut cookie).await;
    let (team, bert) = (seen.entries["team"], seen.entries["bert"]);
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    let (seen, coverage) = next(feed, &mut cookie).await;
    assert_eq!(
        (seen.deleted.contains(&bert), coverage),
        (false, Coverage::NamedDeletes),
        "an ordinary account does not see deleted objects"
    );
    clock.advance(Duration::from_secs(601));
    let (seen, coverage) = next(feed, &mut cookie).await;
    assert_eq!(
        (seen.present, coverage),
        (BTreeSet::from([team]), Coverage::Everything)
    );

    // The bell rings, and the numbers say what for; the position holds after a crash.
    let mut following = source.follow(cookie.as_ref()).await.expect("a feed");
    assert!(following.stays());
    refreshed(&mut following).await;
    samba.add(&person(&samba, "dora", "")).expect("dora");
    let (seen, cookie) = live(&mut following).await;
    assert_eq!(seen.names(), ["dora"]);
    samba.kill().expect("killed");
    let ended = timeout(PATIENCE, following.next()).await.expect("an end in time");
    assert!(matches!(ended, Some(Err(FeedError::Unavailable(_)))), "{ended:?}");
    drop(following);
    samba.restart().expect("a restart");
    samba.add(&person(&samba, "emil", "")).expect("emil");
    let stored = Cookie::from_stored(&cookie.to_stored()).expect("whole");
    let (seen, end) = poll(source.as_mut(), Some(&stored)).await.expect("a poll");
    assert_eq!(
        (seen.names(), end.coverage),
        (vec!["emil"], Coverage::NamedDeletes)
    );
}
