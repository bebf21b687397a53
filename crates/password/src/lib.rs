//! Passwords: the formats in which directories and our own store keep them, and the pool that checks the
//! costly ones.
//!
//! Owns the schemes of the userPassword attribute (RFC 2307 section 5.3 and what OpenLDAP and libxcrypt made
//! of it), the hash of our own accounts (ARGON2id), and [`VerifyPool`], which keeps costly checks off the
//! executor and bounds how many wait.
//!
//! Never talks to a directory or a store and never decides whether an account may log in. Every comparison
//! takes constant time. A value that cannot be understood is reported, never treated as a wrong password by
//! silence.
//!
//! Follows RFC 2307 section 5.3, RFC 4519 section 2.41 (userPassword), RFC 4013 (SASLprep), RFC 8018
//! (PBKDF2), RFC 9106 (Argon2), RFC 5803 (SCRAM keys).

mod argon;
mod crypt;
mod des_crypt;
mod digest;
mod md5_crypt;
mod pbkdf;
mod pool;
mod prepare;
mod scheme;
mod scram;
mod ssha;
#[cfg(test)]
mod tests;
mod verify;

pub use argon::{ArgonCost, HashError, hash_argon2id};
pub use crypt::hash_sha512_crypt;
pub use pool::{Busy, VerifyPool};
pub use scheme::{Encoding, Scheme, SchemeError, StoredPassword};
pub use scram::ChallengeSecrets;
pub use ssha::hash_ssha;
pub use verify::Verdict;
#[cfg(test)]
pub(crate) use verify::verify_any;
