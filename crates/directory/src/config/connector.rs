//! `[[connector]]`: one named set of LDAP servers and the policy for it.

use super::passwords::{PasswordChangeMode, PasswordScheme};
use super::sync::{
    Absent, ConflictResolution, ConflictScope, Direction, GuardConfig, OnDelete, OnHostChange,
};
use super::{AttributesConfig, ChallengeMechanism, WritesConfig};
use model::{Domain, DomainAliases, Secret};
use std::path::PathBuf;

/// One set of LDAP servers with its policy: who we are there, which entries count, how they are read.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// Its name in this file and in logs. Required, unique.
    pub name: String,
    /// One to five servers, `ldap://`, `ldaps://` or `ldapi://`, tried in order; an earlier one is used again
    /// when it has been healthy for 30 seconds. Required.
    pub uris: Vec<String>,
    /// `openldap` or `active-directory`; picks the defaults of patterns and attributes. Required.
    pub server_type: ServerType,
    /// DN of the service identity that searches; on Active Directory also `user@domain` or `DOMAIN\user`. Default:
    /// anonymous.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// Its password. Prefer `bind_password_file`.
    #[serde(default)]
    pub bind_password: Option<Secret>,
    /// A file that holds its password; a newline at the end is ignored.
    #[serde(default)]
    pub bind_password_file: Option<PathBuf>,
    /// An environment variable that holds its password.
    #[serde(default)]
    pub bind_password_env: Option<String>,
    /// Whether to bind with SASL EXTERNAL (a client certificate, or the peer's user id on `ldapi://`) in place
    /// of a DN and password; default false.
    #[serde(default)]
    pub sasl_external: bool,
    /// DN of the identity that writes (`homing directory add`, `modify`, `delete`). Default: the service
    /// identity; with an identity of its own, a front end need not hold one that can write.
    #[serde(default)]
    pub write_bind_dn: Option<String>,
    /// Its password. Prefer `write_bind_password_file`.
    #[serde(default)]
    pub write_bind_password: Option<Secret>,
    /// A file that holds its password; a newline at the end is ignored.
    #[serde(default)]
    pub write_bind_password_file: Option<PathBuf>,
    /// Mechanisms that every account's password value can answer: `SCRAM-SHA-256` and `SCRAM-SHA-1` (clear text, or
    /// keys as `{SCRAM-SHA-256}` or the attribute authPassword has them), `CRAM-MD5` (clear text). Only for
    /// `ldap-password`. Clients prefer them over PLAIN where they are announced, and one whose account has only
    /// a hash fails then. Default: none.
    #[serde(default)]
    pub challenge_response: Vec<ChallengeMechanism>,
    /// Whether a password that the directory keeps in a weak scheme (clear text, `{SSHA}`, DES and the like) is
    /// rewritten in a strong one when its owner logs in by `ldap-password`. Written with the identity that
    /// writes; the password stays the same, and a failure never fails the login; default false.
    #[serde(default)]
    pub password_upgrade: bool,
    /// The scheme that `password_upgrade` writes: `sha512-crypt` or `argon2` (only where the server has the
    /// module, or binds with such a password fail); default `sha512-crypt`.
    #[serde(default)]
    pub password_scheme: PasswordScheme,
    /// Whether synchronisation keeps a copy of the password hash that the directory shows as the account's hash here,
    /// for the day on which the account becomes this server's own (`homing sync unlink`, `release`): `local` checks no account that
    /// is linked. Clear text is never copied. Needs the right to read the password attribute, and a direction that
    /// writes here; default false.
    #[serde(default)]
    pub copy_passwords: bool,
    /// Who writes a changed password: `off`, `as-user` (the user, with the old password; an administrator cannot
    /// set one) or `write-identity`. Default: `off` with `direction = "ldap-to-local"`, `write-identity`
    /// otherwise. Passwords are written over TLS, a Unix socket or loopback only.
    #[serde(default)]
    pub password_change: Option<PasswordChangeMode>,
    /// Binds with a wrong password that all front ends together may cause for one account in one
    /// `lockout_window`: one less than locks the account in the directory (`pwdMaxFailure`,
    /// `lockoutThreshold`), so that nobody can lock it by guessing here. Past a guesser's share only a known
    /// client network passes, past that only the password that was good last; others hear "try later". 0 for no
    /// limit; at least 3 for each of `front_ends`; default 0.
    #[serde(default)]
    pub lockout_budget: u32,
    /// Seconds after which the directory forgets a failed bind (`pwdFailureCountInterval`,
    /// `lockoutObservationWindow`); 1 to 2592000, default 1800.
    #[serde(default = "default_lockout_window")]
    pub lockout_window: u64,
    /// How many front ends and back ends bind to this directory, each with its part of `lockout_budget`; 1 to
    /// 1000, default 1.
    #[serde(default = "default_front_ends")]
    pub front_ends: u32,
    /// How fast and how the directory is written.
    #[serde(default)]
    pub writes: WritesConfig,
    /// What a reference to another server means: `ignore`, or `writes` (a change goes on to a server that is
    /// also listed in `uris`, never to another one, for credentials go along); default `ignore`.
    #[serde(default)]
    pub referrals: Referrals,
    /// For `ldap://`: `starttls` or `none`. Default: `starttls`, and `none` on loopback.
    #[serde(default)]
    pub tls: Option<ConnectorTls>,
    /// PEM file with the authorities to trust. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with a client certificate to show. Needs `client_key`.
    #[serde(default)]
    pub client_cert: Option<PathBuf>,
    /// PEM file with the private key of `client_cert`.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// Whether passwords may cross a network in the clear (`tls = "none"` off loopback); default false.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Seconds that one operation may take; 1 to 600, default 4.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Seconds between two polls for changes; 1 to 86400, default 30.
    #[serde(default = "default_polling_interval")]
    pub polling_interval: u64,
    /// Whether a live user map stays connected and hears of every change at once (refreshAndPersist, RFC 4533, or
    /// on Active Directory a change notification); false makes it poll each `polling_interval` instead; default
    /// true.
    #[serde(default = "default_persist")]
    pub persist: bool,
    /// Seconds between two counts of all entries where the directory does not tell of every deletion: on Active
    /// Directory without the right "Replicating Directory Changes", and always for a live user map; 1 to 86400,
    /// default 3600.
    #[serde(default = "default_audit_interval")]
    pub audit_interval: u64,
    /// Seconds to wait after a failure before trying again, doubled with jitter up to 60, or up to 5 where
    /// somebody waits for the answer; 1 to 60, default 1.
    #[serde(default = "default_retry_interval")]
    pub retry_interval: u64,
    /// Which entries are accounts.
    pub accounts: AccountsConfig,
    /// Which entries are groups. Default: none.
    #[serde(default)]
    pub groups: GroupsConfig,
    /// Filter template that finds the entry of an address. Slots: `%e` address, `%u` local-part, `%d` domain,
    /// `%D` domain as `dc=..,dc=..`, `%%`. Default on OpenLDAP `(|(mail=%e)(mailLocalAddress=%e))`, on Active
    /// Directory `(|(mail=%e)(proxyAddresses=smtp:%e))`, with the attributes named in `attributes`.
    #[serde(default)]
    pub address_pattern: Option<String>,
    /// Filter template that finds the entry of what a client typed as its login. Default on OpenLDAP
    /// `(|(mail=%e)(uid=%u))`, on Active Directory `(|(userPrincipalName=%e)(sAMAccountName=%u))`. A branch
    /// with `%u` applies to a bare login and to the connector's own `domains` only.
    #[serde(default)]
    pub login_pattern: Option<String>,
    /// Sets `address_pattern` and `login_pattern` at once.
    #[serde(default)]
    pub search_pattern: Option<String>,
    /// The connector's own domains. Default: any domain may be found here, and `%u` in `login_pattern` applies
    /// to bare logins only.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// The domain that a login without `@` is completed with. Default: the only entry of `domains`, if there
    /// is exactly one.
    #[serde(default)]
    pub default_domain: Option<Domain>,
    /// Whether a lookup also tries the `aliases` of the address's domain (`[[domain]]`), for a directory with entries
    /// whose addresses are written in an alias domain; what is read from them is taken for the same address in the
    /// main domain. Without it only the main domain is looked for, whichever one was asked for; default false.
    #[serde(default)]
    pub search_domain_aliases: bool,
    /// The `aliases` of all domains; filled in when the whole file has been read.
    #[serde(skip)]
    pub domain_aliases: DomainAliases,
    /// Which attribute says what.
    #[serde(default)]
    pub attributes: AttributesConfig,
    /// Which side is written: `ldap-to-local` (the directory is the source), `local-to-ldap` (the accounts here
    /// are) or `both-ways`; default `ldap-to-local`.
    #[serde(default)]
    pub direction: Direction,
    /// Who wins when an account or group changed on both sides since they last agreed; only with `both-ways`:
    /// `local-wins`, `ldap-wins` or `no-change` (both go back to what they last had in common); default
    /// `ldap-wins`. What loses is in `homing sync conflicts`.
    #[serde(default)]
    pub conflict_resolution: ConflictResolution,
    /// What counts as a conflict: `attribute` (the same attribute changed on both sides; aliases and members are
    /// merged one by one) or `entry` (the same object did, and the loser's changes are dropped as a whole); default
    /// `attribute`.
    #[serde(default)]
    pub conflict_scope: ConflictScope,
    /// Whether only accounts whose host attribute names this server are synchronised; default false.
    #[serde(default)]
    pub clustered: bool,
    /// What a deletion in the directory does here: `disable`, `delete` or `ignore`; default `disable`.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// Days for which the mail of a deleted account is kept (with `on_delete = "disable"` until somebody deletes it); 1 to 3650, default 30.
    #[serde(default = "default_retention")]
    pub retention: u64,
    /// What an attribute that was there and is now absent does: `keep` or `clear`; default `keep`.
    #[serde(default)]
    pub absent: Absent,
    /// What happens to an account that arrives from another home: `hold` or `start-empty`; default `hold`.
    #[serde(default)]
    pub on_host_change: OnHostChange,
    /// When to stop and ask before many accounts lose something.
    #[serde(default)]
    pub guard: GuardConfig,
    /// Whether synchronisation with a domain that holds accounts already waits until an administrator has seen the
    /// plan and says `homing sync start`; default true.
    #[serde(default = "default_ask_first")]
    pub ask_first: bool,
    /// Days for which values that lost a conflict are kept for `homing sync restore`; 1 to 3650, default 90.
    #[serde(default = "default_conflict_retention")]
    pub conflict_retention: u64,
    /// Other spellings of this server's name in the host attribute. Default: none. A server that got another
    /// `server_name` needs none for the former one: it remembers its names.
    #[serde(default)]
    pub host_aliases: Vec<String>,
    /// The number under which OpenLDAP's log knows this server's change feed (`rid` in the cookie of RFC 4533); 1 to
    /// 999. Default: made from the server's lasting id and the connector's name.
    #[serde(default)]
    pub replica_id: Option<u16>,
    /// The most accounts and groups that one reading of everything may bring (the change feed of synchronisation and of
    /// live user maps, and `homing directory check`); with more it ends in an error and what was known before stays.
    /// 0 for no limit; default 0.
    #[serde(default)]
    pub max_results: u32,
    /// MiB that one entry may take in the change feed of synchronisation and of live user maps: a group with very many
    /// members, a large photograph. A larger entry is put aside by its name, and the feed goes on; 1 to 1024,
    /// default 256.
    #[serde(default = "default_max_entry")]
    pub max_entry: u32,
    /// Seconds for which a login that the directory found right needs no other check there; a change that the change
    /// feed reports ends it at once. 0 asks the directory each time; at most 3600, default 60.
    #[serde(default = "default_credential_ttl")]
    pub credential_ttl: u64,
    /// Entries in one page of a large search; 1 to 10000, default 500.
    #[serde(default = "default_page_size")]
    pub page_size: u32,
}

pub(super) fn default_timeout() -> u64 {
    4
}
pub(super) fn default_lockout_window() -> u64 {
    1800
}
pub(super) fn default_front_ends() -> u32 {
    1
}
pub(super) fn default_polling_interval() -> u64 {
    30
}
pub(super) fn default_audit_interval() -> u64 {
    3600
}
pub(super) fn default_persist() -> bool {
    true
}
pub(super) fn default_retry_interval() -> u64 {
    1
}
pub(super) fn default_retention() -> u64 {
    30
}
pub(super) fn default_ask_first() -> bool {
    true
}
pub(super) fn default_conflict_retention() -> u64 {
    90
}
pub(super) fn default_credential_ttl() -> u64 {
    60
}

pub(super) fn default_max_entry() -> u32 {
    256
}
pub(super) fn default_page_size() -> u32 {
    500
}

/// The kind of directory server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerType {
    /// OpenLDAP, and servers that behave like it.
    Openldap,
    /// Active Directory and Samba's domain controller.
    ActiveDirectory,
}

/// Whether an `ldap://` connection is upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectorTls {
    /// The StartTLS operation before anything else (RFC 4511 section 4.14).
    StartTls,
    /// Never.
    None,
}

/// What is done with a reference to another server (RFC 4511 section 4.1.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Referrals {
    /// It is passed over.
    #[default]
    Ignore,
    /// A change follows it to a server listed in `uris`.
    Writes,
}

/// How deep below a base DN entries are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchScope {
    /// Directly below.
    One,
    /// At any depth.
    #[default]
    Sub,
}

/// Which entries are accounts: `accounts.*`.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountsConfig {
    /// Where accounts live: one or more DNs. Required.
    pub base_dn: Vec<String>,
    /// Their object class; default `inetOrgPerson` on OpenLDAP, `user` on Active Directory.
    #[serde(default)]
    pub object_class: Option<String>,
    /// A further filter that every account matches (RFC 4515). Default: none.
    #[serde(default)]
    pub filter: Option<String>,
    /// `one` or `sub`; default `sub`.
    #[serde(default)]
    pub scope: SearchScope,
    /// Where new accounts are written: a DN template with the slots of `address_pattern`, for example
    /// `ou=Users,%D`. What is missing on the way there is written too. Default: the first of `base_dn`.
    #[serde(default)]
    pub create_under: Option<String>,
    /// RDN template of new accounts. Default `uid=%u` (the attribute that `attributes.login` names), or `mail=%e`
    /// when several domains share one place; on Active Directory `cn=%u` or `cn=%e`.
    #[serde(default)]
    pub rdn: Option<String>,
}

/// Which entries are groups: `groups.*`.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupsConfig {
    /// Where groups live: DNs. Default: there are no groups.
    pub base_dn: Vec<String>,
    /// Their object class; default `groupOfNames` on OpenLDAP, `group` on Active Directory.
    pub object_class: Option<String>,
    /// A further filter that every group matches (RFC 4515). Default: none.
    pub filter: Option<String>,
    /// `one` or `sub`; default `sub`.
    pub scope: SearchScope,
    /// Where new groups are written, as `accounts.create_under`. Default: the first of `base_dn`.
    pub create_under: Option<String>,
    /// RDN template of new groups. Default `cn=%u`, or `cn=%e` when several domains share one place.
    pub rdn: Option<String>,
}
