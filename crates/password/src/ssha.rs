//! `{SSHA}`, the one salted scheme that every OpenLDAP verifies without a module.

use base64::Engine;
use model::Secret;
use sha1::{Digest, Sha1};

/// Hashes a password as `{SSHA}` with 16 random bytes of salt (RFC 2307 section 5.3, salted as slappasswd does).
///
/// SHA-1 is fast, so this is only for long random passwords, such as those of service identities; a person's
/// password is hashed with [`crate::hash_argon2id`].
pub fn hash_ssha(password: &Secret) -> Result<String, crate::HashError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| crate::HashError::Random)?;
    let mut bytes = Sha1::new()
        .chain_update(password.expose())
        .chain_update(salt)
        .finalize()
        .to_vec();
    bytes.extend_from_slice(&salt);
    Ok(format!(
        "{{SSHA}}{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, Verdict, verify_any};

    #[test]
    fn verifies_what_it_made() {
        let hash = hash_ssha(&Secret::from("geheim")).expect("random bytes");
        let check = |password: &str| verify_any(&[&hash], Encoding::Plain, &Secret::from(password));
        assert!(matches!(check("geheim"), Verdict::Match(_)));
        assert!(matches!(check("Geheim"), Verdict::Mismatch(_)));
    }
}
