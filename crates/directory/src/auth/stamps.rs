//! What an entry tells of its password to whoever follows its changes, without telling the password.
//!
//! Never makes a digest of what could be guessed: of clear text and of hashes without a salt, only the moment of
//! their last change counts.

use crate::config::ServerType;
use crate::connector::Connector;
use ldap::Entry;
use model::{EntryUuid, Secret};
use password::{Encoding, Scheme, StoredPassword};

/// What was seen of the password of an entry.
#[derive(Debug, Clone, Default)]
pub struct PasswordSeen {
    /// Eight octets that stand for the stored values, and eight for the moment of the last change. Zeros where the
    /// entry does not tell; none when it tells neither.
    pub stamp: Option<[u8; 16]>,
    /// The hash that the directory keeps, where it can be read. Never clear text.
    pub hash: Option<Secret>,
    /// Whether it is only another hash of the same password.
    pub origin: PasswordOrigin,
}

/// Who stored a password value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordOrigin {
    /// Somebody; it may be another password.
    #[default]
    Unknown,
    /// This process, for the password of before (`password_upgrade`).
    OwnRewrite,
}

impl Connector {
    /// What the entry, read with [`Connector::password_stamps`], tells of its password.
    #[must_use]
    pub fn password_seen(&self, uuid: EntryUuid, entry: &Entry) -> PasswordSeen {
        let patterns = self.patterns();
        let (values, time) = match patterns.server {
            ServerType::Openldap => (entry.get(&patterns.map.password), "pwdChangedTime"),
            ServerType::ActiveDirectory => (&[][..], "pwdLastSet"),
        };
        let mut values: Vec<&[u8]> = values.iter().map(AsRef::as_ref).collect();
        // The order of an attribute's values means nothing (RFC 4512 section 2.2).
        values.sort_unstable();
        let encoding = Encoding::from(self.config().attributes.password_encoding);
        let hash = values.iter().find(|value| is_hash(value, encoding));
        let salted = !values.is_empty() && values.iter().all(|value| is_salted(value, encoding));
        let value_half = match salted {
            true => half(uuid, "value", &values),
            false => Default::default(),
        };
        let time_half = entry
            .first(time)
            .map(|time| half(uuid, "time", &[time]))
            .unwrap_or_default();
        let mut stamp = [0; 16];
        for (to, from) in stamp.iter_mut().zip(value_half.iter().chain(&time_half)) {
            *to = *from;
        }
        let origin = match self.is_own_rewrite(uuid, entry) {
            true => PasswordOrigin::OwnRewrite,
            false => PasswordOrigin::Unknown,
        };
        PasswordSeen {
            stamp: (stamp != [0; 16]).then_some(stamp),
            hash: hash.map(|value| Secret::new(value.to_vec())),
            origin,
        }
    }
}

/// A value that a local check reads as it is, and that is no clear text.
fn is_hash(value: &[u8], encoding: Encoding) -> bool {
    let plain = encoding == Encoding::Plain || value.starts_with(b"{");
    let scheme = StoredPassword::parse(value, Encoding::Plain).map(|stored| stored.scheme());
    plain && scheme.is_ok_and(|scheme| scheme != Scheme::ClearText)
}

/// A value whose digest says nothing to whoever guesses passwords.
fn is_salted(value: &[u8], encoding: Encoding) -> bool {
    StoredPassword::parse(value, encoding).is_ok_and(|stored| {
        !matches!(
            stored.scheme(),
            Scheme::ClearText | Scheme::Md5 | Scheme::Sha1 | Scheme::Sha2 | Scheme::DesCrypt
        )
    })
}

/// Differs for each entry, so that equal values of two entries do not show.
fn half(uuid: EntryUuid, what: &str, values: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("homing password stamp 1");
    hasher.update(uuid.as_bytes());
    hasher.update(what.as_bytes());
    for value in values {
        hasher.update(blake3::hash(value).as_bytes());
    }
    let mut half = [0; 8];
    for (to, from) in half.iter_mut().zip(hasher.finalize().as_bytes()) {
        *to = *from;
    }
    // Zeros mean that nothing was told.
    if half == [0; 8] { [1; 8] } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectorConfig;
    use ldap::Attribute;
    use model::{Clock, ManualClock, Timestamp};
    use std::sync::Arc;

    const UUID: EntryUuid = EntryUuid::from_bytes([7; 16]);

    fn seen(attributes: &[(&str, &str)]) -> PasswordSeen {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
        let config =
            ConnectorConfig::openldap("x", vec!["ldap://127.0.0.1:1".into()], vec!["dc=test".into()]);
        let connector = Connector::new(config, clock).expect("a connector");
        let mut entry = Entry::new("uid=a,dc=test".to_owned());
        for (name, value) in attributes {
            entry.attributes.push(Attribute::new(*name, *value));
        }
        connector.password_seen(UUID, &entry)
    }

    #[test]
    fn only_what_cannot_be_guessed_is_digested() {
        let halves = |stamp: Option<[u8; 16]>| {
            let stamp = stamp.unwrap_or_default();
            (stamp[..8] != [0; 8], stamp[8..] != [0; 8])
        };
        let salted = "{SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";
        let time = ("pwdChangedTime", "20260101000000Z");
        for (values, digested, copied) in [
            (&[("userPassword", salted)][..], (true, false), true),
            (&[("userPassword", salted), time], (true, true), true),
            (&[("userPassword", "secret"), time], (false, true), false),
            (&[("userPassword", "secret")], (false, false), false),
            (
                &[("userPassword", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")],
                (false, false),
                true,
            ),
            (&[], (false, false), false),
        ] {
            let seen = seen(values);
            assert_eq!(halves(seen.stamp), digested, "{values:?}");
            assert_eq!(seen.hash.is_some(), copied, "{values:?}");
        }
        let other = seen(&[("userPassword", "{SSHA}AhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ")]);
        assert_ne!(other.stamp, seen(&[("userPassword", salted)]).stamp);
    }
}
