//! SCRAM keys as directories keep them, and what a challenge and its response can be checked with.
//!
//! `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey` is Dovecot's way to write them,
//! `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` that of RFC 5803 section 3.1, with or without braces.

use crate::prepare::prepared;
use crate::scheme::{Encoding, SchemeError, StoredPassword, ascii, decode_base64};
use model::{ScramHash, ScramKeys, Secret};

/// What follows `{SCRAM-SHA-1}` or `{SCRAM-SHA-256}`.
pub(crate) fn parse(hash: ScramHash, rest: &[u8]) -> Result<ScramKeys, SchemeError> {
    let malformed = || SchemeError::Malformed("{SCRAM}");
    let text = ascii(rest, "{SCRAM}")?;
    let text = text.strip_prefix('$').unwrap_or(text);
    let mut parts = text.split([',', '$', ':']);
    let mut next = || parts.next().ok_or_else(malformed);
    let (iterations, salt, stored_key, server_key) = (next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(malformed());
    }
    let iterations: u32 = iterations.parse().map_err(|_| malformed())?;
    let decode = |text: &str| decode_base64(text.as_bytes()).ok_or_else(malformed);
    let (salt, stored_key, server_key) = (decode(salt)?, decode(stored_key)?, decode(server_key)?);
    ScramKeys::new(
        hash,
        salt,
        iterations,
        Secret::new(stored_key),
        Secret::new(server_key),
    )
    .ok_or_else(malformed)
}

/// The hash and the rest of a value in the form of RFC 5803, which has no braces.
pub(crate) fn split_authpassword(value: &[u8]) -> Option<(ScramHash, &[u8])> {
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        let name = hash.to_string();
        let (head, rest) = value.split_at_checked(name.len())?;
        if head.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b'$') {
            return Some((hash, rest));
        }
    }
    None
}

/// What an entry's values can do without the password being shown.
#[derive(Debug, Clone, Default)]
pub struct ChallengeSecrets {
    /// Keys that are kept ready.
    pub keys: Vec<ScramKeys>,
    /// Passwords in clear text.
    pub clear: Vec<Secret>,
}

impl ChallengeSecrets {
    /// Reads all values of the attribute; those of other schemes say nothing here.
    #[must_use]
    pub fn read<V: AsRef<[u8]>>(values: &[V], encoding: Encoding) -> Self {
        let mut found = Self::default();
        for value in values {
            if let Ok(stored) = StoredPassword::parse(value.as_ref(), encoding) {
                found.keys.extend(stored.scram_keys().cloned());
                found.clear.extend(stored.clear_text().cloned());
            }
        }
        found
    }

    /// Keys for one mechanism: those that are kept, else made from the first password in clear text. Making them
    /// takes milliseconds.
    #[must_use]
    pub fn scram(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        if let Some(kept) = self.kept(hash) {
            return Some(kept.clone());
        }
        // RFC 5802 section 2.2: Normalize(password).
        let clear = self.clear.first()?;
        let form = prepared(clear);
        ScramKeys::derive(hash, form.as_ref().unwrap_or(clear), salt, iterations)
    }

    /// The keys that are kept for one mechanism.
    #[must_use]
    pub fn kept(&self, hash: ScramHash) -> Option<&ScramKeys> {
        self.keys.iter().find(|keys| keys.hash() == hash)
    }
}

/// A new password as keys, in Dovecot's form; `salt` is fresh randomness.
#[cfg(test)]
fn write(keys: &ScramKeys) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (stored, server) = keys.keys();
    format!(
        "{{{}}}{},{},{},{}",
        keys.hash(),
        keys.iterations(),
        STANDARD.encode(keys.salt()),
        STANDARD.encode(stored.expose()),
        STANDARD.encode(server.expose())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scheme, Verdict, verify_any};

    // The password and salt of RFC 7677 section 3, in the form of `doveadm pw -s SCRAM-SHA-256`.
    const DOVECOT_256: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    // The same in the form of RFC 5803 section 3.1.
    const RFC5803: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn both_forms_verify_the_password() {
        let braces = RFC5803.replacen("SCRAM-SHA-256", "{SCRAM-SHA-256}", 1);
        for value in [DOVECOT_256, RFC5803, braces.as_str()] {
            assert_eq!(
                verify_any(&[value], Encoding::Plain, &Secret::from("pencil")),
                Verdict::Match(Scheme::Scram),
                "{value}"
            );
            assert_eq!(
                verify_any(&[value], Encoding::Plain, &Secret::from("pencils")),
                Verdict::Mismatch(Vec::new())
            );
            let secrets = ChallengeSecrets::read(&[value], Encoding::Plain);
            let keys = secrets.scram(ScramHash::Sha256, b"other salt", 1).expect("keys");
            assert_eq!(keys.iterations(), 4096, "the kept ones");
            assert!(secrets.scram(ScramHash::Sha1, b"salt", 1).is_none());
            assert_eq!(write(&keys), DOVECOT_256);
        }
    }

    #[test]
    fn clear_text_makes_keys_of_both_kinds() {
        let secrets = ChallengeSecrets::read(&["{SSHA}x", "I\u{ad}X"], Encoding::Plain);
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let keys = secrets.scram(hash, b"salt", 2).expect("keys");
            assert!(keys.accept_password(&Secret::from("IX")), "RFC 4013 section 3");
        }
        assert_eq!(secrets.clear.len(), 1);
    }

    #[test]
    fn damaged_values_are_named() {
        for value in [
            "{SCRAM-SHA-256}",
            "{SCRAM-SHA-256}4096,AAAA",
            "{SCRAM-SHA-256}0,W22ZaJ0SNY7soEsUEjb6gQ==,AAAA,AAAA",
            "{SCRAM-SHA-1}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
            "SCRAM-SHA-256$x",
        ] {
            assert_eq!(
                StoredPassword::parse(value.as_bytes(), Encoding::Plain).map(|_| ()),
                Err(SchemeError::Malformed("{SCRAM}")),
                "{value}"
            );
        }
    }
}
