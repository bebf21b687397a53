//! A bounded pool for costly checks: so many at once, so many waiting, and past that "try later".

use crate::argon::{ArgonCost, HashError, hash_argon2id};
use crate::crypt::hash_sha512_crypt;
use crate::scheme::Encoding;
use crate::verify::{Verdict, parse_all, verify_stored};
use model::Secret;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The pool is full: a temporary failure, never a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many password checks are waiting")]
pub struct Busy;

/// Runs costly checks on the runtime's blocking threads. Clones share one set of limits.
#[derive(Debug, Clone)]
pub struct VerifyPool {
    /// One permit for each check that runs.
    workers: Arc<Semaphore>,
    /// One permit for each check that runs or waits.
    places: Arc<Semaphore>,
}

/// What a check holds while it waits and runs.
struct Turn {
    _worker: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl VerifyPool {
    /// A pool of `workers` checks at once with room for `waiting` more.
    #[must_use]
    pub fn new(workers: NonZeroUsize, waiting: usize) -> Self {
        let workers = workers.get().min(1024);
        Self {
            workers: Arc::new(Semaphore::new(workers)),
            places: Arc::new(Semaphore::new(workers + waiting.min(1 << 20))),
        }
    }

    /// One worker for each processor, and 64 places in the queue for each: at 20 ms a check, nobody who
    /// gets a place waits much longer than a second.
    #[must_use]
    pub fn for_this_machine() -> Self {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::new(workers, workers.get() * 64)
    }

    /// Checks `password` against all values; any match counts, and an empty password matches nothing. Cheap
    /// schemes are checked at once.
    pub async fn verify<V: AsRef<[u8]>>(
        &self,
        values: &[V],
        encoding: Encoding,
        password: &Secret,
    ) -> Result<Verdict, Busy> {
        let (stored, errors) = parse_all(values, encoding);
        if !stored.iter().any(|value| value.scheme().is_costly()) {
            return Ok(verify_stored(&stored, errors, password));
        }
        let turn = self.turn().await?;
        let password = password.clone();
        run(turn, move || verify_stored(&stored, errors, &password)).await
    }

    /// Hashes a new password; see [`hash_argon2id`].
    pub async fn hash(&self, password: &Secret, cost: ArgonCost) -> Result<String, HashError> {
        let turn = self.turn().await.map_err(|Busy| HashError::Busy)?;
        let password = password.clone();
        run(turn, move || hash_argon2id(&password, cost))
            .await
            .unwrap_or(Err(HashError::Busy))
    }

    /// Runs other work that costs milliseconds of a processor, such as making SCRAM keys.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = self.turn().await?;
        run(turn, work).await
    }

    /// Hashes a password for the directory; see [`hash_sha512_crypt`].
    pub async fn hash_crypt(&self, password: &Secret) -> Result<String, HashError> {
        let turn = self.turn().await.map_err(|Busy| HashError::Busy)?;
        let password = password.clone();
        run(turn, move || hash_sha512_crypt(&password))
            .await
            .unwrap_or(Err(HashError::Busy))
    }

    async fn turn(&self) -> Result<Turn, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let worker = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        Ok(Turn {
            _worker: worker,
            _place: place,
        })
    }
}

/// The permits go with the work, not with the caller: a caller that gives up does not free a processor.
async fn run<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
    tokio::task::spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    })
    .await
    .map_err(|_| Busy)
}
