//! The configuration of this crate: `[[connector]]`, `[[user_map]]`, `[[home]]`, `domains`.
//!
//! Owns the keys, their defaults and the checks that need more than one key. Unknown keys are refused by the
//! deserializer; everything else that is wrong comes from `check`, as a list, so that an administrator sees
//! all of it at once. No file is opened and no server asked here.

mod attributes;
mod challenge;
mod connector;
mod connector_check;
mod domains;
mod enabled_attribute;
mod home;
mod oauth;
mod passwords;
mod sync;
#[cfg(test)]
mod tests;
mod user_map;
mod writes;

pub(crate) use attributes::AttributeMap;
pub use attributes::{AttributesConfig, EnabledConfig, EnabledKind, PasswordEncoding};
pub use challenge::ChallengeMechanism;
pub use connector::{
    AccountsConfig, ConnectorConfig, ConnectorTls, GroupsConfig, Referrals, SearchScope, ServerType,
};
pub use domains::{DomainSourceConfig, DomainsConfig};
pub use home::{HomeConfig, HomeServiceConfig, LoginMode};
pub use oauth::{OauthConfig, TokenAlgorithm};
pub use passwords::{PasswordChangeMode, PasswordScheme};
pub use sync::{Absent, ConflictResolution, ConflictScope, Direction, GuardConfig, OnDelete, OnHostChange};
pub use user_map::{MapKind, OnNoMatch, UserMapConfig};
pub use writes::WritesConfig;

use model::ConfigProblem;

/// Adds a problem when `value` is outside of `range`.
fn in_range(problems: &mut Vec<ConfigProblem>, key: &str, value: u64, range: std::ops::RangeInclusive<u64>) {
    if !range.contains(&value) {
        let message = format!("{value} is not between {} and {}", range.start(), range.end());
        problems.push(ConfigProblem::new(key, message));
    }
}
