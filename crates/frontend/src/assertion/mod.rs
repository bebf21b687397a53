//! Assertions: how a front end vouches for a login, and how a home believes it.
//!
//! A token (RFC 7519) signed with ES256 says who logged in, at which home, from where, for 60 seconds and for one
//! use. Each front end has keys of its own ([`KeyRing`]), so that one that was stolen can be struck off. [`Minter`]
//! writes tokens, [`Verifier`] reads them; a Dovecot with local validation reads them too.
//!
//! Never asks a server, and never decides whether the account exists or may log in.
//!
//! Follows RFC 7515 and RFC 7519 (JWT), RFC 7518 section 3.4 (ES256), RFC 7517 (JWK sets).

mod keys;
mod mint;
mod public;
mod verify;

#[cfg(test)]
mod tests;

pub use keys::{KeyError, KeyInfo, KeyRing, KeyState};
pub use mint::{MintError, Minter};
pub use public::{PublicKey, dovecot_tree, jwks};
pub use verify::{TrustedFrontEndConfig, Verdict, Verifier, VerifyError};

use serde::{Deserialize, Serialize};

/// RFC 7515 section 4.1.10: tells an assertion from a token that a client brought. Dovecot wants `typ` to be `JWT`.
const CONTENT: &str = "homing-login";
/// Seconds that clocks may differ.
const BACK: u64 = 30;
/// Seconds that a token lives.
const AHEAD: u64 = 60;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    /// The front end.
    iss: String,
    /// The account.
    sub: String,
    /// The home, as user maps name it.
    aud: String,
    /// The front end again: Dovecot finds the key by it.
    azp: String,
    nbf: u64,
    iat: u64,
    exp: u64,
    /// Used once.
    jti: String,
    /// The session's name in the logs of all hops.
    sid: String,
    /// Where the client is.
    client: String,
    /// The protocol that it is for, so that whoever is shown it in one cannot use it in another. A front end that is
    /// older does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}
