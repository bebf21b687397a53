//! Logouts over restarts, and between two processes.

use super::*;
use model::{ManualClock, Timestamp};
use std::path::PathBuf;

struct Scratch {
    _dir: tempfile::TempDir,
    path: PathBuf,
    clock: Arc<ManualClock>,
    metrics: Metrics,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        Self {
            path: dir.path().join("http-logouts"),
            _dir: dir,
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000_000))),
            metrics: Metrics::default(),
        }
    }

    fn load(&self) -> Logouts {
        Logouts::load(&self.path, self.clock.clone(), &self.metrics).expect("readable")
    }

    /// One of somebody who logs out once.
    fn logout(&self, number: u64, seconds: u64) -> Logout {
        let now = self.clock.now().as_secs();
        Logout {
            ticket: u128::from(number).to_be_bytes(),
            owner: number.to_be_bytes(),
            given_up: now,
            expires: now + seconds,
        }
    }

    fn lines(&self) -> usize {
        std::fs::read_to_string(&self.path)
            .expect("written")
            .lines()
            .count()
    }
}

#[test]
fn they_are_kept_over_a_restart_until_they_would_have_expired() {
    let scratch = Scratch::new();
    let logouts = scratch.load();
    let (short, long) = (scratch.logout(1, 60), scratch.logout(u64::MAX, 600));
    assert_eq!(logouts.add(&[short, long, short]), [short, long]);
    let known_and_over = [long, scratch.logout(3, 0)];
    assert!(logouts.add(&known_and_over).is_empty());
    assert_eq!(logouts.since(0), (2, vec![short, long]));
    assert_eq!(logouts.since(1), (2, vec![long]));
    assert_eq!(logouts.since(2), (2, Vec::new()));
    assert_eq!((logouts.number(&short.ticket), *logouts.watch().borrow()), (1, 2));
    scratch.clock.advance(Duration::from_secs(60));
    let again = scratch.load();
    assert!(again.has(&long.ticket) && !again.has(&short.ticket));
    // Without a folder they are known all the same.
    let path = scratch.path.clone();
    let late = scratch.logout(4, 9);
    drop(scratch);
    assert!(!path.exists() && again.add(&[late]).len() == 1 && again.has(&late.ticket));
}

#[test]
fn a_file_that_was_damaged_costs_the_damaged_lines_only() {
    let scratch = Scratch::new();
    let (one, two, three) = (
        scratch.logout(1, 60),
        scratch.logout(2, 60),
        scratch.logout(3, 60),
    );
    scratch.load().add(&[one, two]);
    let mut text = std::fs::read(&scratch.path).expect("written");
    text.splice(0..0, *b"no logout\n\xff\xfe 1 2 3\n\n1 2 3\n1 2 3 4 5\n");
    // A disk that was full has cut the last line off.
    text.truncate(text.len() - 12);
    std::fs::write(&scratch.path, text).expect("written");
    let again = scratch.load();
    assert!(again.has(&one.ticket) && !again.has(&two.ticket));
    again.add(&[three]);
    let last = scratch.load();
    assert!(last.has(&one.ticket) && last.has(&three.ticket) && last.since(0).1.len() == 2);
}

#[test]
fn their_file_is_bounded() {
    let scratch = Scratch::new();
    let logouts = scratch.load();
    for number in 0..5_000 {
        logouts.add(&[scratch.logout(number, 1)]);
        scratch.clock.advance(Duration::from_secs(1));
    }
    assert!(logouts.since(0).1.len() <= 62);
    assert!(
        scratch.lines() <= 2 * 62 + journal::SPARE + 1,
        "{}",
        scratch.lines()
    );
    let entries = std::fs::read_dir(scratch.path.parent().expect("a folder"));
    assert_eq!(entries.expect("readable").count(), 1, "no draft is left");
}

#[test]
fn they_are_bounded_and_it_is_said_when_some_are_forgotten() {
    let scratch = Scratch::new();
    let bounds = Bounds {
        all: 2_000,
        of_one: 100,
    };
    let clock = scratch.clock.clone();
    let logouts = Logouts::within(bounds, &scratch.path, clock, &scratch.metrics).expect("none yet");
    let most = u64::try_from(bounds.all).expect("small");
    let many: Vec<Logout> = (0..most)
        .map(|number| scratch.logout(number, u64::MAX / 2))
        .collect();
    assert_eq!(logouts.add(&many).len(), many.len());
    let shown = scratch.metrics.render();
    assert!(shown.contains("homing_http_logouts 2000\n"), "{shown}");
    assert!(
        shown.contains("homing_http_logouts_forgotten_total{bound=\"all\"} 0\n"),
        "{shown}"
    );
    scratch.clock.advance(Duration::from_secs(1));
    // Somebody with one account and a loop.
    let owner = owner(&Address::parse("mallory@example.test").expect("an address"));
    for number in 0..300 {
        let logout = Logout {
            owner,
            ..scratch.logout(most + number, 600)
        };
        assert_eq!(logouts.add(&[logout]).len(), 1);
    }
    let (last, kept) = logouts.since(0);
    assert_eq!((last, kept.len()), (most + 300, bounds.all));
    assert_eq!(
        kept.iter().filter(|logout| logout.owner == owner).count(),
        bounds.of_one
    );
    let end = scratch.clock.now().as_secs() + 2_592_000;
    assert!(
        kept.iter().all(|logout| logout.expires <= end),
        "no longer than any ticket"
    );
    let shown = scratch.metrics.render();
    for (bound, forgotten) in [("all", 100), ("account", 200)] {
        let line = format!("homing_http_logouts_forgotten_total{{bound=\"{bound}\"}} {forgotten}\n");
        assert!(shown.contains(&line), "{line}{shown}");
    }
}

#[test]
fn two_processes_with_one_file_know_the_same() {
    let scratch = Scratch::new();
    let before = scratch.load();
    before.add(&[scratch.logout(1, 60)]);
    let after = scratch.load();
    let (two, three) = (scratch.logout(2, 60), scratch.logout(3, 60));
    after.add(&[two]);
    assert_eq!(before.look(), [two]);
    assert!(before.look().is_empty() && after.look().is_empty(), "once");
    // Also without a look between: what the other has written comes with one's own.
    before.add(&[three]);
    let four = scratch.logout(4, 60);
    assert_eq!(after.add(&[four]), [four, three]);
    assert_eq!(before.look(), [four]);
    assert_eq!((before.since(0).1.len(), after.since(0).1.len()), (4, 4));
    std::fs::remove_file(&scratch.path).expect("removed");
    assert!(before.look().is_empty() && before.has(&two.ticket));
    before.add(&[scratch.logout(5, 60)]);
    assert!(after.look().len() == 1 && scratch.lines() == 1);
}

#[test]
fn neither_process_loses_what_the_other_wrote_when_the_file_is_written_anew() {
    let scratch = Scratch::new();
    let (before, after) = (scratch.load(), scratch.load());
    let kept = scratch.logout(u64::MAX, 100_000);
    before.add(&[kept]);
    let mut written = Vec::new();
    for number in 0..3_000 {
        let lasting = scratch.logout(1 << 32 | number, 100_000);
        // One of both has many that are of no use soon, so that it writes the file anew.
        after.add(&[scratch.logout(number, 1)]);
        scratch.clock.advance(Duration::from_secs(1));
        if number % 50 == 0 {
            before.add(&[lasting]);
            written.push(lasting);
        }
    }
    assert!(scratch.lines() < 3_000, "{}", scratch.lines());
    after.look();
    before.look();
    let again = scratch.load();
    for logout in written.iter().chain([&kept]) {
        for (name, known) in [("before", &before), ("after", &after), ("again", &again)] {
            assert!(known.has(&logout.ticket), "{name} {logout:?}");
        }
    }
}

#[test]
fn what_was_written_while_the_file_was_replaced_is_not_lost() {
    let scratch = Scratch::new();
    let (mut one, mut two) = (Journal::new(&scratch.path), Journal::new(&scratch.path));
    let (first, late) = (scratch.logout(1, 60), scratch.logout(2, 60));
    one.append(&[first]).expect("written");
    assert_eq!(one.news().expect("read"), [first]);
    // Written after the other one has read everything, and before it writes the file anew.
    two.append(&[late]).expect("written");
    assert_eq!(one.rewrite(&[first]).expect("written"), [late]);
    assert_eq!(scratch.lines(), 1);
    one.append(&[late]).expect("written");
    assert_eq!(two.news().expect("read"), [first, late]);
    assert_eq!(one.news().expect("read"), [late]);
}
