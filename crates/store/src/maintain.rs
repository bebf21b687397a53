//! Housekeeping, in bounded pieces, called by a driver every few minutes.

use crate::{AccountState, Origin, Store, StoreError};
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
}

impl Store {
    /// Erases accounts whose retention has ended, finishes interrupted erasures, forgets old deliveries.
    pub async fn maintain(&self) -> Result<Maintenance, StoreError> {
        let mut done = Maintenance {
            resumed_erasures: self.resume_erasures().await?,
            expired_repeats: self.expire_repeats().await?,
            erased_accounts: 0,
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
            let now = self.clock().now();
            let expired = page.into_iter().filter(
                |account| matches!(account.state, AccountState::SoftDeleted { until } if until <= now),
            );
            for account in expired.collect::<Vec<Arc<_>>>() {
                match self.erase_account(account.id, &Origin::System).await {
                    Ok(()) => done.erased_accounts += 1,
                    // Revived or erased by somebody else meanwhile.
                    Err(StoreError::Conflict | StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(done)
    }
}
