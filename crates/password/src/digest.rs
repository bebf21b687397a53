//! The digest schemes of RFC 2307 and of slapd's `pw-sha2`: base64(digest(password, salt), salt).

use crate::scheme::{Scheme, SchemeError, decode_base64};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

/// A digest algorithm of the schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// Octets of output.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        macro_rules! run {
            ($hasher:ty) => {
                <$hasher>::new()
                    .chain_update(password)
                    .chain_update(salt)
                    .finalize()
                    .to_vec()
            };
        }
        match self {
            Self::Md5 => run!(Md5),
            Self::Sha1 => run!(Sha1),
            Self::Sha256 => run!(Sha256),
            Self::Sha384 => run!(Sha384),
            Self::Sha512 => run!(Sha512),
        }
    }
}

/// A digest with the salt that follows it.
#[derive(Debug, Clone)]
pub(crate) struct DigestHash {
    algorithm: Algorithm,
    digest: Vec<u8>,
    salt: Option<Vec<u8>>,
}

impl DigestHash {
    /// A scheme without salt: nothing may follow the digest.
    pub(crate) fn plain(algorithm: Algorithm, rest: &[u8]) -> Result<Self, SchemeError> {
        let digest = decode_base64(rest).ok_or(SchemeError::Malformed("digest"))?;
        if digest.len() != algorithm.len() {
            return Err(SchemeError::Malformed("digest"));
        }
        Ok(Self {
            algorithm,
            digest,
            salt: None,
        })
    }

    /// A salted scheme: the salt is whatever follows the digest, at least one octet.
    pub(crate) fn salted(algorithm: Algorithm, rest: &[u8]) -> Result<Self, SchemeError> {
        let mut digest = decode_base64(rest).ok_or(SchemeError::Malformed("salted digest"))?;
        if digest.len() <= algorithm.len() {
            return Err(SchemeError::Malformed("salted digest"));
        }
        let salt = digest.split_off(algorithm.len());
        Ok(Self {
            algorithm,
            digest,
            salt: Some(salt),
        })
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        match (self.algorithm, &self.salt) {
            (Algorithm::Md5, None) => Scheme::Md5,
            (Algorithm::Md5, Some(_)) => Scheme::SaltedMd5,
            (Algorithm::Sha1, None) => Scheme::Sha1,
            (Algorithm::Sha1, Some(_)) => Scheme::SaltedSha1,
            (_, None) => Scheme::Sha2,
            (_, Some(_)) => Scheme::SaltedSha2,
        }
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let salt = self.salt.as_deref().unwrap_or_default();
        let digest = self.algorithm.digest(password, salt);
        digest.ct_eq(&self.digest).into()
    }
}

/// Compares two texts without telling by time where they differ or how long the stored one is.
pub(crate) fn equal_text(stored: &[u8], offered: &[u8]) -> bool {
    let stored = Sha256::digest(stored);
    let offered = Sha256::digest(offered);
    stored.as_slice().ct_eq(offered.as_slice()).into()
}
