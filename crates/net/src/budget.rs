//! One amount of space that all sessions of a service share.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which space is counted.
const UNIT: usize = 64 * 1024;

/// Space in octets; whoever needs some takes a [`Share`] and lets it grow.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// What one message or session holds. It is given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many octets, in whole units of 64 KiB and at least one of them.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        let octets = usize::try_from(octets).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(
            (octets / UNIT).clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    /// Whether nothing is left, so that it is better not to begin.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            held: None,
        }
    }
}

impl Share {
    /// Holds at least so many octets in all. False when the budget does not have them: the share is as before.
    #[must_use]
    pub fn grow_to(&mut self, octets: u64) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = usize::try_from(octets).unwrap_or(usize::MAX).div_ceil(UNIT);
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else {
            return true;
        };
        let Ok(more) = u32::try_from(more) else {
            return false;
        };
        let Ok(permit) = Arc::clone(&self.budget.0).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_missing_until_it_is_given_back() {
        let budget = Budget::new(4 * 64 * 1024);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.grow_to(1) && one.grow_to(64 * 1024) && two.grow_to(128 * 1024));
        assert!(!two.grow_to(256 * 1024) && two.grow_to(3 * 64 * 1024));
        assert!(budget.is_exhausted() && !one.grow_to(64 * 1024 + 1));
        drop(two);
        assert!(!budget.is_exhausted() && one.grow_to(4 * 64 * 1024));
        assert!(!Budget::new(0).is_exhausted(), "one unit at least");
        assert!(!one.grow_to(u64::MAX));
    }
}
