//! The shape of authentication: what a client offers, and what a source answers.

use crate::proof::{ClientCertificate, CramProof, ScramHash, ScramKeys, ScramProof};
use crate::{Address, EntryUuid, Peer, Protocol, Secret};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A boxed future, for the few traits that are used behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a client offers as proof.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A clear-text password (PLAIN, LOGIN, IMAP LOGIN, POP3 PASS).
    Password(Secret),
    /// An OAuth 2.0 bearer token (OAUTHBEARER, XOAUTH2).
    Bearer(Secret),
    /// A client certificate that TLS has verified (EXTERNAL).
    Certificate(Arc<ClientCertificate>),
    /// A signed statement by a front end that it has authenticated this account.
    Assertion(Secret),
    /// The end of a SCRAM exchange. The source derives or reads the keys again, so that the account's state, the
    /// throttle and the caches apply as they do for a password.
    Scram(Arc<ScramProof>),
    /// The answer to a CRAM-MD5 challenge.
    CramMd5(Arc<CramProof>),
    /// Nothing left to prove: this process has verified a token or a certificate that names the login, and asks
    /// whether that account exists and may log in. Never built from what a client says alone.
    Vouched,
}

/// The kinds of proof that a source of authentication can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MechanismSet(u8);

impl MechanismSet {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// A clear-text password: PLAIN, LOGIN and the protocols' own commands.
    pub const PASSWORD: Self = Self(1);
    /// SCRAM-SHA-1.
    pub const SCRAM_SHA_1: Self = Self(1 << 1);
    /// SCRAM-SHA-256.
    pub const SCRAM_SHA_256: Self = Self(1 << 2);
    /// CRAM-MD5.
    pub const CRAM_MD5: Self = Self(1 << 3);
    /// OAUTHBEARER and XOAUTH2.
    pub const BEARER: Self = Self(1 << 4);
    /// EXTERNAL with a client certificate.
    pub const CERTIFICATE: Self = Self(1 << 5);
    /// An account that was proven elsewhere: [`Credential::Vouched`].
    pub const VOUCHED: Self = Self(1 << 6);
    /// The signed statement of a front end: [`Credential::Assertion`]. Offered to trusted front ends only.
    pub const ASSERTION: Self = Self(1 << 7);

    /// What either can.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both can.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set of one SCRAM mechanism.
    #[must_use]
    pub const fn of_scram(hash: ScramHash) -> Self {
        match hash {
            ScramHash::Sha1 => Self::SCRAM_SHA_1,
            ScramHash::Sha256 => Self::SCRAM_SHA_256,
        }
    }
}

/// Asks for the keys of a login before there is a proof.
#[derive(Debug, Clone)]
pub struct ScramRequest {
    /// What the client typed as its login. Never empty.
    pub login: String,
    /// The mechanism's hash.
    pub hash: ScramHash,
    /// The salt for keys that have to be made from clear text; without one they are not made.
    pub salt: Option<Vec<u8>>,
    /// The protocol, for policies and logs.
    pub protocol: Protocol,
    /// The client, for throttling and logs.
    pub peer: Peer,
}

/// What a source knows before there is a proof.
#[derive(Debug, Clone)]
pub enum ScramOutcome {
    /// The keys; those of an account that does not exist look no different (RFC 5802 section 9).
    Keys(ScramKeys),
    /// This source has no such account; the next source of a chain is asked.
    NoEntry,
    /// This source knows the account and has no keys of this kind.
    NotOffered,
    /// The source cannot answer now.
    Unavailable(Unavailable),
}

/// One attempt to authenticate.
#[derive(Debug, Clone)]
pub struct AuthRequest {
    /// What the client typed as its login: an address or a bare name. Empty only with a token or a certificate
    /// that names the account itself.
    pub login: String,
    /// SASL authorization identity, when it differs from the login.
    pub authzid: Option<String>,
    /// The proof.
    pub credential: Credential,
    /// The protocol, for policies and logs.
    pub protocol: Protocol,
    /// The client, for throttling and logs.
    pub peer: Peer,
}

/// Who was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The account's address, as the source of truth spells it.
    pub address: Address,
    /// The directory entry, when a directory answered.
    pub entry: Option<EntryUuid>,
}

/// Why a login was refused. The client hears one fixed text for all of these but [`RejectReason::Expired`];
/// the log gets the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The password is wrong.
    WrongCredential,
    /// An empty password is refused before any bind (RFC 4513 section 5.1.2).
    EmptyPassword,
    /// The entry has no password attribute, or an empty one.
    NoPassword,
    /// The account is disabled.
    Disabled,
    /// The account is locked after failed logins.
    Locked,
    /// The password or the account has expired, or the password must be changed (`[EXPIRED]`).
    Expired,
    /// This service or mechanism is not allowed for the account.
    NotAllowed,
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongCredential => "wrong credential",
            Self::EmptyPassword => "empty password",
            Self::NoPassword => "the entry has no password",
            Self::Disabled => "disabled",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::NotAllowed => "not allowed",
        })
    }
}

/// Why nobody can say now whether the login is right: for the log, never for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a source of authentication answers. "No" and "try later" are different answers everywhere: RFC 9051
/// section 7.1 `[AUTHENTICATIONFAILED]` and `[UNAVAILABLE]`, RFC 3206 `[AUTH]` and `[SYS/TEMP]`, RFC 4954
/// `535 5.7.8` and `454 4.7.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthOutcome {
    /// The proof is good.
    Accepted(Authenticated),
    /// The account exists and the proof is not good, or the account may not log in.
    Rejected(RejectReason),
    /// This source has no such account; the next source of a chain is asked.
    NoEntry,
    /// Too many passwords of this account were wrong: none is checked for this client now. Never shown as a wrong
    /// password, nor counted as a fault of the source.
    Throttled(Unavailable),
    /// The source cannot answer now. Never shown as a wrong password.
    Unavailable(Unavailable),
}

/// Why a session that was good may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The account has another password than when the session began.
    PasswordChanged,
    /// The account is disabled, or its time is over.
    Disabled,
    /// The account is gone.
    Deleted,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PasswordChanged => "the password was changed",
            Self::Disabled => "the account is disabled",
            Self::Deleted => "the account is gone",
        })
    }
}

/// Whether a session that was authenticated earlier is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recheck {
    /// Nothing speaks against it.
    Fine,
    /// It has to end.
    Ended(EndReason),
    /// This source does not know the account; the next source of a chain is asked, and when none knows it the
    /// session goes on.
    NotMine,
    /// The source cannot say now; the session goes on.
    Unavailable(Unavailable),
}

/// A source of authentication: the store, a directory, or a chain of them.
pub trait Authenticator: Send + Sync + 'static {
    /// Checks the proof. Never panics and never takes longer than the source's own deadline.
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome>;

    /// Looks again at an account that this source accepted at `since` (monotonic clock). Cheap enough to be
    /// asked for each live session once a minute.
    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        let _ = (who, since);
        Box::pin(std::future::ready(Recheck::NotMine))
    }

    /// The keys with which a SCRAM exchange goes on. They decide nothing: [`Self::check`] does, with the proof.
    fn scram_keys<'a>(&'a self, _request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        Box::pin(std::future::ready(ScramOutcome::NotOffered))
    }

    /// Where clients learn how to get a token (RFC 7628 section 3.2.2), when there is such a place.
    fn openid_configuration(&self) -> Option<String> {
        None
    }

    /// What this source can check for each of its accounts: what a server may announce.
    fn mechanisms(&self) -> MechanismSet {
        MechanismSet::PASSWORD
    }
}
