//! Whether an entry may log in, as far as its attributes tell.

use super::time::{file_time, generalized_time};
use crate::config::{AttributeMap, EnabledConfig, EnabledKind, ServerType};
use ldap::Entry;
use model::Timestamp;

/// The state of an account, read from its entry. The directory may know more, and says so at a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Nothing speaks against a login.
    Active,
    /// Switched off by an administrator.
    Disabled,
    /// Locked after failed logins. The directory unlocks it, by time or by an administrator.
    Locked,
    /// The account's time is over, or its password must be changed first.
    Expired,
}

impl AccountState {
    pub(crate) fn read(entry: &Entry, map: &AttributeMap, server: ServerType, now: Timestamp) -> Self {
        if is_disabled(entry, &map.enabled, now) {
            return Self::Disabled;
        }
        match server {
            ServerType::Openldap => {
                if entry.first("pwdAccountLockedTime").is_some() {
                    return Self::Locked;
                }
                if is_true(entry, "pwdReset") {
                    return Self::Expired;
                }
            }
            ServerType::ActiveDirectory => {
                let text = |name: &str| entry.first_str(name);
                if text("accountExpires")
                    .and_then(file_time)
                    .is_some_and(|end| end <= now)
                {
                    return Self::Expired;
                }
                if text("lockoutTime").and_then(file_time).is_some() {
                    return Self::Locked;
                }
                if text("pwdLastSet") == Some("0") {
                    return Self::Expired;
                }
            }
        }
        Self::Active
    }
}

fn is_true(entry: &Entry, attribute: &str) -> bool {
    entry
        .first_str(attribute)
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn is_disabled(entry: &Entry, config: &EnabledConfig, now: Timestamp) -> bool {
    let Some(value) = entry.first_str(&config.attribute) else {
        // An entry without the attribute is enabled, except where presence is what enables.
        return config.kind == EnabledKind::Present && config.invert;
    };
    let disabled = match config.kind {
        EnabledKind::Bool => !value.eq_ignore_ascii_case("true") && value != "1",
        // A number that cannot be read is no proof of an enabled account.
        EnabledKind::Bitmask => match value.parse::<i64>() {
            Ok(bits) => bits & i64::from(config.mask) != 0,
            Err(_) => return true,
        },
        EnabledKind::GeneralizedTime => match generalized_time(value) {
            Some(end) => end <= now,
            None => return true,
        },
        EnabledKind::Present => true,
    };
    disabled != config.invert
}
