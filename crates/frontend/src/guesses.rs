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
    /// By what was typed, and beside it by account.
    throttle: Throttle<u64>,
    /// Names are not kept, and nobody can choose one that shares a record with another.
    names: RandomState,
    /// How long homes took for their last refusals.
    took: Mutex<VecDeque<Duration>>,
    clock: Arc<dyn Clock>,
}

/// What guesses are counted by. What was typed is counted whether there is such an account or not, and apart from
/// accounts, or two names that share a limit would be known to be those of one account.
#[derive(Hash)]
enum Counted<'a> {
    Typed(&'a str),
    Account(&'a str),
}

/// A login that a home is asked about.
pub(crate) struct Guess<'a> {
    guesses: &'a Guesses,
    /// None where there is no account, or it may not be tried now. It ends before what was typed, so that whoever types
    /// one name only meets the limit of that one.
    account: Option<Trial<'a, u64>>,
    typed: Trial<'a, u64>,
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

    /// Begins one, if this client may try this name now; and who is admitted. An account that was guessed at by its
    /// other names is refused as if the password were wrong: "try later" would tell that it has those names.
    pub(crate) fn begin(
        &self,
        typed: &str,
        admitted: Result<Admitted, Failure>,
        client: IpAddr,
    ) -> Result<(Guess<'_>, Result<Admitted, Failure>), Failure> {
        let name = typed.to_lowercase();
        let too_many = || Failure::Throttled(format!("too many failed logins as {name} from {client}"));
        let key = self.names.hash_one(Counted::Typed(&name));
        let trial = self.throttle.attempt(key, client).ok_or_else(too_many)?;
        let mut guess = Guess {
            guesses: self,
            account: None,
            typed: trial,
            began: self.clock.monotonic(),
        };
        let Ok(found) = &admitted else {
            return Ok((guess, admitted));
        };
        let address = found.address.as_str().to_lowercase();
        let account = self.names.hash_one(Counted::Account(&address));
        guess.account = self.throttle.attempt(account, client);
        match guess.account {
            Some(_) => Ok((guess, admitted)),
            // Whoever logged in by this name lately knows that there is such an account.
            None if self.throttle.is_known(key, client) => Err(too_many()),
            None => Ok((guess, Err(Failure::Rejected(Rejection::Throttled)))),
        }
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
            Ok(_) => {
                self.account.into_iter().for_each(Trial::succeeded);
                self.typed.succeeded();
            }
            Err(Failure::Rejected(Rejection::NoSuchAccount | Rejection::Throttled)) => {
                // It has failed when a home's would have, or those sent side by side would tell.
                let usual = self.guesses.one_of();
                tokio::time::sleep(usual.saturating_sub(spent)).await;
                self.failed();
            }
            Err(Failure::Rejected(Rejection::Home)) => {
                self.guesses.learn(spent);
                self.failed();
            }
            // It decided nothing about the password.
            Err(_) => {}
        }
    }

    fn failed(self) {
        self.account.into_iter().for_each(Trial::failed);
        self.typed.failed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Proof;
    use directory::HomeRef;
    use model::{Address, ManualClock, Timestamp};
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    const HOME: Result<(), Failure> = Err(Failure::Rejected(Rejection::Home));
    const NOBODY: Failure = Failure::Rejected(Rejection::NoSuchAccount);
    /// Whether there is an account.
    const BOTH: [bool; 2] = [true, false];

    fn guesses() -> (Arc<ManualClock>, Guesses) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (clock.clone(), Guesses::new(clock))
    }

    /// The time that tests sleep by.
    struct Slept(Instant);

    impl Clock for Slept {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn monotonic(&self) -> Duration {
            self.0.elapsed()
        }
    }

    fn in_time() -> Arc<Guesses> {
        Arc::new(Guesses::new(Arc::new(Slept(Instant::now()))))
    }

    fn client() -> IpAddr {
        IpAddr::from([192, 0, 2, 7])
    }

    /// Who is admitted: Bob, whatever he typed, if there is such an account.
    fn admitted(exists: bool) -> Result<Admitted, Failure> {
        exists
            .then(|| Admitted {
                home: HomeRef::parse("store").expect("a name"),
                address: Address::parse("bob@a.test").expect("an address"),
                proof: Proof::NoSecret,
                entry: None,
            })
            .ok_or(NOBODY)
    }

    /// A wrong password; what is heard, and after what time. Homes take the usual one.
    async fn tries(guesses: &Guesses, typed: &str, exists: bool) -> (Failure, Duration) {
        let began = Instant::now();
        let (guess, admitted) = match guesses.begin(typed, admitted(exists), client()) {
            Ok(begun) => begun,
            Err(failure) => return (failure, began.elapsed()),
        };
        let result = match admitted {
            Ok(_) => {
                tokio::time::sleep(USUAL).await;
                HOME
            }
            Err(failure) => Err(failure),
        };
        guess.ends(&result).await;
        (result.expect_err("a wrong password"), began.elapsed())
    }

    /// What a client can tell apart.
    fn heard((failure, took): (Failure, Duration)) -> (&'static str, Duration) {
        let text = match failure {
            // One text for all of these.
            Failure::Rejected(_) => "no",
            other => other.kind(),
        };
        (text, took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_for_nobody_takes_as_long_as_a_homes() {
        let (clock, guesses) = guesses();
        for (homes, usual) in [(None, USUAL), (Some(2_500), Duration::from_millis(2_500))] {
            if let Some(millis) = homes {
                let begun = guesses.begin("bob@a.test", admitted(true), client());
                clock.advance(Duration::from_millis(millis));
                begun.expect("a try").0.ends(&HOME).await;
            }
            let began = Instant::now();
            let begun = guesses.begin("nobody@a.test", admitted(false), client());
            // The look-up took some of it.
            clock.advance(Duration::from_millis(100));
            begun.expect("a try").0.ends(&Err::<(), _>(NOBODY)).await;
            assert_eq!(began.elapsed(), usual - Duration::from_millis(100));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_does_not_tell_whether_there_is_an_account() {
        let mut seen = Vec::new();
        for exists in BOTH {
            let guesses = in_time();
            let mut burst = JoinSet::new();
            for _ in 0..100 {
                let guesses = Arc::clone(&guesses);
                burst.spawn(async move { heard(tries(&guesses, "bob@a.test", exists).await) });
            }
            let mut all = burst.join_all().await;
            all.sort();
            seen.push(all);
        }
        assert_eq!(seen[0], seen[1]);
        let refused = seen[0].iter().filter(|(_, took)| took.is_zero()).count();
        assert!((1..100).contains(&refused), "some, and not all: {refused}");
    }

    /// One name after the other: the account's address, an alias, and a name in the other case.
    #[tokio::test(start_paused = true)]
    async fn names_do_not_tell_whose_they_are() {
        let mut seen = Vec::new();
        for exists in BOTH {
            let guesses = in_time();
            let mut all = Vec::new();
            for typed in [
                "robert@a.test",
                "bob@a.test",
                "bob",
                "BOB@A.test",
                "Robert@a.test",
            ] {
                for _ in 0..16 {
                    all.push(heard(tries(&guesses, typed, exists).await));
                }
            }
            // Another is not kept out.
            assert!(guesses.begin("alice@a.test", admitted(false), client()).is_ok());
            seen.push(all);
        }
        assert_eq!(seen[0], seen[1]);
        // A name in the other case is the same, and has been tried too often already.
        let other_case = &seen[0][3 * 16..4 * 16];
        let later = other_case.iter().filter(|(_, took)| took.is_zero()).count();
        assert!((10..16).contains(&later), "{later}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_has_no_more_guesses_by_its_other_names() {
        let guesses = in_time();
        let mut asked = 0;
        for number in 0..100 {
            let (failure, _) = tries(&guesses, &format!("bob+{number}@a.test"), true).await;
            asked += u32::from(failure == Failure::Rejected(Rejection::Home));
        }
        assert!((5..50).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_let_in_by_a_name_hears_that_it_is_not_the_password() {
        let guesses = in_time();
        let (guess, _) = guesses
            .begin("robert@a.test", admitted(true), client())
            .expect("a try");
        guess.ends(&Ok::<_, Failure>(())).await;
        for _ in 0..16 {
            tries(&guesses, "bob@a.test", true).await;
        }
        let (failure, _) = tries(&guesses, "robert@a.test", true).await;
        assert!(matches!(failure, Failure::Throttled(_)), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_decides_nothing_counts_for_nothing() {
        let (_, guesses) = guesses();
        for exists in BOTH {
            for _ in 0..200 {
                let begun = guesses.begin("bob@a.test", admitted(exists), client());
                let late: Result<(), Failure> = Err(Failure::Timeout("store".to_owned()));
                begun.expect("a try").0.ends(&late).await;
            }
        }
        assert!(guesses.took.lock().is_empty());
    }
}
