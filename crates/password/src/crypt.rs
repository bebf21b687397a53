//! `{CRYPT}`: what `crypt(3)` writes, told apart by its prefix, and the one method that we write ourselves.

use crate::HashError;
use crate::des_crypt::DesHash;
use crate::md5_crypt;
use crate::prepare::prepared;
use crate::scheme::{Scheme, SchemeError, ascii};
use model::Secret;
use sha_crypt::{PasswordHasher as _, PasswordVerifier as _};

/// `rounds=` beyond this are refused: at 6,000,000 one check takes seconds.
const MAX_SHA_ROUNDS: u32 = 6_000_000;
/// bcrypt doubles with each step: 16 is about four seconds.
const MAX_BCRYPT_COST: u32 = 16;
/// 128 * N * r octets of memory.
const MAX_YESCRYPT_MEMORY: u64 = 256 << 20;
/// What we write: about 30 ms, here and in the directory server.
const SHA512_ROUNDS: u32 = 50_000;

/// A crypt(3) text that was checked to be well formed.
#[derive(Debug, Clone)]
pub(crate) struct CryptHash {
    method: Method,
    text: String,
}

#[derive(Debug, Clone)]
enum Method {
    /// `!`, `*` and the like: the value that no password matches.
    Locked,
    Des(DesHash),
    Md5,
    Sha256,
    Sha512,
    Bcrypt,
    Yescrypt,
}

impl CryptHash {
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, SchemeError> {
        let text = ascii(rest, "{CRYPT}")?;
        let method = match prefix(text) {
            "$1$" => Method::Md5,
            "$5$" => Method::Sha256,
            "$6$" => Method::Sha512,
            "$2a$" | "$2b$" | "$2y$" => Method::Bcrypt,
            "$y$" => Method::Yescrypt,
            "" if text.is_empty() => return Err(SchemeError::Malformed("{CRYPT}")),
            // What `passwd -l` and `usermod -L` write; `*0` and `*1` are crypt(3)'s own failures.
            "" if text.starts_with(['*', '!']) || text == "x" => Method::Locked,
            "" => Method::Des(DesHash::parse(text)?),
            other => return Err(SchemeError::UnknownMethod(other.to_owned())),
        };
        check(&method, text)?;
        Ok(Self {
            method,
            text: text.to_owned(),
        })
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        match &self.method {
            Method::Locked => Scheme::Locked,
            Method::Des(_) => Scheme::DesCrypt,
            Method::Md5 => Scheme::Md5Crypt,
            Method::Sha256 | Method::Sha512 => Scheme::ShaCrypt,
            Method::Bcrypt => Scheme::Bcrypt,
            Method::Yescrypt => Scheme::Yescrypt,
        }
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match &self.method {
            Method::Locked => false,
            Method::Des(hash) => hash.verify(password),
            Method::Md5 => md5_crypt::verify(password, &self.text),
            Method::Sha256 => sha_crypt::ShaCrypt::SHA256
                .verify_password(password, self.text.as_str())
                .is_ok(),
            Method::Sha512 => sha_crypt::ShaCrypt::SHA512
                .verify_password(password, self.text.as_str())
                .is_ok(),
            Method::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Method::Yescrypt => yescrypt::Yescrypt::default()
                .verify_password(password, self.text.as_str())
                .is_ok(),
        }
    }
}

/// The hash of a password as `{CRYPT}$6$rounds=...`, which every OpenLDAP on a current system can check at a bind
/// without a module. Non-ASCII text is prepared first (RFC 4013). Blocks: run it on a [`crate::VerifyPool`].
pub fn hash_sha512_crypt(password: &Secret) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    // Sixteen digits of salt.
    let mut salt = [0; 12];
    getrandom::fill(&mut salt).map_err(|_| HashError::Random)?;
    let cost = sha_crypt::Params::new(SHA512_ROUNDS).map_err(|_| HashError::Cost)?;
    let form = prepared(password);
    let hash = sha_crypt::ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, cost)
        .hash_password_with_salt(form.as_ref().unwrap_or(password).expose(), &salt)
        .map_err(|_| HashError::Cost)?;
    Ok(format!("{{CRYPT}}{}", hash.as_str()))
}

/// `$id$`, or nothing when the text does not start with `$`.
fn prefix(text: &str) -> &str {
    let Some(rest) = text.strip_prefix('$') else {
        return "";
    };
    match rest.find('$') {
        Some(end) => text.get(..end + 2).unwrap_or_default(),
        None => text.get(..text.len().min(4)).unwrap_or_default(),
    }
}

/// Whether the text has the method's form and asks for a bearable amount of work. The libraries check again,
/// but they say "wrong password" and "damaged" with one voice.
fn check(method: &Method, text: &str) -> Result<(), SchemeError> {
    let fields: Vec<&str> = text.split('$').skip(2).collect();
    let crypt64 = |field: &str| {
        field
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    match method {
        Method::Locked | Method::Des(_) => Ok(()),
        Method::Md5 => match fields.as_slice() {
            [salt, hash] if salt.len() <= 8 && hash.len() == 22 && crypt64(hash) => Ok(()),
            _ => Err(SchemeError::Malformed("{CRYPT} $1$")),
        },
        Method::Sha256 | Method::Sha512 => {
            let length = if matches!(method, Method::Sha256) { 43 } else { 86 };
            let (rounds, salt, hash) = match fields.as_slice() {
                [salt, hash] => (None, salt, hash),
                [rounds, salt, hash] => (rounds.strip_prefix("rounds="), salt, hash),
                _ => return Err(SchemeError::Malformed("{CRYPT} $5$/$6$")),
            };
            let rounds = rounds.map_or(Some(5000), |text| text.parse::<u32>().ok());
            if rounds.is_none_or(|rounds| rounds < 1000)
                || salt.len() > 16
                || hash.len() != length
                || !crypt64(hash)
            {
                return Err(SchemeError::Malformed("{CRYPT} $5$/$6$"));
            }
            if rounds > Some(MAX_SHA_ROUNDS) {
                return Err(SchemeError::TooCostly("{CRYPT} $5$/$6$"));
            }
            Ok(())
        }
        Method::Bcrypt => match fields.as_slice() {
            [cost, hash] if cost.len() == 2 && hash.len() == 53 && crypt64(hash) => {
                let cost: u32 = cost.parse().map_err(|_| SchemeError::Malformed("{CRYPT} $2$"))?;
                if cost > MAX_BCRYPT_COST {
                    return Err(SchemeError::TooCostly("{CRYPT} $2$"));
                }
                Ok(())
            }
            _ => Err(SchemeError::Malformed("{CRYPT} $2$")),
        },
        Method::Yescrypt => match fields.as_slice() {
            [parameters, salt, hash] if hash.len() == 43 && crypt64(salt) && crypt64(hash) => {
                let parameters: yescrypt::Params = parameters
                    .parse()
                    .map_err(|_| SchemeError::Malformed("{CRYPT} $y$"))?;
                let memory = parameters
                    .n()
                    .saturating_mul(u64::from(parameters.r()))
                    .saturating_mul(128);
                if memory > MAX_YESCRYPT_MEMORY || parameters.p() > 16 {
                    return Err(SchemeError::TooCostly("{CRYPT} $y$"));
                }
                Ok(())
            }
            _ => Err(SchemeError::Malformed("{CRYPT} $y$")),
        },
    }
}
