//! `{ARGON2}`: a PHC string, as slapd's `argon2` module writes it, and the hash of our own accounts.

use crate::prepare::prepared;
use crate::scheme::{SchemeError, ascii};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::Secret;
use subtle::ConstantTimeEq as _;

/// One check may take this much memory: 256 MiB.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Passes times memory, in KiB: about a second of a processor.
const MAX_WORK: u64 = 2 * 1024 * 1024;

/// An Argon2 hash: any of the three variants.
#[derive(Debug, Clone)]
pub(crate) struct ArgonHash {
    context: Box<Argon2<'static>>,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl ArgonHash {
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed("{ARGON2}");
        // slapd's module reads a C string, and (2.5.13) stores what it makes with its end and whatever stood behind it.
        let written = rest.split(|octet| *octet == 0).next().unwrap_or_default();
        let text = ascii(written, "{ARGON2}")?;
        let hash = PasswordHash::new(text).map_err(|_| malformed())?;
        let algorithm = Algorithm::new(hash.algorithm.as_str()).map_err(|_| malformed())?;
        // A hash without a version is of version 16: the parameter came with version 19.
        let version = Version::try_from(hash.version.unwrap_or(0x10)).map_err(|_| malformed())?;
        let params = Params::try_from(&hash).map_err(|_| malformed())?;
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_MEMORY_KIB || work > MAX_WORK || params.p_cost() > 64 {
            return Err(SchemeError::TooCostly("{ARGON2}"));
        }
        let salt = hash.salt.as_ref().ok_or_else(malformed)?;
        let output = hash.hash.as_ref().ok_or_else(malformed)?;
        Ok(Self {
            context: Box::new(Argon2::new(algorithm, version, params)),
            salt: salt.as_ref().to_vec(),
            output: output.as_ref().to_vec(),
        })
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let mut output = vec![0; self.output.len()];
        self.context
            .hash_password_into(password, &self.salt, &mut output)
            .is_ok_and(|()| output.ct_eq(&self.output).into())
    }
}

/// How much work one ARGON2id hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgonCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes; one, because logins run side by side anyway.
    pub lanes: u32,
}

impl ArgonCost {
    /// For real accounts: 19 MiB and two passes, about 20 ms (OWASP's second recommendation, and
    /// RFC 9106 section 4 scaled to a server that checks many at a time).
    pub const DEFAULT: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
    /// For tests and demonstrations, where a thousand accounts are made at once: below a millisecond.
    pub const LIGHT: Self = Self {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
}

impl Default for ArgonCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// An empty password is no password.
    #[error("the password is empty")]
    Empty,
    /// The cost is outside of what Argon2, or one login, allows.
    #[error("the ARGON2 cost is out of range")]
    Cost,
    /// The system gave no random octets for the salt.
    #[error("the system's random number generator failed")]
    Random,
    /// The pool for costly work is full; try later.
    #[error("too many password checks are waiting")]
    Busy,
}

/// The hash of a new password, as a value of userPassword: `{ARGON2}$argon2id$...`. Non-ASCII text is
/// prepared first (RFC 4013). Blocks for as long as the cost says: run it on a [`crate::VerifyPool`].
pub fn hash_argon2id(password: &Secret, cost: ArgonCost) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if cost.memory_kib > MAX_MEMORY_KIB
        || u64::from(cost.memory_kib) * u64::from(cost.passes) > MAX_WORK
        || cost.lanes > 64
    {
        return Err(HashError::Cost);
    }
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| HashError::Cost)?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| HashError::Random)?;
    let mut output = [0; 32];
    let form = prepared(password);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(form.as_ref().unwrap_or(password).expose(), &salt, &mut output)
        .map_err(|_| HashError::Cost)?;
    Ok(format!(
        "{{ARGON2}}$argon2id$v=19$m={},t={},p={}${}${}",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output)
    ))
}
