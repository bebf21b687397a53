//! Housekeeping, in bounded pieces, called by a driver every few minutes.

use crate::{Account, AccountState, Origin, Store, StoreError};
use std::sync::Arc;

/// Accounts that one call looks at.
const ACCOUNTS: usize = 4096;

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
        let mut seen = 0;
        while seen < ACCOUNTS {
            let after = *self.expiry().lock();
            let page = self.list_accounts(after, 256)?;
            *self.expiry().lock() = page.last().map(|account| account.id);
            if page.is_empty() {
                break;
            }
            seen += page.len();
            for account in page {
                done.erased_accounts += failures.count(self.expire_account(&account).await);
                done.merged_expunges += failures.count(self.merge_expunged(account.id).await);
                // Reading blocks a little for each account; others have their turn in between.
                tokio::task::yield_now().await;
            }
        }
        failures.0.map_or(Ok(done), Err)
    }

    async fn expire_account(&self, account: &Arc<Account>) -> Result<usize, StoreError> {
        let now = self.clock().now();
        if !matches!(account.state, AccountState::SoftDeleted { until } if until <= now) {
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
