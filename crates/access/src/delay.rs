//! The pause after a failed login: who guesses passwords one by one is slowed down, and who times the answers
//! learns nothing about where the login failed.

use net::Shutdown;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The shortest pause.
const PAUSE: Duration = Duration::from_millis(1000);
/// At most so many milliseconds more.
const JITTER: u64 = 500;

/// Waits before the answer to a failed login. The session holds nothing meanwhile but its connection, and a
/// server that stops does not wait for it.
pub(crate) async fn after_failed_login(shutdown: &Shutdown) {
    // The hasher of the standard library is seeded by the system, anew for each.
    let random = RandomState::new().hash_one(0u8);
    let pause = PAUSE + Duration::from_millis(random % (JITTER + 1));
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
