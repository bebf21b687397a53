//! The people, and what each of them is used for.

use crate::client::Login;
use base64::Engine;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use testkit::People;

/// The domain of everybody.
pub(crate) const DOMAIN: &str = "bench.test";
/// The home with real mailboxes.
pub(crate) const STORE_HOST: &str = "store.bench.test";
/// The home that answers at once.
pub(crate) const NULL_HOST: &str = "null.bench.test";

/// How many people there are, half of them on each home.
const PEOPLE: usize = 104;
/// How many of them are read from.
const READERS: usize = 10;

/// What an account is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The account with the large mailbox.
    Big,
    /// Accounts that hold messages of 4 KiB and get no new ones.
    Readers,
    /// Accounts that get mail.
    Receivers,
    /// Accounts on the home that answers at once.
    Remote,
}

/// Everybody.
#[derive(Debug)]
pub(crate) struct Cast {
    /// As the directory has them: with hashed passwords.
    pub(crate) people: People,
    /// On [`STORE_HOST`].
    stored: Vec<Login>,
    /// On [`NULL_HOST`].
    remote: Vec<Login>,
}

impl Cast {
    pub(crate) fn new() -> Self {
        let mut people = People::generate(DOMAIN, PEOPLE, &[STORE_HOST, NULL_HOST]);
        people.groups.clear();
        let on = |host| -> Vec<Login> {
            people
                .on_host(host)
                .map(|person| Login {
                    address: person.mail.clone(),
                    password: person.password.clone(),
                })
                .collect()
        };
        let (stored, remote) = (on(STORE_HOST), on(NULL_HOST));
        for person in &mut people.persons {
            person.password = salted_sha1(&person.password, person.uid.as_bytes());
        }
        Self {
            people,
            stored,
            remote,
        }
    }

    /// The accounts for a use.
    pub(crate) fn logins(&self, who: Who) -> Arc<[Login]> {
        let found = match who {
            Who::Big => self.stored.get(..1),
            Who::Readers => self.stored.get(1..=READERS),
            Who::Receivers => self.stored.get(READERS + 1..),
            Who::Remote => self.remote.get(..),
        };
        found.unwrap_or_default().into()
    }

    /// Login and hash of everybody on `host`.
    pub(crate) fn hashes<'a>(&'a self, host: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.people
            .on_host(host)
            .map(|person| (person.mail.as_str(), person.password.as_str()))
    }

    /// How many accounts the real home has.
    pub(crate) fn stored(&self) -> usize {
        self.stored.len()
    }
}

/// `{SSHA}`, as OpenLDAP and Dovecot write it: base64 of SHA-1 over password and salt, then the salt.
pub(crate) fn salted_sha1(password: &str, salt: &[u8]) -> String {
    let mut bytes = Sha1::new()
        .chain_update(password.as_bytes())
        .chain_update(salt)
        .finalize()
        .to_vec();
    bytes.extend_from_slice(salt);
    format!(
        "{{SSHA}}{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_used_twice() {
        let cast = Cast::new();
        let mut all: Vec<String> = [Who::Big, Who::Readers, Who::Receivers, Who::Remote]
            .into_iter()
            .flat_map(|who| cast.logins(who).to_vec())
            .map(|login| login.address)
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), PEOPLE);
        assert_eq!(cast.logins(Who::Readers).len(), READERS);
        assert!(cast.logins(Who::Receivers).len() >= 20, "one for each connection");
    }

    #[test]
    fn hashes_are_those_of_openldap() {
        // slappasswd -h '{SSHA}' writes 20 octets of digest and the salt.
        assert_eq!(
            salted_sha1("secret", b"salt"),
            "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"
        );
    }
}
