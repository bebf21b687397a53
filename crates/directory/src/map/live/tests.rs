//! The replica against a model, its size, its snapshot, and what the map says in each phase.

use super::record::{Facts, Role};
use super::replica::Upsert;
use super::*;
use crate::account::{Host, StateEnd};
use crate::config::{ConnectorConfig, MapKind, OnNoMatch};
use crate::feed::Cookie;
use model::{ManualClock, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn uuid(number: u32) -> EntryUuid {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    EntryUuid::from_bytes(bytes)
}

fn facts(number: u32, kind: EntryKind, host: &str, texts: &[(Role, &str)]) -> Facts {
    Facts {
        uuid: uuid(number),
        kind,
        state: AccountState::Active,
        end: None,
        stamp: 0,
        host: if host.is_empty() {
            Host::None
        } else {
            Host::One(host.to_owned())
        },
        texts: texts
            .iter()
            .map(|(role, text)| (*role, (*text).to_owned()))
            .collect(),
    }
}

fn account(number: u32, host: &str, texts: &[(Role, &str)]) -> Facts {
    facts(number, EntryKind::Account, host, texts)
}

fn live_map(folder: Option<PathBuf>, clock: &Arc<ManualClock>) -> Arc<LiveMap> {
    let mut section = ConnectorConfig::openldap(
        "c",
        vec!["ldap://127.0.0.1:1".to_owned()],
        vec!["ou=Users,dc=test".to_owned()],
    );
    section.domains = vec![model::Domain::parse("x.test").expect("a domain")];
    let clock: Arc<dyn Clock> = clock.clone();
    let connector = Connector::new(section, Arc::clone(&clock)).expect("a connector");
    LiveMap::new(&map_config(), connector, clock, folder).expect("a live map")
}

fn map_config() -> UserMapConfig {
    UserMapConfig {
        name: "people/of x".to_owned(),
        kind: MapKind::LdapBind,
        path: None,
        connector: Some("c".to_owned()),
        on_no_match: OnNoMatch::Reject,
        default_home: None,
        live: true,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    }
}

/// In words: how sure, and which home.
fn said(map: &LiveMap, text: &str) -> String {
    let answer = match text.strip_prefix("login ") {
        Some(login) => map.find(Question::Login(login)),
        None => map.find(Question::Address(&Address::parse(text).expect(text))),
    };
    let known = |known: Known| match known {
        Known::Home { home, address, .. } => format!("{home} {}", address.as_str()),
        Known::NoSuchAccount => "nobody".to_owned(),
    };
    match answer {
        LiveAnswer::Now(Decision::Known(found), freshness, _) => format!("{freshness} {}", known(found)),
        LiveAnswer::Now(Decision::Say(route), freshness, _) => match route {
            Route::Ambiguous(names) => format!("{freshness} ambiguous {}", names.len()),
            route => format!("{freshness} {route}"),
        },
        LiveAnswer::Now(Decision::Away(_), ..) => "away".to_owned(),
        LiveAnswer::Ask { otherwise } => format!("ask {}", otherwise.map_or_else(String::new, known)),
    }
}

fn people(map: &LiveMap) {
    let mut replica = map.replica.write();
    for facts in [
        account(
            1,
            "h1",
            &[
                (Role::Mail, "Anna@x.test"),
                (Role::Alias, "a@x.test"),
                (Role::Login, "anna"),
            ],
        ),
        account(2, "h2", &[(Role::Mail, "twin@x.test"), (Role::Login, "two")]),
        account(
            3,
            "h3",
            &[
                (Role::Mail, "other@x.test"),
                (Role::Alias, "twin@x.test"),
                (Role::Login, "a@x.test"),
            ],
        ),
        account(
            4,
            "h4",
            &[(Role::Mail, "catch@x.test"), (Role::CatchAll, "@any.test")],
        ),
        account(5, "", &[(Role::Mail, "nohome@x.test")]),
        account(6, "not a host", &[(Role::Mail, "bad@x.test")]),
        facts(
            7,
            EntryKind::Group,
            "h7",
            &[(Role::Mail, "team@x.test"), (Role::Alias, "anna@x.test")],
        ),
    ] {
        assert_eq!(replica.upsert(&facts), Upsert::Added);
    }
}

#[test]
fn what_each_phase_may_say() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
    let map = live_map(None, &clock);
    map.set_phase(Phase::Current);
    assert_eq!(said(&map, "anna@x.test"), "ask ", "an empty map says nothing");
    people(&map);
    map.set_phase(Phase::Filling);
    let behind = |age| Phase::Behind {
        since: clock.monotonic(),
        age: Duration::from_secs(age),
    };
    let phases = [
        Phase::Current,
        behind(0),
        behind(3600),
        behind(100_000),
        Phase::Filling,
    ];
    for (question, answers) in [
        (
            "anna@x.test",
            [
                "live h1 Anna@x.test",
                "stale h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask ",
                "ask h1 Anna@x.test",
            ],
        ),
        (
            "A@X.TEST",
            [
                "live h1 Anna@x.test",
                "stale h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask ",
                "ask h1 Anna@x.test",
            ],
        ),
        (
            "anna+tag@x.test",
            [
                "live h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask ",
                "ask ",
            ],
        ),
        (
            "team@x.test",
            [
                "live h7 team@x.test",
                "stale h7 team@x.test",
                "ask h7 team@x.test",
                "ask ",
                "ask h7 team@x.test",
            ],
        ),
        // A catch-all says that nobody has the address.
        (
            "new@any.test",
            ["live h4 catch@x.test", "ask ", "ask ", "ask ", "ask "],
        ),
        (
            "twin@x.test",
            ["live ambiguous 2", "ask ", "ask ", "ask ", "ask "],
        ),
        ("nobody@x.test", ["live nobody", "ask ", "ask ", "ask ", "ask "]),
        (
            "nohome@x.test",
            ["live the entry names no home", "ask ", "ask ", "ask ", "ask "],
        ),
        (
            "bad@x.test",
            ["live the entry names no home", "ask ", "ask ", "ask ", "ask "],
        ),
        ("bücher@x.test", ["ask ", "ask ", "ask ", "ask ", "ask "]),
        (
            "login anna",
            [
                "live h1 Anna@x.test",
                "stale h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask ",
                "ask h1 Anna@x.test",
            ],
        ),
        (
            "login ANNA@x.test",
            [
                "live h1 Anna@x.test",
                "stale h1 Anna@x.test",
                "ask h1 Anna@x.test",
                "ask ",
                "ask h1 Anna@x.test",
            ],
        ),
        // An alias is no login, and %u does not apply to a foreign domain.
        ("login a@x.test", ["live nobody", "ask ", "ask ", "ask ", "ask "]),
        (
            "login anna@else.test",
            ["live nobody", "ask ", "ask ", "ask ", "ask "],
        ),
        (
            "login two@x.test",
            [
                "live h2 twin@x.test",
                "stale h2 twin@x.test",
                "ask h2 twin@x.test",
                "ask ",
                "ask h2 twin@x.test",
            ],
        ),
        ("login an na", ["ask ", "ask ", "ask ", "ask ", "ask "]),
    ] {
        for (phase, answer) in phases.into_iter().zip(answers) {
            map.set_phase(phase);
            assert_eq!(said(&map, question), answer, "{question} {phase:?}");
        }
    }
    map.set_phase(Phase::Current);
    map.replica.write().hold(uuid(2));
    assert_eq!(
        said(&map, "twin@x.test"),
        "live h3 other@x.test",
        "who is there wins"
    );
    map.replica.write().hold(uuid(3));
    assert_eq!(
        said(&map, "other@x.test"),
        "stale h3 other@x.test",
        "who is held stays"
    );
    assert_eq!(said(&map, "twin@x.test"), "live ambiguous 2");
    map.fall_behind();
    clock.advance(Duration::from_secs(301));
    assert_eq!(
        said(&map, "anna@x.test"),
        "ask h1 Anna@x.test",
        "cache_ttl is over"
    );
}

#[test]
fn an_account_ends_by_the_clock_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let map = live_map(Some(folder.path().to_owned()), &clock);
    let end = StateEnd {
        at: Timestamp::from_millis(1_060_000),
        then: AccountState::Expired,
    };
    let anna = Facts {
        end: Some(end),
        ..account(1, "h1", &[(Role::Mail, "anna@x.test"), (Role::Alias, "a@x.test")])
    };
    map.replica.write().upsert(&anna);
    map.replica
        .write()
        .upsert(&account(2, "h1", &[(Role::Mail, "bert@x.test")]));
    let head = Head {
        scope: map.scope,
        suffix: uuid(99),
        right_at: clock.now(),
        cookie: Cookie::new("rid=000,csn=x"),
    };
    let path = map.snapshot.clone().expect("a path");
    snapshot::write(&path, &head, &map.replica).expect("written");
    // It survives the snapshot of a restart.
    let again = live_map(Some(folder.path().to_owned()), &clock);
    let state = |map: &LiveMap, number| map.state(uuid(number));
    for map in [&map, &again] {
        assert_eq!(state(map, 1), LiveState::Unsure);
        map.set_phase(Phase::Current);
        assert_eq!(state(map, 1), LiveState::Known(AccountState::Active));
        assert_eq!(said(map, "a@x.test"), "live h1 anna@x.test");
    }
    clock.advance(Duration::from_secs(60));
    for map in [&map, &again] {
        assert_eq!(state(map, 1), LiveState::Known(AccountState::Expired));
        assert_eq!(state(map, 2), LiveState::Known(AccountState::Active));
        assert_eq!(
            said(map, "a@x.test"),
            "live h1 anna@x.test",
            "mail still goes home"
        );
    }
}

#[test]
fn a_snapshot_comes_back_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let map = live_map(Some(folder.path().to_owned()), &clock);
    people(&map);
    map.replica.write().hold(uuid(3));
    let several = Facts {
        host: Host::Several(vec!["a".to_owned(), "b".to_owned()]),
        ..account(8, "", &[(Role::Mail, "multi@x.test")])
    };
    map.replica.write().upsert(&several);
    let path = map.snapshot.clone().expect("a path");
    assert_eq!(path.parent(), Some(folder.path()), "no name leads elsewhere");
    let head = Head {
        scope: map.scope,
        suffix: uuid(99),
        right_at: clock.now(),
        cookie: Cookie::new("rid=000,csn=x"),
    };
    snapshot::write(&path, &head, &map.replica).expect("written");
    let (read, replica) = snapshot::read(&path, &map.scope).expect("read");
    assert_eq!((&read, replica.len(), replica.held()), (&head, 8, 1));
    assert_eq!(replica.unseen().len(), 8);

    clock.advance(Duration::from_secs(60));
    let again = live_map(Some(folder.path().to_owned()), &clock);
    assert_eq!(said(&again, "anna@x.test"), "stale h1 Anna@x.test");
    assert_eq!(said(&again, "nobody@x.test"), "ask ");
    again.set_phase(Phase::Current);
    assert_eq!(said(&again, "multi@x.test"), "live ambiguous 2");
    clock.advance(Duration::from_secs(300));
    let later = live_map(Some(folder.path().to_owned()), &clock);
    assert_eq!(
        said(&later, "anna@x.test"),
        "ask h1 Anna@x.test",
        "its age counts"
    );

    let whole = std::fs::read(&path).expect("the file");
    for index in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[index] ^= 4;
        std::fs::write(&path, &damaged).expect("write");
        assert!(snapshot::read(&path, &map.scope).is_err(), "octet {index}");
        std::fs::write(&path, &whole[..index]).expect("write");
        assert!(snapshot::read(&path, &map.scope).is_err(), "cut at {index}");
    }
    std::fs::write(&path, &whole).expect("write");
    assert!(matches!(snapshot::read(&path, &[0; 32]), Err(Unusable::Scope)));
    let fresh = live_map(Some(folder.path().join("empty")), &clock);
    assert_eq!(said(&fresh, "anna@x.test"), "ask ");
}

/// 100,000 accounts, each with an address and two aliases of 32 octets and a login name.
fn crowd() -> impl Iterator<Item = Facts> {
    (0..100_000_u32).map(|number| {
        let mail = format!("person{number:0>8}@department.test.x");
        let aliases = [
            format!("alias1{number:0>8}@department.test.x"),
            format!("alias2{number:0>8}@department.test.x"),
        ];
        assert_eq!(mail.len(), 32);
        let login = format!("p{number:0>6}");
        let host = format!("store{}.department.test", number % 50);
        let texts = [
            (Role::Mail, mail.as_str()),
            (Role::Alias, aliases[0].as_str()),
            (Role::Alias, aliases[1].as_str()),
            (Role::Login, login.as_str()),
        ];
        account(number, &host, &texts)
    })
}

#[test]
fn an_account_takes_at_most_256_octets() {
    let mut replica = Replica::default();
    let mut worst_filling: usize = 0;
    let mut worst: usize = 0;
    for facts in crowd() {
        let before = replica.index_memory();
        replica.upsert(&facts);
        // While a table grows, the old one is there as well.
        let tables = replica.index_memory().into_iter().zip(before);
        let growing: usize = tables
            .map(|(now, before)| if now == before { 0 } else { before })
            .sum();
        if replica.len() > 20_000 && (growing > 0 || replica.len().is_multiple_of(1000)) {
            worst_filling = worst_filling.max((replica.memory() + growing) / replica.len());
            worst = worst.max(replica.memory() / replica.len());
        }
    }
    println!("at most {worst} octets an account, {worst_filling} while filling");
    assert!(worst <= 256, "{worst} octets an account");
    assert!(
        worst_filling <= 384,
        "{worst_filling} octets an account while filling"
    );
    // A second fill over the first, with half of the entries changed: no memory is left behind.
    replica.begin_refresh();
    for mut facts in crowd() {
        facts.host = Host::One("moved.test".to_owned());
        facts.texts[0].1 = facts.texts[0].1.replace("person", "Person");
        assert!(matches!(replica.upsert(&facts), Upsert::Changed { .. }));
        replica.tidy();
    }
    let after = replica.memory() / replica.len();
    assert!(after <= 384, "{after} octets an account");
    assert!(replica.unseen().is_empty());
    assert_eq!(
        replica
            .find(Key::Address("person00077777@department.test.x"))
            .count(),
        1
    );
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(u32, Vec<u8>, bool),
    Remove(u32),
    Hold(u32),
    Saw(u32),
    Refresh,
    Tidy,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..12_u32;
    prop_oneof![
        4 => (number.clone(), prop::collection::vec(0..8_u8, 1..5), any::<bool>())
            .prop_map(|(number, texts, long)| Step::Upsert(number, texts, long)),
        2 => number.clone().prop_map(Step::Remove),
        1 => number.clone().prop_map(Step::Hold),
        1 => number.prop_map(Step::Saw),
        1 => Just(Step::Refresh),
        1 => Just(Step::Tidy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_replica_agrees_with_a_map(steps in prop::collection::vec(step(), 0..150)) {
        #[derive(Default, Clone)]
        struct Row { texts: Vec<String>, held: bool, seen: bool }
        let mut replica = Replica::default();
        let mut model: BTreeMap<u32, Row> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(number, texts, long) => {
                    let mut texts: Vec<String> = texts.iter().map(|text| format!("T{text}@x.test")).collect();
                    texts.dedup();
                    if long {
                        // Records of many octets leave holes that are worth closing.
                        texts.push("y".repeat(9000));
                    }
                    let roles: Vec<(Role, &str)> = texts.iter().map(|text| (Role::Alias, text.as_str())).collect();
                    replica.upsert(&account(number, "h", &roles));
                    model.insert(number, Row { texts, held: false, seen: true });
                }
                Step::Remove(number) => {
                    replica.remove(uuid(number));
                    model.remove(&number);
                }
                Step::Hold(number) => {
                    replica.hold(uuid(number));
                    model.entry(number).and_modify(|row| row.held = true);
                }
                Step::Saw(number) => {
                    prop_assert_eq!(replica.saw(uuid(number)), model.contains_key(&number));
                    model.entry(number).and_modify(|row| { row.held = false; row.seen = true; });
                }
                Step::Refresh => {
                    replica.begin_refresh();
                    model.values_mut().for_each(|row| row.seen = false);
                }
                Step::Tidy => replica.tidy(),
            }
            let sorted = |mut list: Vec<EntryUuid>| { list.sort_by_key(|uuid| *uuid.as_bytes()); list };
            let rows = |which: &dyn Fn(&Row) -> bool| {
                sorted(model.iter().filter(|(_, row)| which(row)).map(|(number, _)| uuid(*number)).collect())
            };
            prop_assert_eq!(replica.len(), model.len());
            prop_assert_eq!(sorted(replica.unseen()), rows(&|row| !row.seen));
            prop_assert_eq!(sorted(replica.held_entries()), rows(&|row| row.held));
            prop_assert_eq!(replica.held(), rows(&|row| row.held).len());
            for text in 0..8 {
                let text = format!("t{text}@X.test");
                let found = replica.find(Key::Address(&text)).map(|view| view.uuid()).collect();
                let expected = rows(&|row| row.texts.iter().any(|other| other.eq_ignore_ascii_case(&text)));
                prop_assert_eq!(sorted(found), expected);
            }
        }
    }

    #[test]
    fn any_octets_as_a_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let mut file = b"HOMELIVE\x01\0\0\0".to_vec();
        file.extend([0; 32]);
        file.extend(bytes);
        std::fs::write(&path, file).expect("write");
        prop_assert!(snapshot::read(&path, &[0; 32]).is_err());
    }
}
