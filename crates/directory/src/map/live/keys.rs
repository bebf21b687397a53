//! What a replica finds entries by: the connector's patterns, taken apart.
//!
//! A replica compares by itself, so it serves patterns that only compare: `(|(mail=%e)(proxyAddresses=smtp:%e))`.
//! Every other pattern is refused when the configuration is read, for the map would answer otherwise than the
//! directory.

use super::record::Role;
use crate::patterns::Patterns;
use ldap::{Alternative, Entry, FilterTemplate, Slot};
use std::collections::BTreeSet;

/// Before a text that a typed address is compared with as a login, beside the mail attribute. No text that is
/// looked up holds such a character.
const LOGIN_ADDRESS: char = '\u{1}';
/// Before a text that the local-part of an address is compared with.
const LOCAL_PART: char = '\u{2}';

/// The attributes of the patterns, by what they are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Keys {
    /// With an address, beside the mail attribute.
    addresses: Vec<(String, String)>,
    /// With the local-part of an address of the connector's own domains.
    local_parts: Vec<(String, String)>,
    /// Whether an address that is typed as a login is compared with the mail attribute.
    login_by_mail: bool,
    /// With an address that is typed as a login.
    login_addresses: Vec<(String, String)>,
    /// With the name of a bare login.
    logins: Vec<(String, String)>,
}

impl Keys {
    /// Takes the patterns apart, or says which one cannot be.
    pub(super) fn read(patterns: &Patterns) -> Result<Self, String> {
        let mut keys = Self::default();
        let mail = &patterns.map.mail;
        let is_mail = |one: &Alternative| one.prefix.is_empty() && one.attribute.eq_ignore_ascii_case(mail);
        let mut by_mail = false;
        for one in alternatives("address_pattern", patterns.address_template())? {
            match one.slot {
                Slot::Address if is_mail(&one) => by_mail = true,
                Slot::Address => keys.addresses.push((one.attribute, one.prefix)),
                Slot::LocalPart => keys.local_parts.push((one.attribute, one.prefix)),
                Slot::Domain => return Err(refused("address_pattern")),
            }
        }
        if !by_mail {
            return Err(format!(
                "a live map needs an address_pattern with the branch ({mail}=%e), for that is the account's address"
            ));
        }
        for one in alternatives("login_pattern", patterns.login_template())? {
            match one.slot {
                Slot::Address if is_mail(&one) => keys.login_by_mail = true,
                Slot::Address => keys.login_addresses.push((one.attribute, one.prefix)),
                Slot::LocalPart => keys.logins.push((one.attribute, one.prefix)),
                Slot::Domain => return Err(refused("login_pattern")),
            }
        }
        Ok(keys)
    }

    /// The attributes that the feed must bring.
    pub(super) fn attributes(&self) -> BTreeSet<String> {
        let all = [
            &self.addresses,
            &self.local_parts,
            &self.login_addresses,
            &self.logins,
        ];
        all.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// What an entry is found by, beside its mail attribute: the texts of an account, or those of a group.
    pub(super) fn texts(&self, patterns: &Patterns, entry: &Entry, is_account: bool) -> Vec<(Role, String)> {
        let mut texts = Vec::new();
        for value in values(entry, &self.addresses) {
            if let Some(domain) = value.strip_prefix('@') {
                if let Ok(domain) = patterns.read_domain(domain) {
                    texts.push((Role::CatchAll, format!("@{domain}")));
                }
            } else if let Ok(address) = patterns.read_address(value) {
                texts.push((Role::Alias, address.as_str().to_owned()));
            }
        }
        for value in values(entry, &self.local_parts) {
            texts.push((Role::Login, format!("{LOCAL_PART}{value}")));
        }
        if is_account {
            for value in values(entry, &self.login_addresses) {
                let main = patterns.spelling().and_then(|aliases| aliases.login(value));
                let value = main.as_deref().unwrap_or(value);
                texts.push((Role::Login, format!("{LOGIN_ADDRESS}{value}")));
            }
            for value in values(entry, &self.logins) {
                texts.push((Role::Login, value.to_owned()));
            }
        }
        texts
    }

    pub(super) fn login_by_mail(&self) -> bool {
        self.login_by_mail
    }

    /// The text under which an address that is typed as a login stands.
    pub(super) fn login_address(&self, address: &str) -> Option<String> {
        (!self.login_addresses.is_empty()).then(|| format!("{LOGIN_ADDRESS}{address}"))
    }

    /// The text under which a local-part stands.
    pub(super) fn local_part(&self, local_part: &str) -> Option<String> {
        (!self.local_parts.is_empty()).then(|| format!("{LOCAL_PART}{local_part}"))
    }
}

fn alternatives(key: &str, template: &FilterTemplate) -> Result<Vec<Alternative>, String> {
    template.alternatives().ok_or_else(|| refused(key))
}

fn refused(key: &str) -> String {
    format!(
        "a live map compares by itself, so {key} may only be (attribute=%e), (attribute=%u), or an | of such, \
         with a fixed text before the slot at most"
    )
}

/// The values of these attributes without their prefixes.
fn values<'a>(entry: &'a Entry, attributes: &'a [(String, String)]) -> impl Iterator<Item = &'a str> {
    attributes.iter().flat_map(move |(attribute, prefix)| {
        let values = entry.strings(attribute);
        values.filter_map(move |value| strip_prefix(value, prefix))
    })
}

/// As `caseIgnoreMatch` compares: `SMTP:` is `smtp:`.
fn strip_prefix<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = value.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectorConfig;

    fn patterns(edit: impl Fn(&mut ConnectorConfig)) -> Patterns {
        let (uris, bases) = (vec!["ldap://127.0.0.1".to_owned()], vec!["dc=test".to_owned()]);
        let mut config = ConnectorConfig::openldap("c", uris, bases);
        edit(&mut config);
        Patterns::new(&config).expect("good patterns")
    }

    fn keys(edit: impl Fn(&mut ConnectorConfig)) -> Result<Keys, String> {
        Keys::read(&patterns(edit))
    }

    #[test]
    fn patterns_that_only_compare_are_served() {
        let names = |keys: &Keys| keys.attributes().into_iter().collect::<Vec<_>>().join(" ");
        let default = keys(|_| ()).expect("the defaults");
        assert_eq!(
            (names(&default).as_str(), default.login_by_mail()),
            ("mailLocalAddress uid", true)
        );
        let active_directory = keys(|config| {
            config.server_type = crate::config::ServerType::ActiveDirectory;
        });
        let active_directory = active_directory.expect("the defaults");
        assert_eq!(
            (
                names(&active_directory).as_str(),
                active_directory.login_by_mail()
            ),
            ("proxyAddresses sAMAccountName userPrincipalName", false)
        );
        let own = keys(|config| {
            config.address_pattern = Some("(|(MAIL=%e)(uid=%u))".to_owned());
            config.login_pattern = Some("(employeeNumber=E%u)".to_owned());
        });
        assert_eq!(names(&own.expect("they compare")), "employeeNumber uid");
        for (address, login) in [
            ("(&(mail=%e)(o=x))", "(uid=%u)"),
            ("(mailLocalAddress=%e)", "(uid=%u)"),
            ("(mail=%e)", "(uid=%u*)"),
            ("(mail=%e)", "(associatedDomain=%d)"),
            ("(|(mail=%e)(o=%d))", "(uid=%u)"),
        ] {
            let refused = keys(|config| {
                config.address_pattern = Some(address.to_owned());
                config.login_pattern = Some(login.to_owned());
            });
            assert!(refused.is_err(), "{address} {login}");
        }
    }

    #[test]
    fn texts_of_an_entry() {
        let patterns = patterns(|config| config.server_type = crate::config::ServerType::ActiveDirectory);
        let keys = Keys::read(&patterns).expect("the defaults");
        let values = |texts: &[&'static str]| -> Vec<bytes::Bytes> {
            texts.iter().map(|text| bytes::Bytes::from(*text)).collect()
        };
        let entry = Entry::new("cn=a,dc=test")
            .with(
                "proxyAddresses",
                values(&["SMTP:Anna@x.test", "smtp:a@x.test", "x400:c=de", "smtp:@any.test"]),
            )
            .with("userPrincipalName", values(&["anna@ad.test"]))
            .with("sAMAccountName", values(&["anna"]));
        let found: Vec<String> = keys
            .texts(&patterns, &entry, true)
            .into_iter()
            .map(|(role, text)| format!("{role:?} {text:?}"))
            .collect();
        assert_eq!(
            found,
            [
                "Alias \"Anna@x.test\"",
                "Alias \"a@x.test\"",
                "CatchAll \"@any.test\"",
                "Login \"\\u{1}anna@ad.test\"",
                "Login \"anna\"",
            ]
        );
        assert_eq!(keys.login_address("b@x").as_deref(), Some("\u{1}b@x"));
        assert_eq!(keys.local_part("b"), None);
        assert_eq!(
            keys.texts(&patterns, &entry, false).len(),
            3,
            "a group does not log in"
        );
    }
}
