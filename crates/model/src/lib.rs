//! The domain's nouns: the types that more than one crate of Homing speaks.
//!
//! Owns addresses, domains, account and mailbox identifiers, UIDs, MODSEQs, flags, secrets, message
//! structure, the [`Clock`], and the shape of authentication ([`Authenticator`], [`Credential`],
//! [`AuthOutcome`]).
//!
//! Never does I/O and never depends on an async runtime. A value of these types can only be built by a
//! constructor that parses it, so that a function that receives one need not check it again. A type enters
//! this crate only when two other crates use it.
//!
//! Follows RFC 5321 section 4.1.2 and RFC 6531 (addresses), RFC 5890 (domains), RFC 9051 (mailboxes, UIDs,
//! flags), RFC 7162 (MODSEQ), RFC 4530 (entryUUID), RFC 5802 section 3
//! and RFC 7677 (SCRAM keys and proofs), RFC 2195 section 2 (CRAM-MD5).

mod address;
mod auth;
mod clock;
mod config;
mod domain_aliases;
mod flags;
mod ids;
mod mailbox;
mod message;
mod on_demand;
mod peer;
mod proof;
mod secret;

pub use address::{Address, AddressError, Domain, LocalPart, ReversePath};
pub use auth::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential, EndReason, MechanismSet,
    Recheck, RejectReason, ScramOutcome, ScramRequest, Unavailable,
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use config::{ByteSize, ConfigProblem};
pub use domain_aliases::DomainAliases;
pub use flags::{Flag, FlagError, Flags, Keyword, SystemFlag};
pub use ids::{AccountId, EntryUuid, GroupId, IdError, ModSeq, Uid, UidValidity};
pub use mailbox::{MailboxError, MailboxName, SpecialUse};
pub use message::{BodyFields, BodyStructure, Disposition, Envelope, EnvelopeAddress};
pub use on_demand::{OnDemand, OnDemandOutcome};
pub use peer::{Peer, Protocol, TlsState, TraceId};
pub use proof::{ClientCertificate, CramProof, ScramHash, ScramKeys, ScramProof, scram_client};
pub use secret::Secret;
