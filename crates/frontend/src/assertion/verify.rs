//! Reading tokens at a home.

use super::keys::is_kid;
use super::{AHEAD, BACK, CONTENT, Claims};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use model::{Address, Clock, ConfigProblem, Domain, Protocol, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the keys of a front end are read again.
const REFRESH: Duration = Duration::from_secs(2);
/// The longest token.
const MAX_TOKEN: usize = 4096;
/// Keys that one front end may have.
const MAX_KEYS: usize = 100;
/// How long a token can be good.
const LIFE: Duration = Duration::from_secs(AHEAD + BACK);
/// Tokens remembered, so that none is used twice: more than a home can take logins in the life of one.
const MAX_SEEN: usize = 500_000;

/// A front end whose assertions are believed.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedFrontEndConfig {
    /// Its `server_name`. Required, unique.
    pub name: String,
    /// Its public keys: a JWK set in a file (`homing cluster key export --format jwks`), or a folder with one PEM
    /// file for each key, named after it. Read again within seconds after a change, so that a key can be added or
    /// struck off while the server runs. Required.
    pub keys: PathBuf,
}

impl TrustedFrontEndConfig {
    /// Everything wrong with this section; keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if Domain::parse(&self.name).is_err() {
            let message = format!("{:?} is not a host name", self.name);
            problems.push(ConfigProblem::new("name", message));
        }
        if let Err(error) = read_keys(&self.keys) {
            problems.push(ConfigProblem::new(
                "keys",
                format!("{}: {error}", self.keys.display()),
            ));
        }
        problems
    }
}

/// What a token turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A good assertion for this account.
    Vouched(Address),
    /// No assertion at all: perhaps a token that a client brought.
    NotOurs,
}

/// Why an assertion is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Its front end is not listed.
    #[error("the front end {0:?} is not trusted here")]
    UnknownFrontEnd(String),
    /// Its key is not listed.
    #[error("{front_end} has no key {kid:?} here")]
    UnknownKey {
        /// The front end.
        front_end: String,
        /// The key.
        kid: String,
    },
    /// It is malformed, or its signature is wrong.
    #[error("it is malformed or its signature is wrong")]
    Invalid,
    /// It is for another home.
    #[error("it is for {0:?}")]
    WrongHome(String),
    /// It is for another protocol.
    #[error("it is for {0:?}")]
    WrongService(String),
    /// Its time is over, has not come, or is longer than it may be.
    #[error("it is not of now; is a clock wrong?")]
    NotNow,
    /// It has been used.
    #[error("it has been used already")]
    Replayed,
    /// So many logins came within a minute that no more can be remembered: try later.
    #[error("too many assertions at once")]
    Busy,
    /// It was written before this server began to remember which ones were used: try later.
    #[error("it is from before the start of this server, and may have been used then")]
    BeforeStart,
}

impl VerifyError {
    /// Whether the next token may be believed, so that nobody must hear a "no".
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::BeforeStart)
    }
}

/// Believes the listed front ends, for one home.
pub struct Verifier {
    home: String,
    clock: Arc<dyn Clock>,
    front_ends: RwLock<HashMap<String, Arc<FrontEnd>>>,
    seen: Mutex<Seen>,
    /// When it began to remember tokens, on both clocks.
    began: (Timestamp, Duration),
}

struct FrontEnd {
    path: PathBuf,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    read: Option<Duration>,
    known: HashMap<String, DecodingKey>,
}

/// Tokens that were used, in two halves by age.
#[derive(Default)]
struct Seen {
    since: Duration,
    young: HashMap<String, ()>,
    old: HashMap<String, ()>,
}

impl Verifier {
    /// Takes over `[[trusted_front_end]]` for the home of this name.
    #[must_use]
    pub fn new(home: &str, configs: &[TrustedFrontEndConfig], clock: Arc<dyn Clock>) -> Self {
        let verifier = Self {
            home: home.trim_end_matches('.').to_ascii_lowercase(),
            began: (clock.now(), clock.monotonic()),
            clock,
            front_ends: RwLock::default(),
            seen: Mutex::default(),
        };
        for config in configs {
            verifier.trust(config);
        }
        verifier
    }

    /// Believes this front end too from now on; what is known of the others, and which tokens were used, stays.
    pub fn trust(&self, config: &TrustedFrontEndConfig) {
        let front_end = FrontEnd {
            path: config.keys.clone(),
            keys: Mutex::default(),
        };
        let name = config.name.to_ascii_lowercase();
        self.front_ends.write().insert(name, Arc::new(front_end));
    }

    /// Whether it believes anybody.
    #[must_use]
    pub fn trusts_anybody(&self) -> bool {
        !self.front_ends.read().is_empty()
    }

    /// Whether the token vouches for somebody who logs in by this protocol. A token is good once.
    pub fn verify(&self, token: &[u8], protocol: Protocol) -> Result<Verdict, VerifyError> {
        if token.len() > MAX_TOKEN {
            return Ok(Verdict::NotOurs);
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return Ok(Verdict::NotOurs);
        };
        if header.cty.as_deref() != Some(CONTENT) {
            return Ok(Verdict::NotOurs);
        }
        let kid = header.kid.filter(|kid| is_kid(kid)).ok_or(VerifyError::Invalid)?;
        // Only to find the key: nothing of it is believed before the signature is.
        let claimed: Claims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| VerifyError::Invalid)?;
        let key = self.key(&claimed.iss, &kid)?;
        let mut rules = Validation::new(Algorithm::ES256);
        // Time is judged below, by our own clock.
        (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
            .map_err(|_| VerifyError::Invalid)?
            .claims;
        self.judge(claims, protocol).map(Verdict::Vouched)
    }

    fn judge(&self, claims: Claims, protocol: Protocol) -> Result<Address, VerifyError> {
        if claims.aud.trim_end_matches('.').to_ascii_lowercase() != self.home {
            return Err(VerifyError::WrongHome(claims.aud));
        }
        let here = protocol.to_string();
        if let Some(elsewhere) = claims.service.filter(|service| *service != here) {
            return Err(VerifyError::WrongService(elsewhere));
        }
        let secs = self.clock.now().as_secs();
        // RFC 7519 section 4.1: exp, nbf and iat; a front end that gives its tokens a longer life is wrong.
        let in_time = claims.nbf <= secs && secs < claims.exp && claims.iat <= secs;
        if !in_time || claims.exp.saturating_sub(claims.iat) > AHEAD + BACK {
            return Err(VerifyError::NotNow);
        }
        // What was used before a restart is forgotten, and must not be good again. The monotonic clock ends this,
        // however wrong the other one was at the start.
        let (start, since) = self.began;
        let forgot = self.clock.monotonic().saturating_sub(since) < LIFE;
        if forgot && claims.iat.saturating_add(BACK) < start.as_secs() {
            return Err(VerifyError::BeforeStart);
        }
        let address = Address::parse(&claims.sub).map_err(|_| VerifyError::Invalid)?;
        self.use_up(format!("{} {}", claims.iss, claims.jti))?;
        Ok(address)
    }

    /// Each half holds the tokens of one life; one that is older than both has expired. By the monotonic clock: one
    /// that is set back would keep them for ever.
    fn use_up(&self, name: String) -> Result<(), VerifyError> {
        let now = self.clock.monotonic();
        let mut seen = self.seen.lock();
        let age = now.saturating_sub(seen.since);
        if age >= LIFE {
            let young = std::mem::take(&mut seen.young);
            seen.old = if age < 2 * LIFE { young } else { HashMap::new() };
            seen.since = now;
        }
        if seen.old.contains_key(&name) || seen.young.contains_key(&name) {
            return Err(VerifyError::Replayed);
        }
        if seen.young.len() >= MAX_SEEN || name.len() > 512 {
            return Err(VerifyError::Busy);
        }
        seen.young.insert(name, ());
        Ok(())
    }

    fn key(&self, front_end: &str, kid: &str) -> Result<DecodingKey, VerifyError> {
        let found = self
            .front_ends
            .read()
            .get(&front_end.to_ascii_lowercase())
            .cloned();
        let found = found.ok_or_else(|| VerifyError::UnknownFrontEnd(front_end.to_owned()))?;
        let now = self.clock.monotonic();
        let mut keys = found.keys.lock();
        if keys.read.is_none_or(|read| now >= read + REFRESH) {
            keys.read = Some(now);
            match read_keys(&found.path) {
                Ok(known) => keys.known = known,
                // A file that is being replaced: what is known stays good for the moment.
                Err(error) => {
                    tracing::error!(front_end, path = %found.path.display(), error, "the keys cannot be read");
                }
            }
        }
        keys.known
            .get(kid)
            .cloned()
            .ok_or_else(|| VerifyError::UnknownKey {
                front_end: front_end.to_owned(),
                kid: kid.to_owned(),
            })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// The keys of a JWK set, or of a folder of PEM files.
fn read_keys(path: &Path) -> Result<HashMap<String, DecodingKey>, String> {
    let text = |error: io::Error| error.to_string();
    let mut keys = HashMap::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(text)? {
            let file = entry.map_err(text)?.path();
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let kid = name.strip_suffix(".pem").unwrap_or(name);
            if !file.is_file() || !is_kid(kid) {
                continue;
            }
            let pem = std::fs::read(&file).map_err(text)?;
            let key = DecodingKey::from_ec_pem(&pem)
                .map_err(|_| format!("{} is not a public key for ES256 in PEM", file.display()))?;
            keys.insert(kid.to_owned(), key);
        }
    } else {
        let set: JwkSet = serde_json::from_slice(&std::fs::read(path).map_err(text)?)
            .map_err(|error| format!("not a JWK set: {error}"))?;
        for jwk in &set.keys {
            let kid = jwk.common.key_id.clone().filter(|kid| is_kid(kid));
            let kid = kid.ok_or("a key without a kid")?;
            keys.insert(
                kid,
                DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?,
            );
        }
    }
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(format!("there are {} keys in it", keys.len()));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ManualClock;

    #[test]
    fn a_clock_that_is_set_back_fills_no_memory() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000_000)));
        let verifier = Verifier::new("store1", &[], clock.clone());
        assert_eq!(verifier.use_up("a".to_owned()), Ok(()));
        clock.set_wall(Timestamp::from_millis(0));
        clock.advance(2 * LIFE);
        assert_eq!(verifier.use_up("b".to_owned()), Ok(()));
        assert_eq!(verifier.use_up("b".to_owned()), Err(VerifyError::Replayed));
        let seen = verifier.seen.lock();
        assert_eq!((seen.young.len(), seen.old.len()), (1, 0));
    }
}
