//! `{CRYPT}`: what `crypt(3)` writes, told apart by its prefix. Traditional DES is not among them: its
//! passwords end at eight characters, and such a value is reported as an unknown method.

use crate::md5_crypt;
use crate::scheme::{Scheme, SchemeError, ascii};
use sha_crypt::PasswordVerifier as _;

/// `rounds=` beyond this are refused: at 6,000,000 one check takes seconds.
const MAX_SHA_ROUNDS: u32 = 6_000_000;
/// bcrypt doubles with each step: 16 is about four seconds.
const MAX_BCRYPT_COST: u32 = 16;
/// 128 * N * r octets of memory.
const MAX_YESCRYPT_MEMORY: u64 = 256 << 20;

/// A crypt(3) text that was checked to be well formed.
#[derive(Debug, Clone)]
pub(crate) struct CryptHash {
    method: Method,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
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
            "" if text.is_empty() || text.starts_with(['*', '!']) => {
                return Err(SchemeError::Malformed("{CRYPT}"));
            }
            "" => return Err(SchemeError::UnknownMethod("traditional DES".to_owned())),
            other => return Err(SchemeError::UnknownMethod(other.to_owned())),
        };
        check(method, text)?;
        Ok(Self {
            method,
            text: text.to_owned(),
        })
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        match self.method {
            Method::Md5 => Scheme::Md5Crypt,
            Method::Sha256 | Method::Sha512 => Scheme::ShaCrypt,
            Method::Bcrypt => Scheme::Bcrypt,
            Method::Yescrypt => Scheme::Yescrypt,
        }
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self.method {
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
fn check(method: Method, text: &str) -> Result<(), SchemeError> {
    let fields: Vec<&str> = text.split('$').skip(2).collect();
    let crypt64 = |field: &str| {
        field
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    match method {
        Method::Md5 => match fields.as_slice() {
            [salt, hash] if salt.len() <= 8 && hash.len() == 22 && crypt64(hash) => Ok(()),
            _ => Err(SchemeError::Malformed("{CRYPT} $1$")),
        },
        Method::Sha256 | Method::Sha512 => {
            let length = if method == Method::Sha256 { 43 } else { 86 };
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
