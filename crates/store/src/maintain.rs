//! Housekeeping, in bounded pieces, called by a driver every few minutes.

use crate::commit::{Batch, Class};
use crate::engine::Space;
use crate::{Account, AccountState, Origin, Store, StoreError, keys};
use bytes::Bytes;
use model::{AccountId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Accounts that one call looks at.
const ACCOUNTS: usize = 4096;
/// A wall clock that went on by more than this since the last housekeeping may be wrong: a machine that starts
/// with another year's date must not erase what was to be kept for a month.
const JUMP: Duration = Duration::from_secs(7 * 24 * 3600);
/// So nothing expires for this long, in which somebody may set the clock right.
const HOLD: Duration = Duration::from_secs(24 * 3600);

/// What one call of [`Store::maintain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// Accounts whose retention had ended, now erased.
    pub erased_accounts: usize,
    /// Interrupted erasures that were finished.
    pub resumed_erasures: usize,
    /// Delivery digests that were forgotten.
    pub expired_repeats: usize,
    /// Journal entries beyond the number that is kept.
    pub trimmed_journal: usize,
    /// Rows of expunge logs that were merged into others.
    pub merged_expunges: usize,
}

/// The search for accounts whose retention has ended.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// The last account looked at.
    after: Option<AccountId>,
    /// The last housekeeping of this run, on both clocks.
    last: Option<(Timestamp, Duration)>,
    /// On the monotonic clock: nothing expires before.
    hold_until: Duration,
}

/// Keeps the first failure, so that each piece of work is done whatever became of those before it.
#[derive(Default)]
struct Failures(Option<StoreError>);

impl Failures {
    fn count(&mut self, result: Result<usize, StoreError>) -> usize {
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "a piece of housekeeping failed");
            self.0.get_or_insert(error);
            0
        })
    }
}

impl Store {
    /// Erases accounts whose retention has ended, finishes interrupted erasures, forgets old deliveries and old
    /// journal entries, merges long expunge logs. Does all that it can, then tells the first failure.
    pub async fn maintain(&self) -> Result<Maintenance, StoreError> {
        let mut failures = Failures::default();
        let mut done = Maintenance {
            resumed_erasures: failures.count(self.resume_erasures().await),
            expired_repeats: failures.count(self.expire_repeats().await),
            trimmed_journal: failures.count(self.trim_journal().await),
            ..Maintenance::default()
        };
        let may_expire = self.watch_clock().await;
        let may_expire = failures.count(may_expire.map(usize::from)) > 0;
        let mut seen = 0;
        while seen < ACCOUNTS {
            let after = self.expiry().lock().after;
            let page = self.list_accounts(after, 256)?;
            self.expiry().lock().after = page.last().map(|account| account.id);
            if page.is_empty() {
                break;
            }
            seen += page.len();
            for account in page {
                if may_expire {
                    done.erased_accounts += failures.count(self.expire_account(&account).await);
                }
                done.merged_expunges += failures.count(self.merge_expunged(account.id).await);
                // Reading blocks a little for each account; others have their turn in between.
                tokio::task::yield_now().await;
            }
        }
        failures.0.map_or(Ok(done), Err)
    }

    /// False while the wall clock is in doubt.
    async fn watch_clock(&self) -> Result<bool, StoreError> {
        let (now, monotonic) = (self.clock().now(), self.clock().monotonic());
        let row = self.engine().get(Space::Meta, keys::HOUSEKEEPING)?;
        let stored = row.and_then(|row| Some(u64::from_be_bytes(row.as_ref().try_into().ok()?)));
        let mut batch = Batch::new(Class::Relaxed);
        let row = Bytes::copy_from_slice(&now.as_millis().to_be_bytes());
        batch.put(Space::Meta, keys::HOUSEKEEPING.to_vec(), row);
        self.commit(batch).await?;
        let mut expiry = self.expiry().lock();
        let unexplained = match (expiry.last, stored) {
            (Some((wall, then)), _) => now.since(wall).saturating_sub(monotonic.saturating_sub(then)),
            (None, Some(stored)) => now.since(Timestamp::from_millis(stored)),
            (None, None) => Duration::ZERO,
        };
        expiry.last = Some((now, monotonic));
        if unexplained > JUMP {
            tracing::error!(
                days = unexplained.as_secs() / (24 * 3600),
                "the clock went on by days since the last housekeeping; no deleted account is erased for a day"
            );
            expiry.hold_until = monotonic.saturating_add(HOLD);
        }
        Ok(expiry.hold_until <= monotonic)
    }

    async fn expire_account(&self, account: &Arc<Account>) -> Result<usize, StoreError> {
        let now = self.clock().now();
        if !matches!(account.state, AccountState::SoftDeleted { until, .. } if until <= now) {
            return Ok(0);
        }
        match self.erase_account(account.id, &Origin::System).await {
            Ok(()) => Ok(1),
            // Revived or erased by somebody else meanwhile.
            Err(StoreError::Conflict | StoreError::NotFound(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}
