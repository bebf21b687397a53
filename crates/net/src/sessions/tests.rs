//! The registry: who is in it, who is refused, who is told.

use super::*;
use model::{ManualClock, Protocol};

fn sessions(per_account: u32, per_client: u32) -> Sessions {
    let limits = SessionLimits {
        max_per_account: per_account,
        max_per_client: per_client,
        ..SessionLimits::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(5_000)));
    Sessions::new(clock, limits)
}

fn about(account: &str, client: &str, home: &str) -> NewSession {
    NewSession {
        protocol: Protocol::Imap,
        account: Address::parse(account).expect("an address"),
        entry: Some(EntryUuid::from_bytes([account.as_bytes()[0]; 16])),
        client: client.parse().expect("a socket address"),
        home: Some(home.into()),
        trace: TraceId::new(7),
    }
}

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

#[test]
fn limits_count_what_is_there_now() {
    let all = sessions(2, 3);
    let first = all.enter(about(ALICE, "[2001:db8::1]:1", "a")).expect("room");
    let _second = all.enter(about(ALICE, "[2001:db8::2]:1", "a")).expect("room");
    let third = all.enter(about("ALICE@example.test", "192.0.2.1:1", "a"));
    assert_eq!(third.err(), Some(TooMany::Account));
    let _third = all.enter(about(BOB, "[2001:db8::3]:1", "b")).expect("room");
    let fourth = all.enter(about("carol@example.test", "[2001:db8::4]:1", "b"));
    assert_eq!(fourth.err(), Some(TooMany::Client), "a /64 is one client");
    assert_eq!((all.len(), all.at_home("a"), all.at_home("b")), (3, 2, 1));
    drop(first);
    assert_eq!((all.len(), all.at_home("a")), (2, 1));
    all.enter(about(ALICE, "[2001:db8::4]:1", "a"))
        .expect("room again");
    all.set_limits(SessionLimits {
        max_per_account: 1,
        ..SessionLimits::default()
    });
    assert_eq!(
        all.enter(about(BOB, "192.0.2.1:1", "b")).err(),
        Some(TooMany::Account)
    );
}

#[test]
fn nothing_is_left_of_sessions_that_are_gone() {
    let all = sessions(100, 100);
    drop(all.enter_inner(about(ALICE, "192.0.2.1:1", "a")));
    let mut held: Vec<Session> = (0..50)
        .map(|n| {
            all.enter(about(if n % 2 == 0 { ALICE } else { BOB }, "192.0.2.1:1", "a"))
                .expect("room")
        })
        .collect();
    while !held.is_empty() {
        held.swap_remove(held.len() / 2);
    }
    let table = all.0.table.lock();
    assert!(table.live.is_empty() && table.by_account.is_empty() && table.by_entry.is_empty());
    assert!(table.by_trace.is_empty());
    assert!(table.by_client.is_empty() && table.by_home.is_empty() && table.inner.is_empty());
}

#[test]
fn a_front_end_names_sessions_that_end_here_by_their_trace() {
    let all = sessions(100, 100);
    let here = |number| NewSession {
        home: None,
        trace: TraceId::new(number),
        ..about(ALICE, "192.0.2.1:1", "a")
    };
    let mine = all.enter(here(1)).expect("room");
    let inner = all.enter_inner(here(1));
    let other = all.enter(here(2)).expect("room");
    // This process is a front end itself for this one.
    let passed_on = NewSession {
        trace: TraceId::new(1),
        ..about(ALICE, "192.0.2.1:1", "a")
    };
    let passed_on = all.enter(passed_on).expect("room");
    let filter = SessionFilter {
        trace: Some(TraceId::new(1)),
        ..SessionFilter::default()
    };
    assert_eq!(all.end(&filter, SessionEnd::Kicked), 2);
    let ending = [mine, inner, other, passed_on].map(|session| session.ending());
    assert_eq!(
        ending,
        [Some(SessionEnd::Kicked), Some(SessionEnd::Kicked), None, None]
    );
    for why in [SessionEnd::Revoked, SessionEnd::Kicked, SessionEnd::Drained] {
        assert_eq!(SessionEnd::parse(why.as_str()), Some(why));
    }
    assert_eq!(SessionEnd::parse("bored"), None);
}

#[tokio::test]
async fn only_those_who_are_meant_are_told_and_once() {
    let all = sessions(100, 100);
    let alice = all.enter(about(ALICE, "192.0.2.1:1", "a")).expect("room");
    let bob = all.enter(about(BOB, "192.0.2.2:1", "b")).expect("room");
    let filter = SessionFilter {
        account: Some(Address::parse("Alice@Example.test").expect("an address")),
        ..SessionFilter::default()
    };
    let waiting = tokio::spawn(async move {
        let end = alice.ended().await;
        (end, alice)
    });
    tokio::task::yield_now().await;
    assert_eq!(all.end(&filter, SessionEnd::Revoked), 1);
    let (end, alice) = waiting.await.expect("no panic");
    assert_eq!(end, SessionEnd::Revoked);
    assert_eq!(all.end(&filter, SessionEnd::Kicked), 0, "it has been told");
    assert_eq!(
        alice.ending(),
        Some(SessionEnd::Revoked),
        "the first reason counts"
    );
    assert_eq!(bob.ending(), None);
    for filter in [
        SessionFilter {
            home: Some("a".to_owned()),
            ..SessionFilter::default()
        },
        SessionFilter {
            protocol: Some(Protocol::Pop3),
            ..SessionFilter::default()
        },
        SessionFilter {
            id: Some(99),
            ..SessionFilter::default()
        },
        SessionFilter {
            entry: Some(EntryUuid::from_bytes([0; 16])),
            ..SessionFilter::default()
        },
        SessionFilter {
            without_entry: true,
            ..SessionFilter::default()
        },
    ] {
        assert_eq!(all.end(&filter, SessionEnd::Drained), 0, "{filter:?}");
    }
    let filter = SessionFilter {
        entry: bob.about().entry,
        ..SessionFilter::default()
    };
    assert_eq!(all.end(&filter, SessionEnd::Drained), 1);
    assert_eq!(bob.ended().await, SessionEnd::Drained);
}

#[test]
fn the_list_comes_in_pages() {
    let all = sessions(100, 100);
    let held: Vec<Session> = (0..5)
        .map(|_| all.enter(about(ALICE, "192.0.2.1:1", "a")).expect("room"))
        .collect();
    held[0].count(3, 4);
    let first = all.list(&SessionFilter::default(), 0, 2);
    assert_eq!(first.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((first[0].bytes_up, first[0].bytes_down), (3, 4));
    assert_eq!(first[0].since, Timestamp::from_millis(5_000));
    let filter = SessionFilter {
        account: Address::parse(ALICE).ok(),
        ..SessionFilter::default()
    };
    let rest = all.list(&filter, 2, 100);
    assert_eq!(rest.iter().map(|row| row.id).collect::<Vec<_>>(), [3, 4, 5]);
    let accounts = all.accounts();
    assert_eq!((accounts.len(), accounts[0].id), (1, 1));
}

#[test]
fn an_inner_half_is_told_but_neither_counted_nor_listed() {
    let all = sessions(1, 1);
    let outer = all.enter(about(ALICE, "192.0.2.1:1", "a")).expect("room");
    let inner = all.enter_inner(about(ALICE, "192.0.2.1:1", "a"));
    assert_eq!(all.list(&SessionFilter::default(), 0, 9).len(), 1);
    let filter = SessionFilter {
        account: Address::parse(ALICE).ok(),
        begun_by: Some(inner.began()),
        ..SessionFilter::default()
    };
    assert_eq!(all.end(&filter, SessionEnd::Revoked), 2);
    assert_eq!(
        (outer.ending(), inner.ending()),
        (inner.ending(), Some(SessionEnd::Revoked))
    );
    drop(outer);
    assert!(all.is_empty() && !all.0.table.lock().inner.is_empty());
    drop(inner);
    assert!(all.0.table.lock().inner.is_empty());
}

#[test]
fn limits_are_checked() {
    let bad = SessionLimits {
        max_per_account: 0,
        max_per_client: 0,
        recheck: 1,
    };
    assert_eq!(bad.check().len(), 3);
    assert!(SessionLimits::default().check().is_empty());
}

#[test]
fn a_home_without_a_port_means_all_of_its_ports() {
    for (home, wanted, meant) in [
        ("store1", "store1", true),
        ("store1:1143", "store1", true),
        ("store1:1143", "store1:1143", true),
        ("store1", "store1:1143", false),
        ("store10:1143", "store1", false),
        ("[2001:db8::1]:143", "2001:db8::1", true),
        ("2001:db8::1", "2001:db8::1", true),
        ("2001:db8::1", "2001", false),
    ] {
        assert_eq!(super::is_at(home, wanted), meant, "{home} {wanted}");
    }
}
