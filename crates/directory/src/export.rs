//! Local accounts and groups as entries of a directory (`homing directory ldif`), by the connector's mapping.
//!
//! Pure: names in, entries out. Passwords are not among them.

use crate::config::{ConnectorConfig, EnabledKind, ServerType};
use crate::patterns::Patterns;
use bytes::Bytes;
use ldap::{Dn, DnError, Entry, Rdn, Values};
use model::{Address, ConfigProblem};
use std::collections::{HashMap, HashSet};

/// One local account or group.
#[derive(Debug, Clone)]
pub struct LocalEntry {
    /// Its address.
    pub address: Address,
    /// Its other addresses.
    pub aliases: Vec<Address>,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// Storage limit in bytes; 0 is none.
    pub quota: u64,
    /// Whether it is switched off.
    pub disabled: Disabled,
}

/// Whether an account or group is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// It is in use.
    No,
    /// It is switched off.
    Yes,
}

/// A group and its members.
#[derive(Debug, Clone)]
pub struct LocalGroup {
    /// The group itself.
    pub entry: LocalEntry,
    /// The addresses of its members.
    pub members: Vec<Address>,
}

/// The entries, and what could not be said in them.
#[derive(Debug, Clone, Default)]
pub struct Exported {
    /// Accounts first, so that groups can refer to them.
    pub entries: Vec<Entry>,
    /// What an administrator must know, one line each.
    pub notes: Vec<String>,
}

/// Writes accounts and groups the way the connector reads them; `host` is the server that holds their mail.
pub fn export(
    config: &ConnectorConfig,
    host: &str,
    accounts: &[LocalEntry],
    groups: &[LocalGroup],
) -> Result<Exported, Vec<ConfigProblem>> {
    let patterns = Patterns::new(config)?;
    if config.server_type == ServerType::ActiveDirectory {
        let message = "accounts of Active Directory are created with its own tools, not from LDIF";
        return Err(vec![ConfigProblem::new("server_type", message)]);
    }
    let all: Vec<&Address> = accounts
        .iter()
        .chain(groups.iter().map(|group| &group.entry))
        .map(|entry| &entry.address)
        .collect();
    let domains: HashSet<&str> = all.iter().map(|address| address.domain_str()).collect();
    let mut writer = Writer {
        patterns: &patterns,
        host,
        naming: if domains.len() > 1 {
            Naming::Address
        } else {
            Naming::LocalPart
        },
        out: Exported::default(),
        dns: HashMap::new(),
    };
    for account in accounts {
        writer.account(account);
    }
    let Some(base) = patterns.groups.as_ref().and_then(|half| half.bases.first()) else {
        if !groups.is_empty() {
            let note = format!("{} groups are left out: groups.base_dn is not set", groups.len());
            writer.out.notes.push(note);
        }
        return Ok(writer.out);
    };
    // Groups may hold groups, in any order.
    for group in groups {
        let key = group.entry.address.key();
        if let Ok(dn) = writer.dn(base, "cn", &group.entry.address) {
            writer.dns.insert(key, dn);
        }
    }
    for group in groups {
        writer.group(group, base);
    }
    Ok(writer.out)
}

/// What the RDN is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    LocalPart,
    /// Two domains share a base, and both may have an alice.
    Address,
}

struct Writer<'a> {
    patterns: &'a Patterns,
    host: &'a str,
    naming: Naming,
    out: Exported,
    dns: HashMap<String, String>,
}

impl Writer<'_> {
    fn dn(&self, base: &Dn, attribute: &str, address: &Address) -> Result<String, DnError> {
        let rdn = match self.naming {
            Naming::LocalPart => Rdn::new(attribute, address.local_part().as_bytes())?,
            Naming::Address => Rdn::new(&self.patterns.map.mail, address.as_str().as_bytes())?,
        };
        Ok(base.child(rdn).to_string())
    }

    fn account(&mut self, account: &LocalEntry) {
        let (map, half) = (&self.patterns.map, &self.patterns.accounts);
        let Some(base) = half.bases.first() else { return };
        let dn = match self.dn(base, &map.login, &account.address) {
            Ok(dn) => dn,
            Err(error) => return self.out.notes.push(format!("{}: {error}", account.address)),
        };
        self.dns.insert(account.address.key(), dn.clone());
        let local = account.address.local_part().to_owned();
        let name = account.display_name.clone().unwrap_or_else(|| local.clone());
        let surname = name.split_whitespace().next_back().unwrap_or(&local).to_owned();
        let mut entry = Entry::new(dn)
            .with(map.login.as_str(), local)
            .with("cn", name)
            .with(map.surname.as_str(), surname);
        let mut classes = vec!["inetOrgPerson".to_owned(), half.object_class().to_owned()];
        self.common(account, &mut entry, &mut classes, "homingAccount");
        if account.quota > 0
            && let Some(quota) = &map.quota
        {
            set(&mut entry, quota, account.quota.to_string());
            needs(&mut classes, quota, "homingAccount");
        }
        self.finish(entry, classes);
    }

    fn group(&mut self, group: &LocalGroup, base: &Dn) {
        let Some(dn) = self.dns.get(&group.entry.address.key()).cloned() else {
            let note = format!("{}: its name cannot be part of a DN", group.entry.address);
            return self.out.notes.push(note);
        };
        let mut members = Values::none();
        for member in &group.members {
            match self.dns.get(&member.key()) {
                Some(dn) => members.push(Bytes::from(dn.clone())),
                None => {
                    let note = format!("{}: its member {member} has no entry here", group.entry.address);
                    self.out.notes.push(note);
                }
            }
        }
        if members.is_empty() {
            // RFC 4519 section 3.5: groupOfNames must have a member.
            members.push(Bytes::from(crate::placeholder::below(base).to_string()));
        }
        let mut entry = Entry::new(dn)
            .with("cn", group.entry.address.local_part().to_owned())
            .with(self.patterns.map.members.as_str(), members);
        let class = self
            .patterns
            .groups
            .as_ref()
            .map_or("groupOfNames", |half| half.object_class());
        let mut classes = vec![class.to_owned(), "homingGroup".to_owned()];
        self.common(&group.entry, &mut entry, &mut classes, "homingGroup");
        self.finish(entry, classes);
    }

    /// What accounts and groups have in common. `ours` is the class that allows our own attributes.
    fn common(&mut self, local: &LocalEntry, entry: &mut Entry, classes: &mut Vec<String>, ours: &str) {
        let map = &self.patterns.map;
        set(entry, &map.mail, local.address.to_string());
        if let Some(name) = &local.display_name {
            set(entry, &map.display_name, name.clone());
        }
        if !local.aliases.is_empty() {
            let values: Vec<Bytes> = local
                .aliases
                .iter()
                .map(|alias| Bytes::from(alias.to_string()))
                .collect();
            set(entry, &map.aliases, values);
            needs(classes, &map.aliases, ours);
        }
        if let Some(host) = &map.host {
            set(entry, host, self.host.to_owned());
            needs(classes, host, ours);
        }
        if local.disabled == Disabled::No {
            return;
        }
        let enabled = &map.enabled;
        if enabled.kind == EnabledKind::Bool {
            let value = if enabled.invert { "TRUE" } else { "FALSE" };
            set(entry, &enabled.attribute, value);
            needs(classes, &enabled.attribute, ours);
        } else {
            let note = format!("{} is disabled; set {} by hand", local.address, enabled.attribute);
            self.out.notes.push(note);
        }
    }

    fn finish(&mut self, mut entry: Entry, classes: Vec<String>) {
        let mut values = Values::none();
        let mut seen = HashSet::new();
        for class in classes {
            if seen.insert(class.to_ascii_lowercase()) {
                values.push(Bytes::from(class));
            }
        }
        entry
            .attributes
            .insert(0, ldap::Attribute::new("objectClass", values));
        self.out.entries.push(entry);
    }
}

/// One attribute may be mapped twice, as `mail` for the login; it is written once.
fn set(entry: &mut Entry, attribute: &str, values: impl Into<Values>) {
    entry
        .attributes
        .retain(|known| !known.name.as_str().eq_ignore_ascii_case(attribute));
    entry.attributes.push(ldap::Attribute::new(attribute, values));
}

/// Adds the auxiliary class that allows the attribute, where we know it.
fn needs(classes: &mut Vec<String>, attribute: &str, ours: &str) {
    let class = match attribute.to_ascii_lowercase().as_str() {
        "maillocaladdress" | "mailhost" => "inetLocalMailRecipient",
        name if name.starts_with("homing") => ours,
        _ => return,
    };
    classes.push(class.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(address: &str) -> LocalEntry {
        LocalEntry {
            address: Address::parse(address).expect(address),
            aliases: Vec::new(),
            display_name: None,
            quota: 0,
            disabled: Disabled::No,
        }
    }

    fn config() -> ConnectorConfig {
        let mut config =
            ConnectorConfig::openldap("a", vec!["ldap://localhost".into()], vec!["ou=Users,dc=t".into()]);
        config.groups.base_dn = vec!["ou=Groups,dc=t".into()];
        config
    }

    fn text(exported: &Exported) -> String {
        let mut out = Vec::new();
        for entry in &exported.entries {
            ldap::ldif::write_entry(&mut out, entry).expect("written");
        }
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn accounts_and_groups() {
        let mut alice = local("alice@example.test");
        alice.aliases = vec![Address::parse("al@example.test").expect("an address")];
        (alice.display_name, alice.quota) = (Some("Alice B. Example".into()), 5);
        let mut bob = local("\"b,ob\"@example.test");
        bob.disabled = Disabled::Yes;
        let staff = LocalGroup {
            entry: local("staff@example.test"),
            members: vec![
                alice.address.clone(),
                Address::parse("all@example.test").expect("an address"),
                Address::parse("else@other.test").expect("an address"),
            ],
        };
        let all = LocalGroup {
            entry: local("all@example.test"),
            members: Vec::new(),
        };
        let exported = export(&config(), "store1.test", &[alice, bob], &[staff, all]).expect("entries");
        let expected = "\
dn: uid=alice,ou=Users,dc=t
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
objectClass: homingAccount
uid: alice
cn: Alice B. Example
sn: Example
mail: alice@example.test
displayName: Alice B. Example
mailLocalAddress: al@example.test
mailHost: store1.test
homingQuota: 5

dn: uid=b\\,ob,ou=Users,dc=t
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
objectClass: homingAccount
uid: b,ob
cn: b,ob
sn: b,ob
mail: \"b,ob\"@example.test
mailHost: store1.test
homingEnabled: FALSE

dn: cn=staff,ou=Groups,dc=t
objectClass: groupOfNames
objectClass: homingGroup
objectClass: inetLocalMailRecipient
cn: staff
member: uid=alice,ou=Users,dc=t
member: cn=all,ou=Groups,dc=t
mail: staff@example.test
mailHost: store1.test

dn: cn=all,ou=Groups,dc=t
objectClass: groupOfNames
objectClass: homingGroup
objectClass: inetLocalMailRecipient
cn: all
member: cn=no-member,ou=Groups,dc=t
mail: all@example.test
mailHost: store1.test

";
        assert_eq!(text(&exported), expected);
        assert_eq!(
            exported.notes,
            ["staff@example.test: its member else@other.test has no entry here"]
        );
    }

    #[test]
    fn domains_that_share_a_base_do_not_collide_and_mappings_hold() {
        let mut config = config();
        config.attributes.host = Some("associatedDomain".into());
        config.attributes.mail = Some("rfc822Mailbox".into());
        config.groups.base_dn.clear();
        let accounts = [local("alice@a.test"), local("alice@b.test")];
        let group = LocalGroup {
            entry: local("g@a.test"),
            members: Vec::new(),
        };
        let exported = export(&config, "h.test", &accounts, &[group]).expect("entries");
        let dns: Vec<&str> = exported.entries.iter().map(|entry| entry.dn.as_str()).collect();
        assert_eq!(
            dns,
            [
                "rfc822Mailbox=alice@a.test,ou=Users,dc=t",
                "rfc822Mailbox=alice@b.test,ou=Users,dc=t"
            ]
        );
        let first = exported.entries.first().expect("an entry");
        assert_eq!(first.first_str("associatedDomain"), Some("h.test"));
        assert!(!first.has_object_class("inetLocalMailRecipient"));
        assert_eq!(
            exported.notes,
            ["1 groups are left out: groups.base_dn is not set"]
        );
    }
}
