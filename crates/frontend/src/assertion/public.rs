//! Public keys, in the forms that homes read.

use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name.
    pub kid: String,
    /// As a PEM file (SubjectPublicKeyInfo).
    pub pem: String,
    /// The point on the curve: 32 octets each.
    x: Vec<u8>,
    y: Vec<u8>,
}

impl PublicKey {
    pub(super) fn of(kid: String, pair: &KeyPair) -> Self {
        // SEC 1 section 2.3.3: 4, x, y.
        let raw = pair.der_bytes();
        let half = |range: std::ops::Range<usize>| raw.get(range).unwrap_or_default().to_vec();
        Self {
            kid,
            pem: pair.public_key_pem(),
            x: half(1..33),
            y: half(33..65),
        }
    }
}

/// A JWK set (RFC 7517 section 5, RFC 7518 section 6.2.1).
#[must_use]
pub fn jwks(keys: &[PublicKey]) -> Value {
    let one = |key: &PublicKey| {
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.kid,
            "x": base64url(&key.x), "y": base64url(&key.y),
        })
    };
    json!({ "keys": keys.iter().map(one).collect::<Vec<_>>() })
}

/// Files for Dovecot's `local_validation_key_dict = fs:posix:prefix=FOLDER/`: `AZP/ALG/KID`, each a PEM file.
#[must_use]
pub fn dovecot_tree(front_end: &str, keys: &[PublicKey]) -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(front_end).join("ES256");
    keys.iter()
        .map(|key| (folder.join(&key.kid), key.pem.clone()))
        .collect()
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let text = wire::sasl::encode_base64(bytes);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}
