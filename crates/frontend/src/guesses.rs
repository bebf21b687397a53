//! Logins that only the home can judge (`authenticate = "home"`): neither the time of a "no" nor how often one may try
//! tells which accounts exist.

use crate::failure::{Failure, Rejection};
use crate::login::Admitted;
use directory::{Throttle, Trial};
use model::Clock;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How many refusals are remembered.
const REMEMBERED: usize = 64;
/// What a refusal takes before a home has shown it.
const USUAL: Duration = Duration::from_secs(1);
/// Nobody waits longer than this for a "no" that no home has said.
const LONGEST: Duration = Duration::from_secs(10);

/// What is known of guesses; one for all proxies, over reloads.
pub(crate) struct Guesses {
    /// By account, or by what was typed where there is none.
    throttle: Throttle<u64>,
    /// Names are not kept, and nobody can choose one that shares a record with another.
    names: RandomState,
    /// How long homes took for their last refusals.
    took: Mutex<VecDeque<Duration>>,
    clock: Arc<dyn Clock>,
}

/// A login that a home is asked about.
pub(crate) struct Guess<'a> {
    guesses: &'a Guesses,
    trial: Trial<'a, u64>,
    began: Duration,
}

impl Guesses {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            throttle: Throttle::new(Arc::clone(&clock)),
            names: RandomState::new(),
            took: Mutex::default(),
            clock,
        }
    }

    /// Begins one, if this client may try this name now.
    pub(crate) fn begin(
        &self,
        typed: &str,
        admitted: &Result<Admitted, Failure>,
        client: IpAddr,
    ) -> Result<Guess<'_>, Failure> {
        let known = admitted.as_ref().ok().map(|admitted| admitted.address.as_str());
        let name = known.unwrap_or(typed).to_lowercase();
        let trial = self.throttle.attempt(self.names.hash_one(&name), client);
        let trial = trial
            .ok_or_else(|| Failure::Directory(format!("too many failed logins as {name} from {client}")))?;
        Ok(Guess {
            guesses: self,
            trial,
            began: self.clock.monotonic(),
        })
    }

    fn learn(&self, took: Duration) {
        let mut all = self.took.lock();
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back(took.min(LONGEST));
    }

    /// How long a home took once, lately: an average would be told from the times of homes, which differ.
    fn one_of(&self) -> Duration {
        let all = self.took.lock();
        // Without randomness the newest is as good as any.
        let random = net::fresh_random().map_or(0, u32::from_ne_bytes);
        let index = usize::try_from(random).unwrap_or_default() % all.len().max(1);
        all.get(index).copied().unwrap_or(USUAL)
    }
}

impl Guess<'_> {
    /// Takes note of the end. A "no" for an account that does not exist goes out when a home's would.
    pub(crate) async fn ends<T>(self, result: &Result<T, Failure>) {
        let spent = self.guesses.clock.monotonic().saturating_sub(self.began);
        match result {
            Ok(_) => self.trial.succeeded(),
            Err(Failure::Rejected(Rejection::NoSuchAccount)) => {
                self.trial.failed();
                let usual = self.guesses.one_of();
                tokio::time::sleep(usual.saturating_sub(spent)).await;
            }
            Err(Failure::Rejected(Rejection::Home)) => {
                self.guesses.learn(spent);
                self.trial.failed();
            }
            // It decided nothing about the password.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};
    use tokio::time::Instant;

    const HOME: Result<(), Failure> = Err(Failure::Rejected(Rejection::Home));
    const NOBODY: Failure = Failure::Rejected(Rejection::NoSuchAccount);

    fn guesses() -> (Arc<ManualClock>, Guesses) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (clock.clone(), Guesses::new(clock))
    }

    fn client() -> IpAddr {
        IpAddr::from([192, 0, 2, 7])
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_for_nobody_takes_as_long_as_a_homes() {
        let (clock, guesses) = guesses();
        for (homes, usual) in [(None, USUAL), (Some(2_500), Duration::from_millis(2_500))] {
            if let Some(millis) = homes {
                let guess = guesses
                    .begin("alice@a.test", &Err(NOBODY), client())
                    .expect("a try");
                clock.advance(Duration::from_millis(millis));
                guess.ends(&HOME).await;
            }
            let began = Instant::now();
            let guess = guesses
                .begin("nobody@a.test", &Err(NOBODY), client())
                .expect("a try");
            // The look-up took some of it.
            clock.advance(Duration::from_millis(100));
            guess.ends(&Err::<(), _>(NOBODY)).await;
            assert_eq!(began.elapsed(), usual - Duration::from_millis(100));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_hears_later_whether_there_is_an_account_or_not() {
        let (_, guesses) = guesses();
        let mut tries = Vec::new();
        for end in [HOME, Err(NOBODY)] {
            let name = format!("{end:?}@a.test");
            let mut done = 0;
            while let Ok(guess) = guesses.begin(&name, &Err(NOBODY), client()) {
                guess.ends(&end).await;
                done += 1;
            }
            tries.push(done);
            // Somebody who writes it otherwise is no other, and another is not kept out.
            assert!(
                guesses
                    .begin(&name.to_uppercase(), &Err(NOBODY), client())
                    .is_err()
            );
            assert!(guesses.begin("bob@a.test", &Err(NOBODY), client()).is_ok());
        }
        assert_eq!(tries[0], tries[1]);
        assert!((5..50).contains(&tries[0]), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_decides_nothing_counts_for_nothing() {
        let (_, guesses) = guesses();
        for _ in 0..200 {
            let guess = guesses.begin("alice@a.test", &Err(NOBODY), client());
            let late: Result<(), Failure> = Err(Failure::Timeout("store".to_owned()));
            guess.expect("a try").ends(&late).await;
        }
        assert!(guesses.took.lock().is_empty());
    }
}
