//! Proofs that do not show the password: the formulas of SCRAM (RFC 5802 section 3) and CRAM-MD5 (RFC 2195
//! section 2), and the subject of a client certificate.
//!
//! The client computes a proof, a directory or the store checks it, and neither knows the other's crate.

use crate::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// RFC 7677 section 4 asks for this many at least.
const ITERATIONS: u32 = 4096;
/// More would let one stored value, or one server, stop a processor for minutes.
const MAX_ITERATIONS: u32 = 1_000_000;
/// Longer salts than this are refused.
const MAX_SALT: usize = 256;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-1 (RFC 5802).
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
}

impl ScramHash {
    /// How many octets it gives.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Never: a digest has octets.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// `H(text)`.
    fn digest(self, text: &[u8]) -> Secret {
        match self {
            Self::Sha1 => Secret::new(Sha1::digest(text).to_vec()),
            Self::Sha256 => Secret::new(Sha256::digest(text).to_vec()),
        }
    }

    /// `HMAC(key, text)`.
    fn hmac(self, key: &[u8], text: &[u8]) -> Secret {
        match self {
            Self::Sha1 => Secret::new(hmac_sha1(key, text)),
            Self::Sha256 => Secret::new(hmac_sha256(key, text)),
        }
    }

    /// `Hi(password, salt, i)`, which is PBKDF2.
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Secret {
        let mut out = vec![0; self.len()];
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
        }
        Secret::new(out)
    }
}

impl fmt::Display for ScramHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        })
    }
}

// An HMAC key has any length, so that building one cannot fail (RFC 2104 section 2); should the library ever
// say otherwise, the empty result matches nothing.
fn hmac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    Hmac::<Sha1>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hmac_md5(key: &[u8], text: &[u8]) -> Vec<u8> {
    Hmac::<Md5>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn same(left: &[u8], right: &[u8]) -> bool {
    !left.is_empty() && bool::from(left.ct_eq(right))
}

/// What a server keeps of a password for SCRAM (RFC 5802 section 3). It is no password, and yet whoever has it
/// can play the server, so it is kept as a secret.
#[derive(Debug, Clone)]
pub struct ScramKeys {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Secret,
    server_key: Secret,
}

impl ScramKeys {
    /// The iterations with which keys are made from clear text.
    pub const ITERATIONS: u32 = ITERATIONS;

    /// From a stored value; none when it cannot be one.
    #[must_use]
    pub fn new(
        hash: ScramHash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Secret,
        server_key: Secret,
    ) -> Option<Self> {
        let sizes = stored_key.expose().len() == hash.len() && server_key.expose().len() == hash.len();
        let good = sizes && may_be_salt(&salt) && may_be_iterations(iterations);
        good.then_some(Self {
            hash,
            salt,
            iterations,
            stored_key,
            server_key,
        })
    }

    /// From a password in clear text, which SASLprep has prepared; none when the salt or the iterations are out
    /// of all reason. It costs milliseconds.
    #[must_use]
    pub fn derive(hash: ScramHash, password: &Secret, salt: &[u8], iterations: u32) -> Option<Self> {
        if !may_be_salt(salt) || !may_be_iterations(iterations) {
            return None;
        }
        let salted = hash.salted(password.expose(), salt, iterations);
        let client_key = hash.hmac(salted.expose(), b"Client Key");
        Some(Self {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.digest(client_key.expose()),
            server_key: hash.hmac(salted.expose(), b"Server Key"),
        })
    }

    /// The mechanism's hash.
    #[must_use]
    pub const fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The salt, for the client.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iterations, for the client.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// `ServerSignature`: with it the server shows that it has the keys.
    #[must_use]
    pub fn server_signature(&self, auth_message: &[u8]) -> Secret {
        self.hash.hmac(self.server_key.expose(), auth_message)
    }

    /// Whether the proof was made with the password of these keys. Takes the same time for each wrong proof.
    #[must_use]
    pub fn accept(&self, proof: &ScramProof) -> bool {
        if proof.hash != self.hash || proof.proof.expose().len() != self.hash.len() {
            return false;
        }
        // RFC 5802 section 3: ClientKey := ClientProof XOR ClientSignature, and StoredKey is its hash.
        let signature = self.hash.hmac(self.stored_key.expose(), &proof.auth_message);
        let client_key = xor(proof.proof.expose(), signature.expose());
        same(
            self.hash.digest(client_key.expose()).expose(),
            self.stored_key.expose(),
        )
    }

    /// Whether these are the keys of this password, prepared by SASLprep. Costs as much as [`Self::derive`].
    #[must_use]
    pub fn accept_password(&self, password: &Secret) -> bool {
        Self::derive(self.hash, password, &self.salt, self.iterations)
            .is_some_and(|keys| same(keys.stored_key.expose(), self.stored_key.expose()))
    }

    /// `StoredKey` and `ServerKey`, for whoever writes them down.
    #[must_use]
    pub const fn keys(&self) -> (&Secret, &Secret) {
        (&self.stored_key, &self.server_key)
    }
}

const fn may_be_iterations(iterations: u32) -> bool {
    0 < iterations && iterations <= MAX_ITERATIONS
}

const fn may_be_salt(salt: &[u8]) -> bool {
    !salt.is_empty() && salt.len() <= MAX_SALT
}

fn xor(left: &[u8], right: &[u8]) -> Secret {
    let mixed: Vec<u8> = left.iter().zip(right).map(|(left, right)| left ^ right).collect();
    Secret::new(mixed)
}

/// What a SCRAM client sends as proof, with what it was made over.
#[derive(Debug, Clone)]
pub struct ScramProof {
    /// The mechanism's hash.
    pub hash: ScramHash,
    /// The salt that the server gave.
    pub salt: Vec<u8>,
    /// The iterations that the server gave.
    pub iterations: u32,
    /// `AuthMessage` (RFC 5802 section 3).
    pub auth_message: Vec<u8>,
    /// `ClientProof`.
    pub proof: Secret,
}

/// The client's side of SCRAM: the proof, and the signature that a true server answers with. None when the
/// server asks for a salt or iterations out of all reason.
#[must_use]
pub fn scram_client(
    hash: ScramHash,
    password: &Secret,
    salt: &[u8],
    iterations: u32,
    auth_message: &[u8],
) -> Option<(Secret, Secret)> {
    if !may_be_salt(salt) || !may_be_iterations(iterations) {
        return None;
    }
    let salted = hash.salted(password.expose(), salt, iterations);
    let client_key = hash.hmac(salted.expose(), b"Client Key");
    let stored_key = hash.digest(client_key.expose());
    let signature = hash.hmac(stored_key.expose(), auth_message);
    let server_key = hash.hmac(salted.expose(), b"Server Key");
    Some((
        xor(client_key.expose(), signature.expose()),
        hash.hmac(server_key.expose(), auth_message),
    ))
}

/// What a CRAM-MD5 client sends as proof.
#[derive(Debug, Clone)]
pub struct CramProof {
    /// The challenge, as it was before base64.
    pub challenge: Vec<u8>,
    /// 32 hexadecimal digits.
    pub digest: Secret,
}

impl CramProof {
    /// What the client has to answer: HMAC-MD5 in lower-case hexadecimal (RFC 2195 section 2).
    #[must_use]
    pub fn digest_of(password: &Secret, challenge: &[u8]) -> Secret {
        let mut text = String::with_capacity(32);
        for octet in hmac_md5(password.expose(), challenge) {
            for nibble in [octet >> 4, octet & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Secret::from(text)
    }

    /// Whether it was made with this password.
    #[must_use]
    pub fn accept(&self, password: &Secret) -> bool {
        !password.is_empty()
            && same(
                Self::digest_of(password, &self.challenge).expose(),
                self.digest.expose(),
            )
    }
}

/// A client certificate that the TLS layer has verified: whom it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The mail addresses of the subject alternative name (RFC 5280 section 4.2.1.6, `rfc822Name`).
    pub emails: Vec<String>,
    /// The common name of the subject, when there is exactly one.
    pub common_name: Option<String>,
    /// The subject in the form of RFC 4514, for the log.
    pub subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677 section 3 and RFC 5802 section 5: the examples, user "user", password "pencil".
    #[test]
    fn the_examples_of_the_rfcs() {
        let password = Secret::from("pencil");
        let hex = |secret: &Secret| {
            secret
                .expose()
                .iter()
                .map(|o| format!("{o:02x}"))
                .collect::<String>()
        };
        let sha1_salt = [
            0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76,
        ];
        let message = b"n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
        let (proof, signature) =
            scram_client(ScramHash::Sha1, &password, &sha1_salt, 4096, message).expect("sane");
        // v0X8v3Bz2T0CJGbJQyF0X+HI4Ts= and rmF9pqV8S7suAoZWja4dJRkFsKQ=
        assert_eq!(hex(&proof), "bf45fcbf7073d93d022466c94321745fe1c8e13b");
        assert_eq!(hex(&signature), "ae617da6a57c4bbb2e0286568dae1d251905b0a4");
        let keys = ScramKeys::derive(ScramHash::Sha1, &password, &sha1_salt, 4096).expect("sane");
        let mut sent = ScramProof {
            hash: ScramHash::Sha1,
            salt: sha1_salt.to_vec(),
            iterations: 4096,
            auth_message: message.to_vec(),
            proof,
        };
        assert!(keys.accept(&sent));
        assert_eq!(keys.server_signature(message).expose(), signature.expose());
        assert!(keys.accept_password(&password) && !keys.accept_password(&Secret::from("pencil ")));
        sent.auth_message.push(b'x');
        assert!(!keys.accept(&sent));
        sent.hash = ScramHash::Sha256;
        assert!(!keys.accept(&sent));
    }

    // RFC 2195 section 2: user "tim", password "tanstaaftanstaaf".
    #[test]
    fn cram_md5_of_the_rfc() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let password = Secret::from("tanstaaftanstaaf");
        let digest = CramProof::digest_of(&password, challenge);
        assert_eq!(digest.expose(), b"b913a602c7eda7a495b4e6e7334d3890");
        let proof = CramProof {
            challenge: challenge.to_vec(),
            digest,
        };
        assert!(proof.accept(&password));
        assert!(!proof.accept(&Secret::from("tanstaaf")) && !proof.accept(&Secret::default()));
    }

    #[test]
    fn what_is_out_of_all_reason_is_refused() {
        let password = Secret::from("x");
        for (salt, iterations) in [(&b""[..], 1), (b"salt", 0), (b"salt", u32::MAX), (&[7; 300], 1)] {
            assert!(ScramKeys::derive(ScramHash::Sha256, &password, salt, iterations).is_none());
            assert!(scram_client(ScramHash::Sha256, &password, salt, iterations, b"").is_none());
        }
        let short = Secret::from("short");
        assert!(ScramKeys::new(ScramHash::Sha1, b"salt".to_vec(), 1, short.clone(), short).is_none());
    }
}
