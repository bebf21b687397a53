//! `{PBKDF2*}` as slapd's `pw-pbkdf2` writes it: `iterations$salt$key` (RFC 8018 section 5.2).

use crate::digest::Algorithm;
use crate::scheme::{SchemeError, ascii, decode_base64};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

/// Ten times what is recommended today; more would let one directory entry stop a processor for minutes.
const MAX_ITERATIONS: u32 = 6_000_000;

/// A derived key with what it takes to derive it again.
#[derive(Debug, Clone)]
pub(crate) struct PbkdfHash {
    algorithm: Algorithm,
    iterations: u32,
    salt: Vec<u8>,
    key: Vec<u8>,
}

impl PbkdfHash {
    pub(crate) fn parse(algorithm: Algorithm, rest: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed("{PBKDF2}");
        let mut parts = ascii(rest, "{PBKDF2}")?.split('$');
        let iterations: u32 = parts
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or_else(malformed)?;
        let salt = parts.next().and_then(decode_adapted).ok_or_else(malformed)?;
        let key = parts.next().and_then(decode_adapted).ok_or_else(malformed)?;
        if parts.next().is_some() || iterations == 0 || key.len() != algorithm.len() {
            return Err(malformed());
        }
        if iterations > MAX_ITERATIONS {
            return Err(SchemeError::TooCostly("{PBKDF2}"));
        }
        Ok(Self {
            algorithm,
            iterations,
            salt,
            key,
        })
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let mut key = vec![0; self.key.len()];
        match self.algorithm {
            Algorithm::Sha256 => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, &self.salt, self.iterations, &mut key);
            }
            Algorithm::Sha512 => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, self.iterations, &mut key);
            }
            _ => pbkdf2::pbkdf2_hmac::<Sha1>(password, &self.salt, self.iterations, &mut key),
        }
        key.ct_eq(&self.key).into()
    }
}

/// "Adapted base64": `.` stands for `+`, and there is no padding.
fn decode_adapted(text: &str) -> Option<Vec<u8>> {
    decode_base64(text.replace('.', "+").as_bytes())
}
