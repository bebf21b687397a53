//! Keys for accounts that do not exist: nobody may tell by the answer who does (RFC 5802 section 9).

use model::{ScramKeys, ScramRequest, Secret};
use parking_lot::Mutex;
use password::VerifyPool;
use std::sync::Arc;

/// Octets of the salts that are made here.
const SALT: usize = 16;

/// Makes salts that are the same each time for one login, and keys nobody has the password of.
#[derive(Clone)]
pub struct ScramSalts {
    key: [u8; 32],
    pool: VerifyPool,
    /// What real keys look like here.
    usual: Arc<Mutex<Usual>>,
}

#[derive(Clone, Copy)]
struct Usual {
    iterations: u32,
    salt: usize,
    /// Whether they were made for the login, which takes its time.
    made: bool,
}

impl ScramSalts {
    /// From a key that stays the same over restarts, and is the same on every front end.
    #[must_use]
    pub fn new(key: [u8; 32], pool: VerifyPool) -> Self {
        let usual = Usual {
            iterations: ScramKeys::ITERATIONS,
            salt: SALT,
            made: true,
        };
        Self {
            key,
            pool,
            usual: Arc::new(Mutex::new(usual)),
        }
    }

    fn octets(&self, what: &str, request: &ScramRequest, count: usize) -> Vec<u8> {
        let mut out = vec![0; count];
        blake3::Hasher::new_keyed(&self.key)
            .update(what.as_bytes())
            .update(request.hash.to_string().as_bytes())
            .update(request.login.to_lowercase().as_bytes())
            .finalize_xof()
            .fill(&mut out);
        out
    }

    /// The salt with which keys are made from clear text.
    pub(super) fn salt(&self, request: &ScramRequest) -> Vec<u8> {
        self.octets("salt", request, SALT)
    }

    /// Looks at real keys, so that false ones look like them.
    pub(super) fn learn(&self, keys: &ScramKeys, offered: &[u8]) {
        *self.usual.lock() = Usual {
            iterations: keys.iterations(),
            salt: keys.salt().len(),
            made: keys.salt() == offered,
        };
    }

    /// Keys for a login that has none; none when there is no time for them.
    pub(super) async fn false_keys(&self, request: &ScramRequest) -> Option<ScramKeys> {
        let usual = *self.usual.lock();
        let salt = self.octets("salt", request, usual.salt);
        let secret = Secret::new(self.octets("password", request, request.hash.len()));
        let (hash, iterations) = (request.hash, usual.iterations);
        if !usual.made {
            let other = Secret::new(self.octets("server", request, hash.len()));
            return ScramKeys::new(hash, salt, iterations, secret, other);
        }
        let made = self
            .pool
            .compute(move || ScramKeys::derive(hash, &secret, &salt, iterations));
        made.await.ok().flatten()
    }
}
