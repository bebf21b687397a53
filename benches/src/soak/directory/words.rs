//! What both kinds of directory call things, and what their entries consist of.

use super::DOMAIN;
use crate::soak::side::{Edit, Person};
use bytes::Bytes;
use ldap::{Attribute, Dn, Entry, Modification, ModifyOperation, Values};
use std::collections::BTreeMap;

/// The password of people who are created in the directory.
const PASSWORD: &str = "secret of everybody 1";
/// The flag ACCOUNTDISABLE of `userAccountControl` (MS-ADTS section 2.2.16).
const DISABLED: u32 = 2;

/// Which kind of directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// slapd.
    Openldap,
    /// A Samba domain controller.
    Ad,
}

/// Names of one kind of directory.
#[derive(Debug, Clone)]
pub(super) struct Words {
    kind: Kind,
    /// Everything is below it.
    pub(super) base: String,
    /// Where people live; the second place is below the first.
    pub(super) places: [String; 2],
    pub(super) teams: String,
    /// The naming attribute of people.
    rdn: &'static str,
    pub(super) person: &'static str,
    pub(super) team: &'static str,
    pub(super) alias: &'static str,
    pub(super) quota: &'static str,
    pub(super) host: &'static str,
    switch: &'static str,
}

impl Words {
    pub(super) fn openldap() -> Self {
        let base = "o=localdomain,dc=localdomain,dc=test".to_owned();
        Self {
            kind: Kind::Openldap,
            places: [format!("ou=Users,{base}"), format!("ou=East,ou=Users,{base}")],
            teams: format!("ou=Groups,{base}"),
            base,
            rdn: "uid",
            person: "inetOrgPerson",
            team: "groupOfNames",
            alias: "mailLocalAddress",
            quota: "homingQuota",
            host: "mailHost",
            switch: "homingEnabled",
        }
    }

    pub(super) fn active_directory(suffix: &str, people: &str, teams: &str) -> Self {
        Self {
            kind: Kind::Ad,
            base: suffix.to_owned(),
            places: [people.to_owned(), format!("OU=East,{people}")],
            teams: teams.to_owned(),
            rdn: "CN",
            person: "user",
            team: "group",
            alias: "proxyAddresses",
            quota: "msDS-cloudExtensionAttribute2",
            host: "msDS-cloudExtensionAttribute1",
            switch: "userAccountControl",
        }
    }

    /// What is read of people.
    pub(super) fn wanted(&self) -> [&'static str; 7] {
        [
            "mail",
            "displayName",
            self.quota,
            self.switch,
            self.alias,
            self.host,
            "pwdLastSet",
        ]
    }

    fn alias_value(&self, alias: &str) -> String {
        match self.kind {
            Kind::Openldap => alias.to_owned(),
            // Exchange's form.
            Kind::Ad => format!("smtp:{alias}"),
        }
    }

    pub(super) fn rdn(&self, name: &str) -> String {
        format!("{}={name}", self.rdn)
    }

    /// The DN and the attributes of a new entry.
    pub(super) fn person(
        &self,
        address: &str,
        name: &str,
        (place, home): (usize, Option<&str>),
    ) -> (String, Vec<Attribute>) {
        let uid = address.split('@').next().unwrap_or_default();
        let place = self.places.get(place).map_or(self.base.as_str(), String::as_str);
        let mut pairs: Vec<(&str, Vec<u8>)> = vec![("displayName", name.into()), ("mail", address.into())];
        match self.kind {
            Kind::Openldap => {
                for class in [self.person, "inetLocalMailRecipient", "homingAccount"] {
                    pairs.push(("objectClass", class.into()));
                }
                pairs.extend([
                    ("uid", uid.into()),
                    ("cn", uid.into()),
                    ("sn", b"Person".to_vec()),
                ]);
            }
            Kind::Ad => {
                let password = format!("\"{PASSWORD}\"");
                let password = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
                pairs.extend([
                    ("objectClass", self.person.into()),
                    ("sAMAccountName", uid.into()),
                    ("userPrincipalName", address.into()),
                    ("userAccountControl", b"512".to_vec()),
                    ("unicodePwd", password),
                ]);
            }
        }
        pairs.extend(home.map(|home| (self.host, home.into())));
        let mut all: BTreeMap<&str, Vec<Bytes>> = BTreeMap::new();
        for (name, value) in pairs {
            all.entry(name).or_default().push(value.into());
        }
        let attributes = all
            .into_iter()
            .map(|(name, values)| Attribute::new(name, Values::from(values)))
            .collect();
        (format!("{},{place}", self.rdn(uid)), attributes)
    }

    /// The DN and the attributes of a group with one member.
    pub(super) fn team(&self, name: &str, member: &str) -> (String, Vec<Attribute>) {
        let classes: &[&str] = match self.kind {
            Kind::Openldap => &[self.team, "homingGroup"],
            Kind::Ad => &[self.team],
        };
        let values = |all: &[&str]| {
            let all = all.iter().map(|text| Bytes::from((*text).to_owned()));
            all.collect::<Values>()
        };
        let mut attributes = vec![
            Attribute::new("objectClass", values(classes)),
            Attribute::new("mail", values(&[&format!("{name}@{DOMAIN}")])),
            Attribute::new("member", values(&[member])),
        ];
        if self.kind == Kind::Ad {
            attributes.push(Attribute::new("sAMAccountName", values(&[name])));
        }
        (format!("cn={name},{}", self.teams), attributes)
    }

    /// A person as an entry shows it; `several` back ends: with its home.
    pub(super) fn read(&self, entry: &Entry, several: bool) -> Person {
        let first = |name: &str| entry.first_str(name);
        Person {
            address: first("mail").unwrap_or_default().to_owned(),
            name: first("displayName").map(str::to_owned),
            // 0 is how the directory says "no limit".
            quota: first(self.quota)
                .and_then(|text| text.parse().ok())
                .filter(|quota| *quota > 0),
            enabled: self.enabled(entry),
            aliases: entry
                .strings(self.alias)
                .map(|alias| alias.trim_start_matches("smtp:").to_owned())
                .collect(),
            home: first(self.host).filter(|_| several).map(str::to_owned),
        }
    }

    fn enabled(&self, entry: &Entry) -> Option<bool> {
        let text = entry.first_str(self.switch);
        match self.kind {
            Kind::Openldap => Some(text != Some("FALSE")),
            Kind::Ad => {
                let on = text.and_then(|text| text.parse::<u32>().ok())? & DISABLED == 0;
                // A user without a password is off and means nothing by it (MS-ADTS section 3.1.1.3.1.5).
                let unborn = entry.first_str("pwdLastSet").is_none_or(|time| time == "0");
                (on || !unborn).then_some(on)
            }
        }
    }

    /// The modifications by value, and what they replace. None: nothing to change.
    pub(super) fn changes(&self, entry: &Entry, edit: &Edit) -> Option<(Vec<Modification>, Vec<String>)> {
        let exchange = |attribute: &str, new: &str| {
            let old: Vec<String> = entry.strings(attribute).map(str::to_owned).collect();
            if old.iter().any(|old| old == new) {
                return None;
            }
            let mut all: Vec<Modification> = old
                .iter()
                .map(|old| swap(ModifyOperation::Delete, attribute, old))
                .collect();
            all.push(swap(ModifyOperation::Add, attribute, new));
            Some((all, old))
        };
        let alias = |operation, alias: &str| {
            let value = self.alias_value(alias);
            Some((vec![swap(operation, self.alias, &value)], Vec::new()))
        };
        match edit {
            Edit::Name(name) => exchange("displayName", name),
            Edit::Quota(quota) => exchange(self.quota, &quota.to_string()),
            Edit::Enabled(enabled) => {
                let (all, _) = exchange(self.switch, &self.switched(entry, *enabled)?)?;
                Some((all, Vec::new()))
            }
            Edit::Address(new) => exchange("mail", new),
            Edit::Home(home) => exchange(self.host, home).map(|(all, _)| (all, Vec::new())),
            Edit::AddAlias(new) => alias(ModifyOperation::Add, new),
            Edit::DropAlias(old) => alias(ModifyOperation::Delete, old),
            Edit::Delete => None,
        }
    }

    /// The value of the switch. None: it cannot be said.
    fn switched(&self, entry: &Entry, enabled: bool) -> Option<String> {
        match self.kind {
            Kind::Openldap => Some(if enabled { "TRUE" } else { "FALSE" }.to_owned()),
            Kind::Ad => {
                // Whoever has no password cannot be switched on.
                self.enabled(entry)?;
                let bits = entry.first_str(self.switch)?.parse::<u32>().ok()?;
                let bits = if enabled {
                    bits & !DISABLED
                } else {
                    bits | DISABLED
                };
                Some(bits.to_string())
            }
        }
    }
}

pub(super) fn swap(operation: ModifyOperation, attribute: &str, value: &str) -> Modification {
    Modification::new(
        operation,
        Attribute::new(attribute, Values::one(value.to_owned().into())),
    )
}

pub(super) fn canonical(dn: &str) -> String {
    Dn::parse(dn).map_or_else(|_| dn.to_lowercase(), |dn| dn.to_string().to_lowercase())
}
