//! Local accounts and groups as entries of a directory (`homing directory ldif`), by the connector's mapping.
//!
//! Pure: names in, entries out. Passwords are not among them.

use crate::config::{ConnectorConfig, ServerType};
use crate::patterns::EntryKind;
use crate::write::{MailObject, NewEntry, Schema, Vocabulary};
use ldap::Entry;
use model::{Address, ConfigProblem, Domain};
use std::collections::HashMap;

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

/// Writes accounts and groups as [`Vocabulary::entry`] creates them; `host` is the server that holds their mail.
pub fn export(
    config: &ConnectorConfig,
    host: &str,
    accounts: &[LocalEntry],
    groups: &[LocalGroup],
) -> Result<Exported, Vec<ConfigProblem>> {
    let vocabulary = Vocabulary::new(config)?;
    if config.server_type == ServerType::ActiveDirectory {
        let message = "accounts of Active Directory are created with its own tools, not from LDIF";
        return Err(vec![ConfigProblem::new("server_type", message)]);
    }
    let all = accounts.iter().chain(groups.iter().map(|group| &group.entry));
    let mut domains = config.domains.clone();
    domains.extend(all.map(|entry| entry.address.domain()));
    domains.sort_unstable();
    domains.dedup();
    let mut writer = Writer {
        vocabulary: &vocabulary,
        host,
        domains,
        out: Exported::default(),
        dns: HashMap::new(),
    };
    for account in accounts {
        writer.account(account);
    }
    if config.groups.base_dn.is_empty() {
        if !groups.is_empty() {
            let note = format!("{} groups are left out: groups.base_dn is not set", groups.len());
            writer.out.notes.push(note);
        }
        return Ok(writer.out);
    }
    // Groups may hold groups, in any order.
    for group in groups {
        let object = writer.object(EntryKind::Group, &group.entry);
        if let Ok(new) = vocabulary.entry(&object, &writer.domains, &Schema::everything()) {
            writer.know(&group.entry.address, &new.entry);
        }
    }
    for group in groups {
        writer.group(group);
    }
    Ok(writer.out)
}

struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    host: &'a str,
    /// All domains that have something here: two that share a place must not collide.
    domains: Vec<Domain>,
    out: Exported,
    /// The DN of each address.
    dns: HashMap<String, String>,
}

impl Writer<'_> {
    fn object(&self, kind: EntryKind, local: &LocalEntry) -> MailObject {
        let mut object = MailObject::new(kind, local.address.clone());
        object.aliases.clone_from(&local.aliases);
        object.display_name.clone_from(&local.display_name);
        object.quota = local.quota;
        object.disabled = local.disabled;
        object.host = Some(self.host.to_owned());
        object
    }

    fn know(&mut self, address: &Address, entry: &NewEntry) {
        self.dns.insert(address.key(), entry.dn().to_string());
    }

    fn account(&mut self, account: &LocalEntry) {
        let object = self.object(EntryKind::Account, account);
        if let Some(entry) = self.write(&object) {
            self.know(&account.address, &entry);
        }
    }

    fn group(&mut self, group: &LocalGroup) {
        let mut object = self.object(EntryKind::Group, &group.entry);
        for member in &group.members {
            match self.dns.get(&member.key()) {
                Some(dn) => object.members.push(dn.clone()),
                None => {
                    let note = format!("{}: its member {member} has no entry here", group.entry.address);
                    self.out.notes.push(note);
                }
            }
        }
        self.write(&object);
    }

    fn write(&mut self, object: &MailObject) -> Option<NewEntry> {
        // What the server knows is not asked: the file may be for another one.
        let new = match self
            .vocabulary
            .entry(object, &self.domains, &Schema::everything())
        {
            Ok(new) => new,
            Err(error) => {
                self.out.notes.push(format!("{}: {error}", object.address));
                return None;
            }
        };
        for attribute in new.left_out {
            let note = format!("{}: set {attribute} by hand", object.address);
            self.out.notes.push(note);
        }
        self.out.entries.push(Entry {
            dn: new.entry.dn().to_string(),
            attributes: new.entry.attributes.clone(),
        });
        Some(new.entry)
    }
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
homingQuota: 5
mail: alice@example.test
displayName: Alice B. Example
mailLocalAddress: al@example.test
mailHost: store1.test

dn: uid=b\\,ob,ou=Users,dc=t
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
objectClass: homingAccount
uid: b,ob
cn: b,ob
sn: b,ob
mail: b,ob@example.test
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
    fn entries_stand_where_synchronisation_would_put_them() {
        let mut config = config();
        config.accounts.create_under = Some("ou=Users,ou=%d,dc=t".into());
        config.accounts.rdn = Some("cn=%e".into());
        config.groups.object_class = Some("groupOfMembers".into());
        config.attributes.enabled = Some(crate::config::EnabledConfig {
            attribute: "lockedBy".into(),
            kind: crate::config::EnabledKind::Present,
            mask: 2,
            invert: false,
        });
        let mut alice = local("alice@example.test");
        alice.disabled = Disabled::Yes;
        let group = LocalGroup {
            entry: local("g@example.test"),
            members: Vec::new(),
        };
        let exported = export(&config, "h.test", &[alice], &[group]).expect("entries");
        let (account, group) = (&exported.entries[0], &exported.entries[1]);
        assert_eq!(account.dn, "cn=alice@example.test,ou=Users,ou=example.test,dc=t");
        assert!(group.get("member").is_empty(), "this class needs none");
        assert_eq!(exported.notes, ["alice@example.test: set lockedBy by hand"]);
    }

    #[test]
    fn domains_that_share_a_base_do_not_collide_and_mappings_hold() {
        let mut config = config();
        config.attributes.host = Some("associatedDomain".into());
        config.attributes.mail = Some("rfc822Mailbox".into());
        config.attributes.aliases = Some("otherMailbox".into());
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
        // The server may not know our schema, and need not.
        assert!(!first.has_object_class("homingAccount"));
        assert!(!first.has_object_class("inetLocalMailRecipient"));
        assert_eq!(
            exported.notes,
            ["1 groups are left out: groups.base_dn is not set"]
        );
    }
}
