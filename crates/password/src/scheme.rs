//! Reading one value of the userPassword attribute: which scheme it is, and what belongs to it.

use crate::argon::ArgonHash;
use crate::crypt::CryptHash;
use crate::digest::{Algorithm, DigestHash};
use crate::pbkdf::PbkdfHash;
use crate::scram;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use model::{ScramHash, ScramKeys, Secret};
use std::fmt;

/// Values longer than this are refused: the longest real one is far below 1 KiB.
const MAX_VALUE: usize = 4096;

/// Padding and trailing bits are written differently by different tools; the digest decides anyway.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// How the attribute's value is written in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// The value is the password or its hash.
    #[default]
    Plain,
    /// The value is the base64 text of the password or of its hash. A value that starts with `{` is a scheme
    /// all the same, because base64 text never contains that character.
    Base64,
}

/// The scheme of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// The password itself.
    ClearText,
    /// `{MD5}`
    Md5,
    /// `{SMD5}`
    SaltedMd5,
    /// `{SHA}`
    Sha1,
    /// `{SSHA}`
    SaltedSha1,
    /// `{SHA256}`, `{SHA384}`, `{SHA512}`
    Sha2,
    /// `{SSHA256}`, `{SSHA384}`, `{SSHA512}`
    SaltedSha2,
    /// `{CRYPT}` with `!` or `*`: no password matches.
    Locked,
    /// `{CRYPT}` without a prefix, or with `_`
    DesCrypt,
    /// `{CRYPT}` with `$1$`
    Md5Crypt,
    /// `{CRYPT}` with `$5$` or `$6$`
    ShaCrypt,
    /// `{CRYPT}` with `$2a$`, `$2b$` or `$2y$`
    Bcrypt,
    /// `{CRYPT}` with `$y$`
    Yescrypt,
    /// `{PBKDF2}`, `{PBKDF2-SHA1}`, `{PBKDF2-SHA256}`, `{PBKDF2-SHA512}`
    Pbkdf2,
    /// `{ARGON2}`
    Argon2,
    /// `{SCRAM-SHA-1}`, `{SCRAM-SHA-256}`, and RFC 5803's form of them
    Scram,
}

impl Scheme {
    /// True for schemes that a stolen copy of the directory gives away within hours. They verify, and are
    /// reported.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        !matches!(
            self,
            Self::Locked
                | Self::ShaCrypt
                | Self::Bcrypt
                | Self::Yescrypt
                | Self::Pbkdf2
                | Self::Argon2
                | Self::Scram
        )
    }

    /// True when one check costs milliseconds of a processor, so that it belongs on the [`crate::VerifyPool`].
    #[must_use]
    pub const fn is_costly(self) -> bool {
        matches!(
            self,
            Self::DesCrypt
                | Self::Md5Crypt
                | Self::ShaCrypt
                | Self::Bcrypt
                | Self::Yescrypt
                | Self::Pbkdf2
                | Self::Argon2
                | Self::Scram
        )
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClearText => "clear text",
            Self::Md5 => "{MD5}",
            Self::SaltedMd5 => "{SMD5}",
            Self::Sha1 => "{SHA}",
            Self::SaltedSha1 => "{SSHA}",
            Self::Sha2 => "{SHA2}",
            Self::SaltedSha2 => "{SSHA2}",
            Self::Locked => "{CRYPT} locked",
            Self::DesCrypt => "{CRYPT} DES",
            Self::Md5Crypt => "{CRYPT} $1$",
            Self::ShaCrypt => "{CRYPT} $5$/$6$",
            Self::Bcrypt => "{CRYPT} $2$",
            Self::Yescrypt => "{CRYPT} $y$",
            Self::Pbkdf2 => "{PBKDF2}",
            Self::Argon2 => "{ARGON2}",
            Self::Scram => "{SCRAM}",
        })
    }
}

/// Why a value cannot be used to check a password. None of these shows any of the value's secret part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// The attribute is there, without a value.
    #[error("the value is empty")]
    Empty,
    /// Longer than any real value.
    #[error("the value is longer than {MAX_VALUE} octets")]
    TooLong,
    /// A scheme in braces that we do not know.
    #[error("the scheme {{{0}}} is not known")]
    UnknownScheme(String),
    /// A `{CRYPT}` method that we do not know.
    #[error("the {{CRYPT}} method {0:?} is not known")]
    UnknownMethod(String),
    /// `{SASL}`: the directory itself asks another service; only a bind can check it.
    #[error("{{SASL}} can only be checked by binding: use ldap-bind")]
    BindInstead,
    /// The part after the scheme is not what the scheme says.
    #[error("the {0} value is damaged")]
    Malformed(&'static str),
    /// The parameters ask for more memory or time than one login may take.
    #[error("the {0} value asks for more work than is allowed")]
    TooCostly(&'static str),
}

/// One value, understood.
#[derive(Debug, Clone)]
pub struct StoredPassword(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Clear(Secret),
    Digest(DigestHash),
    Crypt(CryptHash),
    Pbkdf(PbkdfHash),
    Argon(ArgonHash),
    Scram(ScramKeys),
}

impl StoredPassword {
    /// Reads one value of the attribute.
    pub fn parse(value: &[u8], encoding: Encoding) -> Result<Self, SchemeError> {
        if value.is_empty() {
            return Err(SchemeError::Empty);
        }
        if value.len() > MAX_VALUE {
            return Err(SchemeError::TooLong);
        }
        if let Some((scheme, rest)) = split_scheme(value) {
            return Self::parse_scheme(scheme, rest);
        }
        if let Some((hash, rest)) = scram::split_authpassword(value) {
            return Ok(Self(Inner::Scram(scram::parse(hash, rest)?)));
        }
        match encoding {
            Encoding::Plain => Ok(Self(Inner::Clear(Secret::new(value.to_vec())))),
            Encoding::Base64 => {
                let decoded = decode_base64(value).ok_or(SchemeError::Malformed("base64"))?;
                Self::parse(&decoded, Encoding::Plain)
            }
        }
    }

    fn parse_scheme(scheme: &str, rest: &[u8]) -> Result<Self, SchemeError> {
        let digest = |algorithm| DigestHash::plain(algorithm, rest).map(Inner::Digest);
        let salted = |algorithm| DigestHash::salted(algorithm, rest).map(Inner::Digest);
        // RFC 2307 section 5.3: scheme names are not case-sensitive.
        let inner = match scheme.to_ascii_uppercase().as_str() {
            "CLEARTEXT" | "CLEAR" | "PLAIN" if rest.is_empty() => return Err(SchemeError::Empty),
            "CLEARTEXT" | "CLEAR" | "PLAIN" => Inner::Clear(Secret::new(rest.to_vec())),
            "MD5" => digest(Algorithm::Md5)?,
            "SMD5" => salted(Algorithm::Md5)?,
            "SHA" => digest(Algorithm::Sha1)?,
            "SSHA" => salted(Algorithm::Sha1)?,
            "SHA256" => digest(Algorithm::Sha256)?,
            "SSHA256" => salted(Algorithm::Sha256)?,
            "SHA384" => digest(Algorithm::Sha384)?,
            "SSHA384" => salted(Algorithm::Sha384)?,
            "SHA512" => digest(Algorithm::Sha512)?,
            "SSHA512" => salted(Algorithm::Sha512)?,
            "CRYPT" => Inner::Crypt(CryptHash::parse(rest)?),
            "PBKDF2" | "PBKDF2-SHA1" => Inner::Pbkdf(PbkdfHash::parse(Algorithm::Sha1, rest)?),
            "PBKDF2-SHA256" => Inner::Pbkdf(PbkdfHash::parse(Algorithm::Sha256, rest)?),
            "PBKDF2-SHA512" => Inner::Pbkdf(PbkdfHash::parse(Algorithm::Sha512, rest)?),
            "ARGON2" => Inner::Argon(ArgonHash::parse(rest)?),
            "SCRAM-SHA-1" => Inner::Scram(scram::parse(ScramHash::Sha1, rest)?),
            "SCRAM-SHA-256" => Inner::Scram(scram::parse(ScramHash::Sha256, rest)?),
            "SASL" => return Err(SchemeError::BindInstead),
            other => return Err(SchemeError::UnknownScheme(other.to_owned())),
        };
        Ok(Self(inner))
    }

    /// The value's scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match &self.0 {
            Inner::Clear(_) => Scheme::ClearText,
            Inner::Digest(hash) => hash.scheme(),
            Inner::Crypt(hash) => hash.scheme(),
            Inner::Pbkdf(_) => Scheme::Pbkdf2,
            Inner::Argon(_) => Scheme::Argon2,
            Inner::Scram(_) => Scheme::Scram,
        }
    }

    /// The keys, when it keeps SCRAM's.
    pub(crate) const fn scram_keys(&self) -> Option<&ScramKeys> {
        match &self.0 {
            Inner::Scram(keys) => Some(keys),
            _ => None,
        }
    }

    /// The password, when it is kept as it is.
    pub(crate) const fn clear_text(&self) -> Option<&Secret> {
        match &self.0 {
            Inner::Clear(secret) => Some(secret),
            _ => None,
        }
    }

    /// True when `password` is the one that this value was made of. Costly schemes block for milliseconds:
    /// see [`Scheme::is_costly`].
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.0 {
            Inner::Clear(stored) => crate::digest::equal_text(stored.expose(), password),
            Inner::Digest(hash) => hash.verify(password),
            Inner::Crypt(hash) => hash.verify(password),
            Inner::Pbkdf(hash) => hash.verify(password),
            Inner::Argon(hash) => hash.verify(password),
            Inner::Scram(keys) => keys.accept_password(&Secret::new(password)),
        }
    }
}

/// `{scheme}rest`, when the value has that form.
fn split_scheme(value: &[u8]) -> Option<(&str, &[u8])> {
    let inside = value.strip_prefix(b"{")?;
    let end = inside.iter().position(|byte| *byte == b'}')?;
    let (scheme, rest) = (inside.get(..end)?, inside.get(end + 1..)?);
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
    if scheme.is_empty() || scheme.len() > 32 || !scheme.iter().all(known) {
        return None;
    }
    Some((std::str::from_utf8(scheme).ok()?, rest))
}

/// Standard base64, with or without padding.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The part after a scheme as text: every scheme but clear text is ASCII.
pub(crate) fn ascii<'a>(rest: &'a [u8], what: &'static str) -> Result<&'a str, SchemeError> {
    let printable = |byte: &u8| byte.is_ascii_graphic();
    if !rest.iter().all(printable) {
        return Err(SchemeError::Malformed(what));
    }
    std::str::from_utf8(rest).map_err(|_| SchemeError::Malformed(what))
}
