//! Who has logged out: tickets that are worth nothing any more, though they could still be opened.
//!
//! Each front end keeps them until they would have expired, over a restart in a file. The others with the same keys
//! hear of them (`neighbours`, docs/design/0014).

use super::cookie::TicketId;
use model::Clock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Logouts kept; past it the oldest goes.
const MAX: usize = 100_000;
/// What has expired is forgotten this often, in seconds.
const PRUNE: u64 = 60;
/// Lines in the file that may be of no use, besides as many as are.
const SPARE: usize = 1000;
/// No ticket lasts longer (`session_lifetime`).
const LONGEST: u64 = 2_592_000;
/// Octets of one logout among others.
const RECORD: usize = 24;
/// The longest text that is taken from another front end.
pub(super) const MAX_TEXT: usize = 1 + MAX * RECORD;

/// One ticket that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logout {
    pub(super) ticket: TicketId,
    /// When it would have expired, in seconds since the epoch.
    pub(super) expires: u64,
}

/// The logouts that are still worth knowing.
pub(super) struct Logouts {
    known: Mutex<Known>,
    version: watch::Sender<u64>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Known {
    numbers: HashMap<TicketId, u64>,
    /// In the order in which they were learned.
    in_order: BTreeMap<u64, Logout>,
    /// Lines in the file.
    lines: usize,
    /// When what has expired was forgotten, in seconds since the epoch.
    pruned: u64,
}

impl Known {
    fn add(&mut self, logout: Logout, now: u64) -> bool {
        let expires = logout.expires.min(now.saturating_add(LONGEST));
        if expires <= now || self.numbers.contains_key(&logout.ticket) {
            return false;
        }
        let number = self.last() + 1;
        self.numbers.insert(logout.ticket, number);
        self.in_order.insert(number, Logout { expires, ..logout });
        true
    }

    fn last(&self) -> u64 {
        self.in_order.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Forgets what has expired, now and then, and the oldest of too many. The newest stays: numbers are never given
    /// twice.
    fn prune(&mut self, now: u64) {
        let last = self.last();
        let numbers = &mut self.numbers;
        if now >= self.pruned.saturating_add(PRUNE) {
            self.pruned = now;
            self.in_order.retain(|number, logout| {
                let stays = now < logout.expires || *number == last;
                if !stays {
                    numbers.remove(&logout.ticket);
                }
                stays
            });
        }
        while self.in_order.len() > MAX {
            if let Some((_, logout)) = self.in_order.pop_first() {
                numbers.remove(&logout.ticket);
            }
        }
    }
}

impl Logouts {
    /// Reads what this front end knew before it was restarted.
    pub(super) fn load(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let now = clock.now().as_secs();
        let mut known = Known::default();
        for logout in text.lines().filter_map(parse) {
            known.lines += 1;
            known.add(logout, now);
        }
        known.prune(now);
        let (version, _) = watch::channel(known.last());
        Ok(Self {
            known: Mutex::new(known),
            version,
            path: path.to_owned(),
            clock,
        })
    }

    /// Whether a ticket was given up, here or at another front end.
    pub(super) fn has(&self, ticket: &TicketId) -> bool {
        self.known.lock().numbers.contains_key(ticket)
    }

    /// Remembers these; those that nobody here knew. A file that cannot be written costs nothing but the memory of
    /// them over a restart.
    pub(super) fn add(&self, logouts: &[Logout]) -> Vec<Logout> {
        let now = self.clock.now().as_secs();
        let mut known = self.known.lock();
        let fresh: Vec<Logout> = logouts
            .iter()
            .copied()
            .filter(|logout| known.add(*logout, now))
            .collect();
        if fresh.is_empty() {
            return fresh;
        }
        if let Err(error) = self.write(&mut known, &fresh, now) {
            tracing::error!(path = %self.path.display(), %error, "logouts cannot be written down");
        }
        let last = known.last();
        drop(known);
        self.version.send_replace(last);
        fresh
    }

    fn write(&self, known: &mut Known, fresh: &[Logout], now: u64) -> io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).mode(0o600);
        known.prune(now);
        known.lines += fresh.len();
        if known.lines <= 2 * known.in_order.len() + SPARE {
            let mut file = options.append(true).open(&self.path)?;
            return file.write_all(lines(fresh.iter()).as_bytes());
        }
        let draft = self.path.with_extension("new");
        let mut file = options.write(true).truncate(true).open(&draft)?;
        file.write_all(lines(known.in_order.values()).as_bytes())?;
        std::fs::rename(&draft, &self.path)?;
        known.lines = known.in_order.len();
        Ok(())
    }

    /// The number of the newest one, and those that came after `number`; 0 for all.
    pub(super) fn since(&self, number: u64) -> (u64, Vec<Logout>) {
        let known = self.known.lock();
        let newer = known.in_order.range(number.saturating_add(1)..);
        (known.last(), newer.map(|(_, logout)| *logout).collect())
    }

    /// The number of the newest one.
    pub(super) fn newest(&self) -> u64 {
        *self.version.borrow()
    }

    /// Tells of the number of the newest one.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

fn lines<'a>(logouts: impl Iterator<Item = &'a Logout>) -> String {
    let mut text = String::new();
    for logout in logouts {
        let _ = writeln!(
            text,
            "{:032x} {}",
            u128::from_be_bytes(logout.ticket),
            logout.expires
        );
    }
    text
}

fn parse(line: &str) -> Option<Logout> {
    let (ticket, expires) = line.split_once(' ')?;
    Some(Logout {
        ticket: u128::from_str_radix(ticket, 16).ok()?.to_be_bytes(),
        expires: expires.parse().ok()?,
    })
}

/// What one front end tells another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tidings {
    /// Whether everything is wanted back.
    pub(super) wants_all: bool,
    pub(super) logouts: Vec<Logout>,
}

impl Tidings {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = vec![u8::from(self.wants_all)];
        for logout in &self.logouts {
            text.extend_from_slice(&logout.ticket);
            text.extend_from_slice(&logout.expires.to_be_bytes());
        }
        text
    }

    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let (flag, mut rest) = text.split_first()?;
        let mut logouts = Vec::with_capacity(rest.len() / RECORD);
        while !rest.is_empty() {
            let (ticket, tail) = rest.split_first_chunk::<16>()?;
            let (expires, tail) = tail.split_first_chunk::<8>()?;
            logouts.push(Logout {
                ticket: *ticket,
                expires: u64::from_be_bytes(*expires),
            });
            rest = tail;
        }
        (*flag <= 1).then_some(Self {
            wants_all: *flag == 1,
            logouts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};
    use proptest::prelude::*;
    use std::time::Duration;

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000_000)))
    }

    fn logout(clock: &ManualClock, number: u128, seconds: u64) -> Logout {
        Logout {
            ticket: number.to_be_bytes(),
            expires: clock.now().as_secs() + seconds,
        }
    }

    #[test]
    fn they_are_kept_over_a_restart_until_they_would_have_expired() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("http-logouts");
        let clock = clock();
        let logouts = Logouts::load(&path, clock.clone()).expect("none yet");
        let (short, long) = (logout(&clock, 1, 60), logout(&clock, u128::MAX, 600));
        assert_eq!(logouts.add(&[short, long, short]), [short, long]);
        assert!(
            logouts.add(&[long, logout(&clock, 3, 0)]).is_empty(),
            "known, over"
        );
        assert_eq!(logouts.since(0), (2, vec![short, long]));
        assert_eq!(logouts.since(1), (2, vec![long]));
        assert_eq!(logouts.since(2), (2, Vec::new()));
        clock.advance(Duration::from_secs(60));
        let again = Logouts::load(&path, clock.clone()).expect("readable");
        assert!(again.has(&long.ticket) && !again.has(&short.ticket));
        std::fs::write(&path, "no logout\n\u{e9} 1\n").expect("written");
        let (_, none) = Logouts::load(&path, clock.clone()).expect("readable").since(0);
        assert!(none.is_empty());
        // Without a folder they are known all the same.
        drop(dir);
        assert_eq!(again.add(&[logout(&clock, 4, 9)]).len(), 1);
    }

    #[test]
    fn they_are_bounded_and_so_is_their_file() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("http-logouts");
        let clock = clock();
        let logouts = Logouts::load(&path, clock.clone()).expect("none yet");
        for number in 0..5_000 {
            logouts.add(&[logout(&clock, number, 1)]);
            clock.advance(Duration::from_secs(1));
        }
        let known = logouts.known.lock();
        assert!(known.in_order.len() <= 62 && known.numbers.len() == known.in_order.len());
        drop(known);
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.lines().count() <= 2 * 62 + SPARE, "{}", text.lines().count());
        let many: Vec<Logout> = (0..MAX as u128 + 10)
            .map(|number| logout(&clock, 1 << 64 | number, LONGEST + 9))
            .collect();
        assert_eq!(logouts.add(&many).len(), many.len());
        let (_, kept) = logouts.since(0);
        assert_eq!(kept.len(), MAX);
        assert_eq!(
            kept.last().map(|logout| logout.ticket),
            many.last().map(|logout| logout.ticket)
        );
        let end = clock.now().as_secs() + LONGEST;
        assert!(
            kept.iter().all(|logout| logout.expires <= end),
            "no longer than any ticket"
        );
        assert_eq!(
            Logouts::load(&path, clock).expect("readable").since(0).1.len(),
            MAX
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_decoded_as_it_would_be_written_or_refused(text: Vec<u8>) {
            if let Some(tidings) = Tidings::decode(&text) {
                prop_assert_eq!(tidings.encode(), text);
            }
        }

        #[test]
        fn tidings_arrive(wants_all: bool, all: Vec<([u8; 16], u64)>) {
            let logouts = all.into_iter().map(|(ticket, expires)| Logout { ticket, expires });
            let tidings = Tidings { wants_all, logouts: logouts.collect() };
            prop_assert_eq!(Tidings::decode(&tidings.encode()), Some(tidings));
        }
    }
}
