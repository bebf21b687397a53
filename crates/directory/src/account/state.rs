//! Whether an entry may log in, as far as its attributes tell.

use super::time::{file_time, generalized_time};
use crate::config::{AttributeMap, EnabledConfig, EnabledKind, ServerType};
use ldap::Entry;
use model::Timestamp;

/// Bits of `msDS-User-Account-Control-Computed` (MS-ADTS section 2.2.16).
const LOCKOUT: i64 = 0x10;
const PASSWORD_EXPIRED: i64 = 0x80_0000;

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

/// The moment at which the clock alone changes a state, and what it is from then on. No change is reported then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateEnd {
    /// When.
    pub at: Timestamp,
    /// The state from then on.
    pub then: AccountState,
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
                // The server reckons with the lockout's duration and the password's age, where it tells.
                let computed =
                    text("msDS-User-Account-Control-Computed").and_then(|text| text.parse::<i64>().ok());
                let locked = match computed {
                    Some(bits) => bits & LOCKOUT != 0,
                    None => text("lockoutTime").and_then(file_time).is_some(),
                };
                if locked {
                    return Self::Locked;
                }
                if computed.is_some_and(|bits| bits & PASSWORD_EXPIRED != 0) {
                    return Self::Expired;
                }
                if text("pwdLastSet") == Some("0") {
                    return Self::Expired;
                }
            }
        }
        Self::Active
    }
}

/// The next moment at which the clock alone changes the state: mostly the end of the account.
pub(super) fn until(
    entry: &Entry,
    map: &AttributeMap,
    server: ServerType,
    now: Timestamp,
) -> Option<StateEnd> {
    let enabled = match map.enabled.kind {
        EnabledKind::GeneralizedTime => entry.first_str(&map.enabled.attribute).and_then(generalized_time),
        EnabledKind::Bool | EnabledKind::Bitmask | EnabledKind::Present => None,
    };
    let expires = match server {
        ServerType::ActiveDirectory => entry.first_str("accountExpires").and_then(file_time),
        ServerType::Openldap => None,
    };
    let mut times = [enabled, expires].map(|at| at.filter(|at| *at > now));
    times.sort_unstable();
    let mut times = times.into_iter().flatten().peekable();
    // Nearly nobody has one.
    times.peek()?;
    let state = AccountState::read(entry, map, server, now);
    times
        .map(|at| StateEnd {
            at,
            then: AccountState::read(entry, map, server, at),
        })
        .find(|end| end.then != state)
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
