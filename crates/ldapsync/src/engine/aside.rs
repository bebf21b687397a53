//! Quarantine: objects that could not be synchronised, and changes that the guard holds.

use crate::merge::Side;
use crate::plan::{HIDDEN, Reason};
use model::{EntryUuid, Timestamp};
use std::time::Duration;

pub(super) const FIRST_RETRY: Duration = Duration::from_secs(30);
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// What the directory did not answer may be answered in a moment.
const FIRST_RETRY_OF_A_WRITE: Duration = Duration::from_secs(2);
/// How the text of a held row begins; what follows are its diff lines.
const HELD: &str = "held by the guard: ";
/// What stands between two lines.
const BETWEEN: &str = "; ";
/// What stands before it once somebody has approved it.
const APPROVED: &str = "approved: ";

/// What stands before a hidden entry's reason once an administrator has said that it is gone.
const GONE: &str = "said to be gone: ";

/// One row. The text is what is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) since: Timestamp,
    /// When it is looked at again; a held row waits for a person instead.
    pub(crate) next: Timestamp,
}

impl Aside {
    /// The row after one more failure; the wait doubles from `first` on, as long as it fails for the same reason.
    pub(super) fn again(earlier: Option<&Self>, reason: String, first: Duration, now: Timestamp) -> Self {
        let same = earlier.filter(|row| row.reason == reason);
        let attempts = same.map_or(0, |row| row.attempts).saturating_add(1);
        let wait = first.saturating_mul(1 << (attempts - 1).min(16)).min(LAST_RETRY);
        Self {
            reason,
            attempts,
            since: earlier.map_or(now, |row| row.since),
            next: now.after(wait),
        }
    }

    /// Whether a change of this side is held.
    pub(super) fn holds(&self, side: Side) -> bool {
        let there = |line: &String| line.contains(" directory: ");
        self.held_lines().is_some_and(|lines| match side {
            Side::Local => lines.iter().any(|line| !there(line)),
            Side::Remote => lines.iter().any(there),
        })
    }

    /// The diff lines, when the guard holds it.
    pub(super) fn held_lines(&self) -> Option<Vec<String>> {
        held_lines(&self.reason)
    }

    /// The diff lines of a row that was held and is approved.
    pub(super) fn approved_lines(&self) -> Option<Vec<String>> {
        held_lines(self.reason.strip_prefix(APPROVED)?)
    }

    /// Somebody approves it: it is due.
    pub(super) fn approve(&mut self, now: Timestamp) {
        self.reason.insert_str(0, APPROVED);
        self.next = now;
    }

    /// Whether the entry, and what stood above it, cannot be seen.
    pub(super) fn is_hidden(&self) -> bool {
        self.reason.contains(HIDDEN) && !self.is_said_to_be_gone()
    }

    /// Whether an administrator has said that it is gone.
    pub(super) fn is_said_to_be_gone(&self) -> bool {
        self.reason.starts_with(GONE)
    }

    /// Somebody says so: it is due.
    pub(super) fn say_gone(&mut self, now: Timestamp) {
        self.reason.insert_str(0, GONE);
        self.next = now;
    }

    pub(crate) fn is_held(&self) -> bool {
        is_held(&self.reason)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.next <= now && !self.is_held()
    }
}

fn held_lines(reason: &str) -> Option<Vec<String>> {
    let lines = reason.strip_prefix(HELD)?;
    Some(lines.split(BETWEEN).map(str::to_owned).collect())
}

/// Diff lines as the text of a row gives them back. A name may have in it what stands between two lines.
pub(super) fn as_held(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .flat_map(|line| line.split(BETWEEN))
        .map(str::to_owned)
        .collect()
}

/// Whether the text of a stored row says that the guard holds it: a person decides then, not the time.
#[must_use]
pub fn is_held(reason: &str) -> bool {
    reason.starts_with(HELD)
}

impl Reason {
    /// The first wait of an object that is set aside for it.
    pub(super) const fn first_retry(&self) -> Duration {
        match self {
            Self::Unreachable { .. } | Self::MembersNotFound { .. } | Self::MadeBeside { .. } => {
                FIRST_RETRY_OF_A_WRITE
            }
            _ => FIRST_RETRY,
        }
    }
}

/// The hash over everything that is held: what somebody approves is exactly what they saw.
pub(super) fn held_hash<'a>(rows: impl Iterator<Item = (&'a EntryUuid, &'a Aside)>) -> Option<String> {
    let mut hash = blake3::Hasher::new();
    let mut any = false;
    for (uuid, row) in rows.filter(|(_, row)| row.is_held()) {
        any = true;
        hash.update(uuid.as_bytes());
        hash.update(&(row.reason.len() as u64).to_be_bytes());
        hash.update(row.reason.as_bytes());
    }
    any.then(|| short_hex(&hash.finalize()))
}

/// Enough of a hash to be typed by a person.
pub(crate) fn short_hex(hash: &blake3::Hash) -> String {
    hash.to_hex().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_and_held_rows_wait() {
        let now = Timestamp::from_millis(1_000_000);
        let reason = Reason::Unusable { message: "x".into() }.to_string();
        let mut row = Aside::again(None, reason.clone(), FIRST_RETRY, now);
        assert_eq!(row.next, now.after(FIRST_RETRY));
        for _ in 0..20 {
            row = Aside::again(Some(&row), reason.clone(), FIRST_RETRY, now);
        }
        assert_eq!(
            (row.next, row.since, row.attempts),
            (now.after(LAST_RETRY), now, 21)
        );
        let held = Aside::again(
            None,
            Reason::Held {
                lines: vec!["a".into(), "b".into()],
            }
            .to_string(),
            FIRST_RETRY,
            now,
        );
        assert!(held.is_held() && !held.is_due(now.after(LAST_RETRY)));
        assert_eq!(held.held_lines(), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
