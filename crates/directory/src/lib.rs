//! Directories: connectors to LDAP servers, lookups, user maps, authentication, the change feed, and the text
//! of a new server's set-up.
//!
//! Owns the pool and failover of each [`Connector`], the reading of entries through an attribute mapping, the
//! answers to "which back end is this account's home" ([`UserMaps`]) and "is this domain ours" ([`Domains`]),
//! [`LdapAuthenticator`], [`feed`], and the writing half ([`mod@write`]).
//!
//! Never writes mail or accounts, and never takes an unreachable server for "no such user": "no" and "try
//! later" are different variants everywhere. Two entries for one name are an error, never a choice.
//!
//! Follows RFC 4511 to 4519, RFC 4530 (entryUUID), RFC 4533 (Content Sync), RFC 5233 (detail of an address).

mod account;
mod auth;
pub mod check;
pub mod config;
mod connector;
mod domains;
pub mod export;
pub mod feed;
mod home;
mod map;
mod patterns;
mod placeholder;
pub mod setup;
mod watched;
pub mod write;

pub use account::{AccountState, DirectoryAccount, EntryProblem, Host, Lookup, StateEnd, Untold};
pub use auth::{
    AccountEvent, AccountEventKind, AccountEventStream, AccountEvents, CertificateAuthenticator,
    ChainAuthenticator, ChangedBy, Heard, LdapAuthenticator, LdapMethod, PasswordChangeError, PasswordOrigin,
    PasswordSeen, ScramSalts, Throttle, TokenAuthenticator, Trial,
};
pub use config::{ConnectorConfig, DomainSourceConfig, DomainsConfig, HomeConfig, LoginMode, UserMapConfig};
pub use connector::{Attempt, Connector, OpenError, Operator, ResolvedMembers, Rights};
pub use domains::{DomainAnswer, Domains};
pub use home::{HomeRef, HomeRefError, HomeTarget, Homes, Master};
pub use map::{
    ExplainStep, Explanation, Freshness, LineError, LiveDriver, Route, RoutedHome, Source, Table, Target,
    UserMap, UserMaps,
};
pub use patterns::EntryKind;
