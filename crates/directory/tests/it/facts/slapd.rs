//! Facts about slapd.

use super::wire::{Told, Wire, below, set, sync};
use crate::slapd::{ROOT, ROOT_PASSWORD, SUFFIX, Slapd, person};
use bytes::Bytes;
use ldap::control::{SyncDone, SyncInfo, SyncMode, SyncStateKind};
use ldap::message::{MessageId, ModifyDn, Request, Response};
use ldap::{LdapResult, ResultCode};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const PEOPLE: &str = "ou=Users,dc=localdomain,dc=test";

fn dn(name: &str) -> String {
    format!("uid={name},{PEOPLE}")
}

async fn wire(slapd: &Slapd) -> Wire {
    Wire::open(slapd.address().port(), ROOT, ROOT_PASSWORD).await
}

/// How a refresh ended.
fn end(told: &[Told]) -> (&LdapResult, Option<&SyncDone>) {
    match told.last() {
        Some(Told::Done(result, done)) => (result, done.as_ref()),
        other => panic!("{other:?}"),
    }
}

fn cookie(told: &[Told]) -> Bytes {
    let (_, done) = end(told);
    done.and_then(|done| done.cookie.clone())
        .expect("a cookie at the end")
}

/// The states of the entries that a refresh told of, by name.
fn states(told: &[Told]) -> Vec<(String, SyncStateKind)> {
    let mut all: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Entry(entry, state) => Some((entry.dn.to_string(), state.kind)),
            _ => None,
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Opens a search that stays, and reads to the end of its refresh; the cookie that ended it.
async fn follow(wire: &mut Wire, filter: &str) -> (u32, Bytes) {
    let controls = vec![sync(SyncMode::RefreshAndPersist, None)];
    let search = Request::Search(Box::new(below(PEOPLE, filter, &["*", "entryCSN"])));
    let id = wire.send(search, controls).await;
    loop {
        match wire.told().await {
            // Fact 7: an entry of a refresh says nothing of how far the client has come.
            Told::Entry(_, state) => assert_eq!((state.kind, state.cookie), (SyncStateKind::Add, None)),
            Told::Info(
                SyncInfo::RefreshDelete { cookie, refresh_done }
                | SyncInfo::RefreshPresent { cookie, refresh_done },
            ) if refresh_done => return (id, cookie.expect("the end of a refresh has a cookie")),
            Told::Info(_) => {}
            Told::Done(result, _) => panic!("{result:?}"),
        }
    }
}

// Fact 3: what a refresh tells of is "add", changed or new; what leaves the search is "delete", whatever became of it.
#[tokio::test]
async fn a_refresh_says_add_of_everything_and_a_delete_need_not_be_one() {
    let slapd = Slapd::start();
    for name in ["anna", "bert", "carl"] {
        slapd.person(name, "");
    }
    let mut wire = wire(&slapd).await;
    let people = || below(PEOPLE, "(objectClass=inetOrgPerson)", &["cn"]);
    let first = wire.refresh(people(), None).await;
    let added = |names: &[&str]| -> Vec<(String, SyncStateKind)> {
        let all = names.iter().map(|name| (dn(name), SyncStateKind::Add));
        all.collect()
    };
    assert_eq!(states(&first), added(&["anna", "bert", "carl"]));
    let mut other = self::wire(&slapd).await;
    other.send(set(&dn("anna"), "displayName", "Anna"), vec![]).await;
    assert!(matches!(other.next().await.operation, Response::Modify(_)));
    let again = wire.refresh(people(), Some(&cookie(&first))).await;
    assert_eq!(states(&again), added(&["anna"]), "changed, and told as new");

    // The search that stays tells a change from an addition.
    follow(&mut wire, "(&(objectClass=inetOrgPerson)(!(employeeType=left)))").await;
    other.send(set(&dn("anna"), "displayName", "Anne"), vec![]).await;
    let Told::Entry(entry, state) = wire.told().await else {
        panic!()
    };
    assert_eq!(
        (entry.dn.to_string(), state.kind),
        (dn("anna"), SyncStateKind::Modify)
    );
    // It left the filter, and is where it was.
    other.send(set(&dn("bert"), "employeeType", "left"), vec![]).await;
    let Told::Entry(entry, state) = wire.told().await else {
        panic!()
    };
    assert_eq!(
        (entry.dn.to_string(), state.kind),
        (dn("bert"), SyncStateKind::Delete)
    );
    assert_eq!(slapd.values("bert", "employeeType"), ["left"]);
    // It left the base, and is named by where it is now.
    let moved = Request::ModifyDn(ModifyDn {
        dn: dn("carl"),
        new_rdn: "uid=carl".to_owned(),
        delete_old_rdn: false,
        new_superior: Some(format!("ou=Elsewhere,{SUFFIX}")),
    });
    other.send(moved, vec![]).await;
    let Told::Entry(entry, state) = wire.told().await else {
        panic!()
    };
    let elsewhere = format!("uid=carl,ou=Elsewhere,{SUFFIX}");
    assert_eq!(
        (entry.dn.to_string(), state.kind),
        (elsewhere, SyncStateKind::Delete)
    );
}

// Fact 4: on one connection the wire itself says what came first. That is why an intent is stored before its write is sent.
#[tokio::test]
async fn a_change_is_told_before_it_is_answered() {
    let slapd = Slapd::start();
    slapd.person("anna", "");
    let mut wire = wire(&slapd).await;
    let (search, _) = follow(&mut wire, "(uid=anna)").await;
    let search = MessageId::new(search).expect("a number");
    let mut before = 0;
    for number in 0..100 {
        let id = wire
            .send(set(&dn("anna"), "displayName", &number.to_string()), vec![])
            .await;
        let (first, second) = (wire.next().await, wire.next().await);
        assert_ne!(
            first.id, second.id,
            "one answer and one message: {first:?} {second:?}"
        );
        assert!([first.id.get(), second.id.get()].contains(&id));
        before += i32::from(first.id == search);
    }
    assert!(
        before > 0,
        "whoever stores the intent after the answer would take its own write for an edit"
    );
}

fn many(count: usize) -> String {
    let mut ldif = String::new();
    for number in 0..count {
        let _ = writeln!(ldif, "{}", person(&format!("p{number:04}"), ""));
    }
    ldif
}

/// The UUIDs of each set, and whether they are of entries that are gone.
fn sets(told: &[Told]) -> Vec<(usize, bool)> {
    let all = told.iter().filter_map(|told| match told {
        Told::Info(SyncInfo::IdSet {
            uuids,
            refresh_deletes,
            ..
        }) => Some((uuids.len(), *refresh_deletes)),
        _ => None,
    });
    all.collect()
}

// Facts 6 and 8: a lost session log is no error but a present phase, 256 UUIDs a message and nothing else of the entries,
// so that finding who is gone costs some 20 octets for each that is not.
#[tokio::test]
async fn what_a_session_log_does_not_know_is_told_by_who_is_there() {
    let mut slapd = Slapd::start();
    slapd.load(&many(700));
    let mut first = wire(&slapd).await;
    let people = || below(PEOPLE, "(objectClass=inetOrgPerson)", &["cn"]);
    let cookie = cookie(&first.refresh(people(), None).await);
    // As long as the log knows, what is gone is named.
    let mut other = wire(&slapd).await;
    other.send(Request::Delete(dn("p0000")), vec![]).await;
    assert!(matches!(other.next().await.operation, Response::Delete(_)));
    let named = first.refresh(people(), Some(&cookie)).await;
    assert_eq!(sets(&named), [(1, true)]);
    assert!(end(&named).1.is_some_and(|done| done.refresh_deletes));
    slapd.restart();
    let mut second = wire(&slapd).await;
    let before = second.octets;
    let present = second.refresh(people(), Some(&cookie)).await;
    let (result, done) = end(&present);
    assert_eq!(result.code, ResultCode::Success);
    assert!(done.is_some_and(|done| !done.refresh_deletes), "a present phase");
    assert_eq!(sets(&present), [(256, false), (256, false), (187, false)]);
    assert_eq!(states(&present), []);
    let octets = second.octets - before;
    assert!(octets < 699 * 20, "{octets}");

    // Fact 8: a presumed deletion is verified by UUID, with no filter and wherever the entry is.
    let uuid = slapd.values("p0001", "entryUUID").remove(0);
    let asked = below(SUFFIX, &format!("(entryUUID={uuid})"), &["1.1"]);
    let found = second.search(asked, vec![]).await;
    assert_eq!(found.len(), 2, "{found:?}");
}

// Fact 6: a cookie from before everything, where the server is told to say so.
#[tokio::test]
async fn a_very_old_cookie_is_refused_where_the_server_says_so() {
    let slapd = Slapd::with_reload_hint();
    slapd.person("anna", "");
    let mut wire = wire(&slapd).await;
    let old = Bytes::from_static(b"rid=000,csn=20000101000000.000000Z#000000#000#000000");
    let people = || below(PEOPLE, "(objectClass=inetOrgPerson)", &["cn"]);
    let refused = wire.refresh(people(), Some(&old)).await;
    assert_eq!(
        end(&refused).0.code,
        ResultCode::SyncRefreshRequired,
        "{refused:?}"
    );
    // Where it is not, the same cookie gets everything.
    let slapd = Slapd::start();
    slapd.person("anna", "");
    let mut wire = self::wire(&slapd).await;
    let all = wire.refresh(people(), Some(&old)).await;
    assert_eq!(end(&all).0.code, ResultCode::Success);
    assert_eq!(states(&all), [(dn("anna"), SyncStateKind::Add)]);
}

// Fact 7: where cookies stand, and what is in one.
#[tokio::test]
async fn cookies_come_at_ends_and_with_what_an_open_search_tells() {
    let mut slapd = Slapd::start();
    // Written by two servers.
    let by = |name: &str, server: u8| {
        let csn = format!("entryCSN: 2026010100000{server}.000000Z#000000#00{server}#000000\n");
        person(name, &csn)
    };
    slapd.load(&format!("{}\n{}", by("anna", 1), by("bert", 2)));
    let mut wire = wire(&slapd).await;
    let people = || below(PEOPLE, "(objectClass=inetOrgPerson)", &["cn"]);
    let first = cookie(&wire.refresh(people(), None).await);
    let text = String::from_utf8(first.to_vec()).expect("text");
    let (_, vector) = text.split_once("csn=").expect("versions");
    let servers: BTreeSet<&str> = vector
        .split(';')
        .filter_map(|csn| csn.split('#').nth(2))
        .collect();
    assert!(
        servers.is_superset(&BTreeSet::from(["001", "002"])),
        "one version for each server: {text}"
    );
    // A search that stays: at the end of its refresh, and with each entry from then on.
    let (_, at_end) = follow(&mut wire, "(objectClass=inetOrgPerson)").await;
    assert_eq!(at_end, first);
    let mut other = self::wire(&slapd).await;
    other.send(set(&dn("anna"), "displayName", "Anna"), vec![]).await;
    let Told::Entry(entry, state) = wire.told().await else {
        panic!()
    };
    let live = state.cookie.expect("a cookie with what is told live");
    let csn = entry.first_str("entryCSN").expect("its version").to_owned();
    let live = String::from_utf8(live.to_vec()).expect("text");
    assert!(live.contains(&csn), "{live} {csn}");
    assert!(
        !live.contains("#001#") && !live.contains("#002#"),
        "it tells of its own server alone, so cookies are merged and not replaced: {live}"
    );
}

// Fact 7: the cookie that names deletions from the log is not where the client stands.
#[tokio::test]
async fn deletions_from_the_log_have_a_cookie_of_their_own() {
    let slapd = Slapd::start();
    for name in ["anna", "bert"] {
        slapd.person(name, "");
    }
    let mut wire = wire(&slapd).await;
    let people = || below(PEOPLE, "(objectClass=inetOrgPerson)", &["cn"]);
    let before = cookie(&wire.refresh(people(), None).await);
    let mut other = self::wire(&slapd).await;
    other.send(Request::Delete(dn("anna")), vec![]).await;
    other.next().await;
    other.send(set(&dn("bert"), "displayName", "Bert"), vec![]).await;
    other.next().await;
    let told = wire.refresh(people(), Some(&before)).await;
    let of_set = told.iter().find_map(|told| match told {
        Told::Info(SyncInfo::IdSet { cookie, .. }) => Some(cookie.clone()),
        _ => None,
    });
    let of_set = of_set.expect("the deletion is named");
    let texts: Vec<String> = of_set
        .iter()
        .map(|cookie| String::from_utf8_lossy(cookie).into_owned())
        .collect();
    assert!(texts.iter().all(|text| text.contains("delcsn=")), "{texts:?}");
    let last = cookie(&told);
    let last = String::from_utf8_lossy(&last);
    assert!(!last.contains("delcsn"), "{last}");
}

// Fact 10: single writes are each synced by themselves, however many wait at once.
#[tokio::test]
async fn writes_that_are_sent_together_are_committed_one_by_one() {
    let slapd = Slapd::start();
    for number in 0..32 {
        slapd.person(&format!("p{number}"), "");
    }
    let mut wire = wire(&slapd).await;
    let before = slapd.commits();
    for number in 0..32 {
        let change = set(&dn(&format!("p{number}")), "displayName", "Many");
        wire.send(change, vec![]).await;
    }
    for _ in 0..32 {
        match wire.next().await.operation {
            Response::Modify(result) => assert_eq!(result.code, ResultCode::Success),
            other => panic!("{other:?}"),
        }
    }
    assert!(slapd.commits() - before >= 32, "pipelining would begin to pay");
}

// Fact 12: why what was verified is remembered. Processor time, which a busy machine does not change.
#[tokio::test]
async fn a_costly_hash_is_paid_for_with_each_bind() {
    let slapd = Slapd::with_argon();
    // "secret", with the memory and the time that OpenLDAP itself takes for new passwords.
    slapd.person("costly", "userPassword: {CLEARTEXT}x\n");
    slapd.person("cheap", "userPassword: {SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ\n");
    slapd.set_password("costly", "secret");
    assert!(slapd.values("costly", "userPassword")[0].starts_with("{ARGON2}"));
    let cost = async |name: &str| {
        let before = slapd.processor_time();
        for _ in 0..10 {
            Wire::open(slapd.address().port(), &dn(name), "secret").await;
        }
        slapd.processor_time() - before
    };
    let (cheap, costly) = (cost("cheap").await, cost("costly").await);
    assert!(costly > cheap * 5, "{cheap} {costly} ns");
}
