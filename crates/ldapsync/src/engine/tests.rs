//! The engine's steps, by tables.

mod ahead;
mod forgetful;
mod memory;

use super::*;
use crate::plan::{Arrivals, Decision, Deletions, Reason, Situation};
use directory::config::{Absent, ConflictResolution, ConflictScope, Direction};
use model::Unavailable;

fn settings() -> Settings {
    Settings {
        policy: Policy {
            direction: Direction::LdapToLocal,
            resolution: ConflictResolution::default(),
            scope: ConflictScope::default(),
            absent: Absent::Keep,
            deletions: Deletions::Follow,
            arrivals: Arrivals::Hold,
        },
        limits: Limits {
            limit: 1000,
            floor: 50,
            percent: 5,
        },
        scope: Scope::Same,
        polling_interval: Duration::from_secs(30),
        retry_interval: Duration::from_secs(1),
        seed: 1,
        together: 64,
    }
}

fn cookie(csn: &str) -> Option<Cookie> {
    Cookie::new(format!("rid=000,csn={csn}.000000Z#000000#001#000000"))
}

fn server(csn: &str, suffix: u8) -> Input {
    let csn = format!("{csn}.000000Z#000000#001#000000");
    Input::Server(Ok(Fingerprint {
        suffix: "dc=test".to_owned(),
        suffix_uuid: EntryUuid::from_bytes([suffix; 16]),
        context_csns: BTreeMap::from([("001".to_owned(), csn)]),
    }))
}

fn engine(checkpoint: Checkpoint, linked: u64) -> Engine {
    Engine::new(settings(), checkpoint, linked, BTreeMap::new(), BTreeMap::new())
}

pub(super) fn idle() -> Engine {
    engine(known(), 0)
}

fn known() -> Checkpoint {
    Checkpoint {
        cookie: cookie("20260102000000"),
        server: Some(EntryUuid::from_bytes([1; 16])),
        last_success: None,
        last_full: Some(NOW),
        guard: Vec::new(),
        guard_remote: Vec::new(),
        void: Vec::new(),
        spared: false,
    }
}

fn ended(csn: &str, coverage: Coverage) -> Input {
    Input::Ended(PollEnd {
        cookie: cookie(csn),
        coverage,
    })
}

/// An entry that is gone, and that nobody here had.
fn nothing(uuid: EntryUuid) -> Situation {
    Situation {
        uuid,
        name: String::new(),
        remote: crate::plan::Remote::Gone,
        link: None,
        local: None,
        by_address: vec![],
        by_alias: vec![],
        bereaved: Vec::new(),
        seen_at: None,
        removal: crate::plan::Removal::default(),
        beside: None,
        rivals: Vec::new(),
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
const ONE: EntryUuid = EntryUuid::from_bytes([7; 16]);
const OTHER: EntryUuid = EntryUuid::from_bytes([6; 16]);

#[test]
fn a_quiet_round_commits_the_new_cookie() {
    let mut engine = engine(known(), 3);
    assert_eq!(engine.step(Input::Wake(Wake::Timer), NOW), [Effect::AskServer]);
    assert_eq!(
        engine.step(Input::Wake(Wake::Now), NOW),
        [],
        "one round at a time"
    );
    assert_eq!(
        engine.step(server("20260103000000", 1), NOW),
        [Effect::Poll(cookie("20260102000000"))]
    );
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
    let [Effect::Commit(checkpoint)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(checkpoint.cookie, cookie("20260103000000"));
    engine.step(Input::Committed { linked: 3 }, NOW);
    assert_eq!(engine.next_wake(), Some(NOW.after(Duration::from_secs(30))));
    assert_eq!(
        engine.step(Input::Wake(Wake::Timer), NOW),
        [],
        "not before its time"
    );
}

#[test]
fn a_cookie_is_sent_only_to_a_server_that_has_caught_up() {
    let mut behind = engine(known(), 3);
    behind.step(Input::Wake(Wake::Timer), NOW);
    assert_eq!(behind.step(server("20260101000000", 1), NOW), [Effect::Prove]);
    assert_eq!(behind.step(Input::Proved(false), NOW), []);
    assert_eq!(behind.trouble, Some(Trouble::Lagging));
    // By command it is compared in full.
    behind.step(Input::Wake(Wake::Full), NOW);
    assert_eq!(
        behind.step(server("20260101000000", 1), NOW),
        [Effect::Poll(None)]
    );
}

#[test]
fn absences_are_verified_after_a_sample_and_groups_come_last() {
    let mut engine = engine(known(), 3);
    engine.step(Input::Wake(Wake::Timer), NOW);
    engine.step(server("20260103000000", 1), NOW);
    assert_eq!(
        engine.step(Input::Noticed(Notice::Group(EntryUuid::from_bytes([8; 16]))), NOW),
        []
    );
    engine.step(Input::Noticed(Notice::Absent(ONE)), NOW);
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
    assert_eq!(effects, [Effect::Sample(vec![ONE])]);
    assert_eq!(
        engine.step(Input::Sampled { asked: 5, visible: 5 }, NOW),
        [Effect::LookUp(vec![ONE])]
    );
    let effects = engine.step(Input::Examined(Box::new(nothing(ONE))), NOW);
    assert_eq!(effects, [Effect::LookUp(vec![EntryUuid::from_bytes([8; 16])])]);
    let effects = engine.step(
        Input::Examined(Box::new(nothing(EntryUuid::from_bytes([8; 16])))),
        NOW,
    );
    assert!(matches!(effects.as_slice(), [Effect::Commit(_)]), "{effects:?}");
}

// An object whose entry turns out to be gone at its second look is to get another one, in this round: the stages of those
// who are due and of newcomers are over by then.
#[test]
fn what_is_noticed_after_its_stage_has_its_turn() {
    let someone = LocalId::Account(model::AccountId::new(7).expect("not zero"));
    for (notice, turn) in [
        (Notice::New(someone), Effect::LookAt(vec![someone])),
        (Notice::Here(OTHER), Effect::LookUp(vec![OTHER])),
    ] {
        let mut engine = engine(known(), 3);
        engine.step(Input::Wake(Wake::Timer), NOW);
        engine.step(server("20260103000000", 1), NOW);
        engine.step(Input::Noticed(Notice::Here(ONE)), NOW);
        let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
        assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
        let effects = engine.step(Input::Applied(ONE, Outcome::Stale), NOW);
        assert_eq!(effects, [Effect::LookUp(vec![ONE])], "a second chance");
        assert_eq!(engine.step(Input::Noticed(notice), NOW), []);
        let effects = engine.step(Input::Applied(ONE, Outcome::Done), NOW);
        assert_eq!(effects, [turn]);
        let effects = match effects.as_slice() {
            [Effect::LookAt(_)] => engine.step(Input::Created(someone, Outcome::Done), NOW),
            _ => engine.step(Input::Applied(OTHER, Outcome::Done), NOW),
        };
        assert!(matches!(effects.as_slice(), [Effect::Commit(_)]), "{effects:?}");
    }
}

// While the feed stays open, no message says that such an entry is gone and that the object has none.
#[test]
fn who_joins_an_entry_that_waits_is_looked_at_again() {
    use crate::plan::tests::{id, image, object};
    use crate::plan::{Found, Kind, LocalState, Newcomer, Remote};
    let (someone, broken) = (id(7), "no address");
    let mut settings = settings();
    settings.policy.direction = Direction::BothWays;
    let mut engine = Engine::new(settings, known(), 3, BTreeMap::new(), BTreeMap::new());
    let begin = |engine: &mut Engine, now| {
        engine.step(Input::Wake(Wake::Timer), now);
        engine.step(server("20260103000000", 1), now);
    };
    begin(&mut engine, NOW);
    engine.step(Input::Noticed(Notice::New(someone)), NOW);
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
    assert_eq!(effects, [Effect::LookAt(vec![someone])]);
    let newcomer = Newcomer {
        former: Some(OTHER),
        found: vec![Found {
            uuid: ONE,
            dn: "uid=anna,dc=test".to_owned(),
            kind: Some(Kind::Account),
            image: image("anna"),
            linked_to: None,
            ours: true,
        }],
        ..Newcomer::alone(object(7, image("anna"), LocalState::Active, None))
    };
    let effects = engine.step(Input::Newcomer(Box::new(newcomer)), NOW);
    assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
    let entry = Situation {
        remote: Remote::Broken(Reason::Unusable {
            message: broken.to_owned(),
        }),
        ..nothing(ONE)
    };
    let effects = engine.step(Input::Examined(Box::new(entry)), NOW);
    let [
        Effect::SetAside(ONE, _),
        Effect::SetStrangerAside(of, row),
        Effect::EndIntent(_),
        Effect::Commit(_),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*of, someone);
    assert!(row.reason.contains(&ONE.to_string()), "{row:?}");
    engine.step(Input::Committed { linked: 3 }, NOW);
    let later = row.next;
    begin(&mut engine, later);
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), later);
    assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
    let effects = engine.step(Input::Examined(Box::new(nothing(ONE))), later);
    assert_eq!(effects, [Effect::Release(ONE), Effect::LookAt(vec![someone])]);
}

#[test]
fn no_absence_counts_under_another_directory() {
    let mut engine = engine(known(), 3);
    engine.step(Input::Wake(Wake::Timer), NOW);
    assert_eq!(
        engine.step(server("20200101000000", 2), NOW),
        [Effect::Poll(None)]
    );
    assert_eq!(engine.step(Input::Noticed(Notice::Present(ONE)), NOW), []);
    assert_eq!(
        engine.step(ended("20200101000000", Coverage::Everything), NOW),
        [Effect::ListLinks]
    );
    let links = Input::Links(vec![EntryUuid::from_bytes([9; 16])]);
    assert!(matches!(engine.step(links, NOW).as_slice(), [Effect::Commit(_)]));
}

// Nor does that of an object which no message named: it was in quarantine, or a write of it was under way.
#[test]
fn what_is_due_is_spared_until_everything_was_compared_without_an_objection() {
    use crate::plan::tests::{image, link, object};
    let gone = |remote: &crate::plan::Remote| Situation {
        uuid: ONE,
        name: String::new(),
        remote: remote.clone(),
        link: Some(link()),
        local: Some(object(
            1,
            image("alice"),
            crate::plan::LocalState::Active,
            Some(ONE),
        )),
        by_address: vec![],
        by_alias: vec![],
        bereaved: Vec::new(),
        seen_at: None,
        removal: crate::plan::Removal::default(),
        beside: None,
        rivals: Vec::new(),
    };
    for remote in [crate::plan::Remote::Gone, crate::plan::Remote::OutOfScope] {
        let row = Aside {
            reason: "the write was not answered".to_owned(),
            attempts: 1,
            since: NOW,
            next: NOW,
        };
        let (mut aside, mut checkpoint) = (BTreeMap::from([(ONE, row)]), known());
        // The comparison that the other directory makes, a round after it, and one after a restart.
        let (mut now, mut suffix) = (NOW, 2);
        for wake in [Wake::Now, Wake::Now, Wake::Full] {
            let mut engine = Engine::new(settings(), checkpoint, 3, aside, BTreeMap::new());
            engine.step(Input::Wake(wake), now);
            engine.step(server("20260103000000", suffix), now);
            engine.step(Input::Noticed(Notice::Present(OTHER)), now);
            let full = engine.compares_all();
            let coverage = match full {
                true => Coverage::Everything,
                false => Coverage::NamedDeletes,
            };
            let mut effects = engine.step(ended("20260103000000", coverage), now);
            if full {
                effects = engine.step(Input::Links(vec![]), now);
            }
            assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
            let effects = engine.step(Input::Examined(Box::new(gone(&remote))), now);
            if wake == Wake::Full {
                assert!(matches!(effects.as_slice(), [Effect::Apply(_)]), "{effects:?}");
                break;
            }
            let [Effect::SetAside(ONE, row), Effect::Commit(commit)] = effects.as_slice() else {
                panic!("{effects:?}")
            };
            (aside, checkpoint) = (BTreeMap::from([(ONE, row.clone())]), commit.clone());
            assert!(checkpoint.spared && row.next > now);
            (now, suffix) = (row.next, 2);
        }
    }
}

#[test]
fn what_was_approved_is_so_in_every_process_to_come() {
    use crate::plan::tests::{image, link, object};
    let situation = Situation {
        uuid: ONE,
        name: String::new(),
        remote: crate::plan::Remote::Gone,
        link: Some(link()),
        local: Some(object(
            1,
            image("alice"),
            crate::plan::LocalState::Active,
            Some(ONE),
        )),
        by_address: vec![],
        by_alias: vec![],
        bereaved: Vec::new(),
        seen_at: None,
        removal: crate::plan::Removal::default(),
        beside: None,
        rivals: Vec::new(),
    };
    let row = Aside {
        reason: Reason::Held {
            lines: vec!["alice@example.test - remove: the entry is gone".to_owned()],
        }
        .to_string(),
        attempts: 1,
        since: NOW,
        next: NOW,
    };
    let mut engine = Engine::new(
        settings(),
        known(),
        3,
        BTreeMap::from([(ONE, row)]),
        BTreeMap::new(),
    );
    let hash = engine.held().expect("holds");
    assert_eq!(engine.approve("another", NOW), None);
    let rows = engine.approve(&hash, NOW).expect("is what is held");
    let [Effect::SetAside(ONE, row)] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    let mut settings = settings();
    settings.limits.limit = 1;
    let kept = BTreeMap::from([(ONE, row.clone())]);
    let mut engine = Engine::new(settings, known(), 3, kept, BTreeMap::new());
    engine.step(Input::Wake(Wake::Now), NOW);
    engine.step(server("20260103000000", 1), NOW);
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
    assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
    let effects = engine.step(Input::Examined(Box::new(situation)), NOW);
    assert!(matches!(effects.as_slice(), [Effect::Apply(_)]), "{effects:?}");
}

#[test]
fn failures_keep_the_cookie_and_wait_longer_each_time() {
    let mut engine = engine(known(), 3);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..4 {
        engine.step(Input::Wake(Wake::Timer), now);
        engine.step(
            Input::Server(Err(FeedError::Unavailable(Unavailable("down".to_owned())))),
            now,
        );
        let next = engine.next_wake().expect("waits");
        waits.push(next.since(now));
        now = next;
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(engine.checkpoint.cookie, known().cookie);
    // 4096: the next round compares everything.
    engine.step(Input::Wake(Wake::Now), now);
    engine.step(server("20260103000000", 1), now);
    assert_eq!(
        engine.step(Input::Failed(FeedError::RefreshRequired.into()), now),
        [Effect::Abandon]
    );
    engine.step(Input::Wake(Wake::Now), now);
    assert_eq!(
        engine.step(server("20260103000000", 1), now),
        [Effect::Poll(None)]
    );
}

#[test]
fn once_a_day_everything_is_compared_but_not_with_a_server_that_lags() {
    let mut engine = engine(known(), 3);
    let mut start = |now, csn, end: fn(&mut Engine, Timestamp)| {
        engine.step(Input::Wake(Wake::Now), now);
        let effects = engine.step(server(csn, 1), now);
        end(&mut engine, now);
        effects
    };
    let fails =
        |engine: &mut Engine, now| drop(engine.step(Input::Failed(Trouble::Store("full".to_owned())), now));
    let ends = |engine: &mut Engine, now| {
        engine.step(Input::Noticed(Notice::Present(ONE)), now);
        engine.step(ended("20260103000000", Coverage::Everything), now);
        engine.step(Input::Links(vec![]), now);
        engine.step(Input::Committed { linked: 3 }, now);
    };
    assert_eq!(
        start(NOW, "20260103000000", fails),
        [Effect::Poll(cookie("20260102000000"))]
    );
    let tomorrow = NOW.after(AUDIT);
    let lags = |engine: &mut Engine, now| drop(engine.step(Input::Proved(false), now));
    assert_eq!(start(tomorrow, "20260101000000", lags), [Effect::Prove]);
    assert_eq!(start(tomorrow, "20260103000000", fails), [Effect::Poll(None)]);
    assert_eq!(
        start(tomorrow, "20260103000000", ends),
        [Effect::Poll(None)],
        "until it succeeds"
    );
    assert_eq!(
        start(tomorrow, "20260103000000", fails),
        [Effect::Poll(cookie("20260103000000"))]
    );
}

#[test]
fn a_server_that_forgot_how_far_it_was_is_compared_once_and_read_from_its_own_end() {
    let mut engine = engine(known(), 1);
    let round = |engine: &mut Engine, from: Option<Cookie>| {
        engine.step(Input::Wake(Wake::Now), NOW);
        assert_eq!(engine.step(server("20260101000000", 1), NOW), [Effect::Prove]);
        assert_eq!(engine.step(Input::Proved(true), NOW), [Effect::Poll(from)]);
        engine.step(Input::Noticed(Notice::Present(ONE)), NOW);
        let all = ended("20260101000000", Coverage::Everything);
        assert_eq!(engine.step(all, NOW), [Effect::ListLinks]);
        let effects = engine.step(Input::Links(vec![]), NOW);
        let [Effect::Commit(checkpoint)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!(
            checkpoint.cookie,
            cookie("20260102000000"),
            "what is known stays known"
        );
        engine.step(Input::Committed { linked: 1 }, NOW);
    };
    round(&mut engine, None);
    round(&mut engine, cookie("20260101000000"));
    // A restart knows nothing of it.
    let mut engine = self::engine(known(), 1);
    round(&mut engine, None);
    // Beside an open feed it proves itself as well.
    let nothing_more = Input::Ended(PollEnd {
        cookie: None,
        coverage: Coverage::NamedDeletes,
    });
    engine.step(Input::Stays, NOW);
    assert!(engine.begin_live(NOW));
    engine.step(Input::Noticed(Notice::Here(ONE)), NOW);
    assert_eq!(engine.step(nothing_more, NOW), [Effect::AskServer]);
    assert_eq!(engine.step(server("20260101000000", 1), NOW), [Effect::Prove]);
    assert_eq!(engine.step(Input::Proved(true), NOW), [Effect::LookUp(vec![ONE])]);
}

// A slapd without a session log answers a good cookie with everything that is there.
#[test]
fn what_nobody_named_is_spared_until_a_second_comparison() {
    let absences = |mut engine: Engine| {
        engine.step(Input::Wake(Wake::Now), NOW);
        engine.step(server("20260103000000", 1), NOW);
        engine.step(Input::Noticed(Notice::Present(OTHER)), NOW);
        engine.step(ended("20260103000000", Coverage::Everything), NOW);
        let effects = engine.step(Input::Links(vec![ONE]), NOW);
        effects.contains(&Effect::Sample(vec![ONE]))
    };
    let spared = |spared| Checkpoint { spared, ..known() };
    assert!(absences(engine(spared(false), 2)));
    assert!(!absences(engine(spared(true), 2)));
}

// Before the first comparison nobody was known who could be missed.
#[test]
fn a_new_connector_spares_nobody_after_its_first_comparison() {
    let spared = |checkpoint: Checkpoint| {
        let settings = Settings {
            scope: Scope::Changed,
            ..settings()
        };
        let mut engine = Engine::new(settings, checkpoint, 0, BTreeMap::new(), BTreeMap::new());
        engine.step(Input::Wake(Wake::Now), NOW);
        engine.step(server("20260103000000", 1), NOW);
        engine.step(ended("20260103000000", Coverage::Everything), NOW);
        let effects = engine.step(Input::Links(vec![]), NOW);
        let [Effect::Commit(checkpoint)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        checkpoint.spared
    };
    assert!(!spared(Checkpoint::default()));
    assert!(spared(known()), "another filter");
}

// Every restart is a new engine, which knows only what was committed.
#[test]
fn the_daily_comparison_is_due_after_a_restart_too() {
    let poll = |last_full, now| {
        let mut engine = engine(Checkpoint { last_full, ..known() }, 3);
        engine.step(Input::Wake(Wake::Now), now);
        engine.step(server("20260103000000", 1), now)
    };
    let from_cookie = [Effect::Poll(cookie("20260102000000"))];
    let almost = NOW.after(AUDIT - Duration::from_secs(1));
    assert_eq!(poll(Some(NOW), almost), from_cookie);
    assert_eq!(poll(Some(NOW), NOW.after(AUDIT)), [Effect::Poll(None)]);
    assert_eq!(poll(None, NOW), [Effect::Poll(None)], "never, as far as is known");
    assert_eq!(
        poll(Some(almost), NOW),
        [Effect::Poll(None)],
        "the clock was set back"
    );

    let mut engine = engine(known(), 3);
    let commits = |engine: &mut Engine, wake, now| {
        engine.step(Input::Wake(wake), now);
        engine.step(server("20260103000000", 1), now);
        engine.step(Input::Noticed(Notice::Present(ONE)), now);
        let full = wake == Wake::Full;
        let coverage = if full {
            Coverage::Everything
        } else {
            Coverage::NamedDeletes
        };
        let mut effects = engine.step(ended("20260103000000", coverage), now);
        if full {
            effects = engine.step(Input::Links(vec![]), now);
        }
        let [Effect::Commit(checkpoint)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        engine.step(Input::Committed { linked: 3 }, now);
        checkpoint.last_full
    };
    let later = NOW.after(Duration::from_secs(60));
    assert_eq!(commits(&mut engine, Wake::Now, later), Some(NOW));
    assert_eq!(commits(&mut engine, Wake::Full, later), Some(later));
}

#[test]
fn late_messages_of_a_round_that_failed_change_nothing() {
    let mut engine = engine(known(), 3);
    engine.step(Input::Wake(Wake::Now), NOW);
    engine.step(server("20260103000000", 1), NOW);
    engine.step(Input::Failed(Trouble::Store("full".to_owned())), NOW);
    for input in [
        Input::Failed(Trouble::Store("full".to_owned())),
        Input::Noticed(Notice::Absent(ONE)),
        ended("20260103000000", Coverage::NamedDeletes),
        Input::Applied(ONE, Outcome::Done),
        Input::Links(vec![ONE]),
    ] {
        assert_eq!(engine.step(input, NOW), []);
    }
    assert_eq!(engine.counts.failed_rounds, 1);
}

// A row in quarantine is all that says that its object is to be looked at: it lasts until the plan is carried out.
#[test]
fn a_quarantined_object_is_not_forgotten_by_a_round_that_fails() {
    use crate::plan::tests::{here, image, link, object};
    let row = Aside {
        reason: "the write was not answered".to_owned(),
        attempts: 1,
        since: NOW,
        next: NOW,
    };
    let aside = BTreeMap::from([(ONE, row)]);
    let mut engine = Engine::new(settings(), known(), 3, aside, BTreeMap::new());
    let changed = || Situation {
        uuid: ONE,
        name: String::new(),
        remote: here(image("new")),
        link: Some(link()),
        local: Some(object(
            1,
            image("old"),
            crate::plan::LocalState::Active,
            Some(ONE),
        )),
        by_address: vec![],
        by_alias: vec![],
        bereaved: Vec::new(),
        seen_at: None,
        removal: crate::plan::Removal::default(),
        beside: None,
        rivals: Vec::new(),
    };
    let mut round = |now| {
        engine.step(Input::Wake(Wake::Now), now);
        engine.step(server("20260103000000", 1), now);
        let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), now);
        assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
        let effects = engine.step(Input::Examined(Box::new(changed())), now);
        assert!(matches!(effects.as_slice(), [Effect::Apply(_)]), "{effects:?}");
        assert!(!engine.is_done_with(ONE) && engine.is_aside(ONE));
        if now == NOW {
            engine.step(Input::Failed(Trouble::Store("full".to_owned())), now);
            assert!(!engine.is_done_with(ONE), "an intent of it stays");
            return;
        }
        let effects = engine.step(Input::Applied(ONE, Outcome::Done), now);
        assert!(
            matches!(effects.as_slice(), [Effect::Release(ONE), Effect::Commit(_)]),
            "{effects:?}"
        );
        engine.step(Input::Committed { linked: 3 }, now);
        assert!(engine.is_done_with(ONE));
    };
    for now in [NOW, NOW.after(Duration::from_secs(5))] {
        round(now);
    }
}

// A switch-off in the directory is carried out though an alias cannot be brought there; the row says why that waits, and
// stays until it can.
// A name may have in it what stands between the lines of a row. What was approved, or was in an applied plan, is it all the same.
#[test]
fn a_line_with_a_semicolon_is_approved_like_any_other() {
    use crate::field::{Field, Values};
    use crate::plan::LocalState;
    use crate::plan::tests::{here, image, linked};
    let named = || image("alice").with(Field::DisplayName, Values::text("Alice; Bob"));
    let nameless = || image("alice").with(Field::DisplayName, Values::NONE);
    let situation = || linked(here(nameless()), named(), named(), LocalState::Active);
    let uuid = situation().uuid;
    let mut settings = settings();
    settings.policy.absent = Absent::Clear;
    settings.limits.limit = 1;
    let examine = |engine: &mut Engine, now| {
        engine.step(Input::Wake(Wake::Now), now);
        engine.step(server("20260103000000", 1), now);
        engine.step(Input::Noticed(Notice::Here(uuid)), now);
        engine.step(ended("20260103000000", Coverage::NamedDeletes), now);
        engine.step(Input::Examined(Box::new(situation())), now)
    };
    for by_plan in [false, true] {
        let mut engine = Engine::new(settings.clone(), known(), 3, BTreeMap::new(), BTreeMap::new());
        let effects = examine(&mut engine, NOW);
        assert!(
            matches!(effects.as_slice(), [Effect::SetAside(_, row), Effect::Commit(_)] if row.is_held()),
            "{effects:?}"
        );
        engine.step(Input::Committed { linked: 3 }, NOW);
        let rows = match by_plan {
            false => {
                let hash = engine.held().expect("holds");
                engine.approve(&hash, NOW).expect("is what is held")
            }
            true => {
                let Decision::Act(plan) = crate::plan::plan(&situation(), &settings.policy) else {
                    panic!("a plan");
                };
                let lines = plan.dangerous_lines(&[Side::Local, Side::Remote]);
                engine.allow(BTreeMap::from([(uuid, lines)]), NOW)
            }
        };
        let [Effect::SetAside(_, row)] = rows.as_slice() else {
            panic!("{by_plan}: {rows:?}");
        };
        assert!(!row.is_held(), "{row:?}");
        // By another process, too.
        let kept = BTreeMap::from([(uuid, row.clone())]);
        let anew = Engine::new(settings.clone(), known(), 3, kept, BTreeMap::new());
        for mut engine in [engine, anew] {
            let effects = examine(&mut engine, NOW);
            assert!(
                matches!(effects.as_slice(), [Effect::Apply(_)]),
                "{by_plan}: {effects:?}"
            );
            let effects = engine.step(Input::Applied(uuid, Outcome::Done), NOW);
            assert!(effects.contains(&Effect::Release(uuid)), "{by_plan}: {effects:?}");
        }
    }
}

#[test]
fn what_cannot_be_brought_there_is_said_and_holds_nothing_up() {
    use crate::field::{Field, Values};
    use crate::plan::tests::{address, here, image, link, linked};
    use crate::plan::{Claim, LocalState, Rival};
    let mut settings = settings();
    settings.policy.direction = directory::config::Direction::BothWays;
    let mut engine = Engine::new(settings, known(), 3, BTreeMap::new(), BTreeMap::new());
    let off = || image("alice").with(Field::Enabled, Values::switch(false));
    let rivals = || {
        vec![Rival {
            address: "shared@example.test".to_owned(),
            claim: Claim::Stays {
                dn: "uid=bob".to_owned(),
            },
        }]
    };
    let with_alias = |image: crate::field::Image| image.with(Field::Aliases, address("shared@example.test"));
    let situation = |base, local| Situation {
        beside: None,
        rivals: rivals(),
        link: Some(crate::plan::Link { base, ..link() }),
        ..linked(here(off()), image("alice"), with_alias(local), LocalState::Active)
    };
    let uuid = situation(off(), off()).uuid;
    let begin = |engine: &mut Engine, now| {
        engine.step(Input::Wake(Wake::Now), now);
        engine.step(server("20260103000000", 1), now);
        engine.step(Input::Noticed(Notice::Here(uuid)), now);
        engine.step(ended("20260103000000", Coverage::NamedDeletes), now)
    };
    assert_eq!(begin(&mut engine, NOW), [Effect::LookUp(vec![uuid])]);
    let effects = engine.step(
        Input::Examined(Box::new(situation(image("alice"), image("alice")))),
        NOW,
    );
    let [Effect::Apply(plan)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(plan.remote.is_empty(), "{:?}", plan.remote);
    assert!(
        matches!(
            plan.ops.as_slice(),
            [crate::plan::Op::Set {
                field: Field::Enabled,
                ..
            }]
        ),
        "{:?}",
        plan.ops
    );
    let is_aside = |effects: &[Effect]| match effects {
        [Effect::SetAside(of, row), Effect::Commit(_)] => *of == uuid && row.reason.contains("uid=bob"),
        _ => false,
    };
    let effects = engine.step(Input::Applied(uuid, Outcome::Done), NOW);
    assert!(is_aside(&effects), "{effects:?}");
    engine.step(Input::Committed { linked: 3 }, NOW);
    let later = NOW.after(Duration::from_secs(40));
    assert_eq!(begin(&mut engine, later), [Effect::LookUp(vec![uuid])]);
    let effects = engine.step(Input::Examined(Box::new(situation(off(), off()))), later);
    assert!(is_aside(&effects), "{effects:?}");
}

// The time of an account that ended is known from nothing but memory, once the round has read the entry.
#[test]
fn what_a_failed_round_had_to_look_at_is_owed() {
    let mut engine = engine(known(), 3);
    engine.remember_end(ONE, NOW, NOW);
    for last in [false, true] {
        engine.step(Input::Wake(Wake::Now), NOW);
        engine.step(server("20260103000000", 1), NOW);
        let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
        assert_eq!(effects, [Effect::LookUp(vec![ONE])]);
        engine.timed.clear();
        match last {
            false => drop(engine.step(Input::Failed(Trouble::Store("full".to_owned())), NOW)),
            true => drop(engine.step(Input::Committed { linked: 3 }, NOW)),
        }
    }
    assert!(engine.due(NOW).is_empty());
}
