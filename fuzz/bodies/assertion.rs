//! Any bytes as the assertion of a front end.

use frontend::assertion::{TrustedFrontEndConfig, Verdict, Verifier, VerifyError};
use model::{ManualClock, Protocol, Timestamp};
use std::sync::Arc;

/// Of the one front end that is trusted here.
const KEYS: &str = include_str!("../assertion.jwks");
/// When the seeds were made.
const NOW: u64 = 1_795_336_200;

thread_local! {
    static HOME: (tempfile::TempDir, Verifier) = home();
}

fn home() -> (tempfile::TempDir, Verifier) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("front.jwks");
    std::fs::write(&keys, KEYS).expect("the keys");
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys,
    };
    assert!(trusted.check().is_empty());
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW * 1000)));
    let verifier = Verifier::new("store1.example.test", &[trusted], clock);
    // Keys and seeds belong together, or nothing behind the signature is reached.
    let good = verifier.verify(include_bytes!("../seeds/assertion/minted-good"), Protocol::Imap);
    assert!(matches!(good, Ok(Verdict::Vouched(_))), "{good:?}");
    (folder, verifier)
}

/// Nobody but `alice@example.test` was ever vouched for, and a token that was believed is not believed again. What is
/// said of any other token does not change.
pub(crate) fn run(data: &[u8]) {
    HOME.with(|(_, verifier)| {
        let first = verifier.verify(data, Protocol::Imap);
        let again = verifier.verify(data, Protocol::Imap);
        match &first {
            Ok(Verdict::Vouched(address)) => {
                assert_eq!(address.as_str(), "alice@example.test");
                assert_eq!(again, Err(VerifyError::Replayed));
            }
            _ => assert_eq!(first, again),
        }
    });
}
