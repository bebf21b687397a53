//! The directory of the soak: a slapd with a short session log, an editor of its entries, and a look at all of them.

use super::talk::{Edit, Person, Side, Team};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use ldap::message::{Add, Modify, ModifyDn};
use ldap::{
    Attribute, Client, ConnectOptions, Dn, Entry, Filter, LdapError, LdapUri, Modification, ModifyOperation,
    ResultCode, Scope, SearchRequest, Values,
};
use model::Secret;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{HomingBinary, Slapd, SlapdOptions};
use tokio::runtime::Runtime;

pub(super) const DOMAIN: &str = "localdomain.test";
const SUFFIX: &str = "dc=localdomain,dc=test";
const BASE: &str = "o=localdomain,dc=localdomain,dc=test";
/// Changes that the session log remembers: few, so that it overflows.
const SESSION_LOG: usize = 50;
/// Attempts of an edit whose entry changes under it.
const ATTEMPTS: usize = 20;
/// More entries than there ever are.
const MOST: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where people live.
const PLACES: [&str; 2] = ["ou=Users", "ou=East,ou=Users"];

pub(super) struct Directory {
    pub(super) slapd: Slapd,
    runtime: Runtime,
    client: Option<Client>,
}

/// How an edit ended.
#[derive(Debug)]
pub(super) enum Wrote {
    /// Done; the values that it replaced.
    Done(Vec<String>),
    /// Not done, and why.
    Refused(String),
    /// Nobody knows: the server was killed meanwhile. The values that it would have replaced.
    Unknown(Vec<String>),
}

impl Directory {
    pub(super) fn start(binary: &HomingBinary, people: usize, teams: usize) -> Result<Self> {
        let mut ldif = format!("dn: ou=East,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: East\n\n");
        for number in 0..people {
            ldif.push_str(&format!(
                "dn: uid=p{number},ou=Users,{BASE}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
                 objectClass: homingAccount\nuid: p{number}\ncn: p{number}\nsn: Person\ndisplayName: first {number}\n\
                 mail: p{number}@{DOMAIN}\n\n"
            ));
        }
        for number in 0..teams {
            ldif.push_str(&format!(
                "dn: cn=team{number},ou=Groups,{BASE}\nobjectClass: groupOfNames\nobjectClass: homingGroup\n\
                 cn: team{number}\nmail: team{number}@{DOMAIN}\nmember: uid=p{number},ou=Users,{BASE}\n\n"
            ));
        }
        let options = SlapdOptions {
            suffix: SUFFIX.to_owned(),
            port: 0,
        };
        let mut slapd = Slapd::start(binary, &options, &ldif)?;
        let config = slapd.config();
        let text = std::fs::read_to_string(&config)?;
        let lines = text.lines().map(|line| {
            if line.starts_with("syncprov-sessionlog") {
                format!("syncprov-sessionlog {SESSION_LOG}\n")
            } else {
                format!("{line}\n")
            }
        });
        std::fs::write(&config, lines.collect::<String>())?;
        slapd.restart()?;
        Ok(Self {
            slapd,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client: None,
        })
    }

    /// The connector of the mail server.
    pub(super) fn connector(&self, resolution: &str, scope: &str) -> serde_json::Value {
        serde_json::json!({
            "name": "people",
            "uris": [self.slapd.uri()],
            "server_type": "openldap",
            "bind_dn": self.slapd.reader.dn,
            "bind_password": self.slapd.reader.password,
            "write_bind_dn": self.slapd.writer.dn,
            "write_bind_password": self.slapd.writer.password,
            "accounts": { "base_dn": [format!("ou=Users,{BASE}")] },
            "groups": { "base_dn": [format!("ou=Groups,{BASE}")] },
            "domains": [DOMAIN],
            "direction": "both-ways",
            "conflict_resolution": resolution,
            "conflict_scope": scope,
            "on_delete": "delete",
            "absent": "clear",
            "ask_first": false,
            "timeout": 2,
            // Deletions are many here, and the guard is not what is looked at.
            "guard": { "limit": 1_000_000, "floor": 1_000_000, "percent": 100 },
            "writes": { "rate": 0 },
        })
    }

    /// A connection that works, or an error within a moment.
    fn client(&mut self) -> Result<Client> {
        if let Some(client) = self.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let (uri, root) = (self.slapd.uri(), self.slapd.root.clone());
        let client = self.runtime.block_on(async {
            let client = Client::connect(&ConnectOptions::new(LdapUri::parse(&uri)?)).await?;
            client
                .bind_simple(&root.dn, &Secret::new(root.password), &[])
                .await?;
            anyhow::Ok(client)
        })?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn search(&mut self, base: &str, filter: &str, attributes: &[&str]) -> Result<Vec<Entry>> {
        let client = self.client()?;
        let request = SearchRequest::new(base, Scope::Subtree, Filter::parse(filter)?)
            .attributes(attributes.iter().map(|name| (*name).to_owned()));
        Ok(self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, client.search_all(request, MOST)).await })
            .context("slapd does not answer")??)
    }

    fn find(&mut self, filter: &str) -> Result<Option<Entry>> {
        let wanted = [
            "mail",
            "displayName",
            "homingQuota",
            "homingEnabled",
            "mailLocalAddress",
        ];
        Ok(self.search(BASE, filter, &wanted)?.into_iter().next())
    }

    pub(super) fn create(&mut self, address: &str, name: &str, east: bool) -> Result<Wrote> {
        let uid = address.split('@').next().unwrap_or_default();
        let [users, far] = PLACES;
        let place = if east { far } else { users };
        let attribute = |name: &str, values: &[&str]| {
            let values: Vec<Bytes> = values
                .iter()
                .map(|value| Bytes::from((*value).to_owned()))
                .collect();
            Attribute::new(name, Values::from(values))
        };
        let add = Add {
            dn: format!("uid={uid},{place},{BASE}"),
            attributes: vec![
                attribute(
                    "objectClass",
                    &["inetOrgPerson", "inetLocalMailRecipient", "homingAccount"],
                ),
                attribute("uid", &[uid]),
                attribute("cn", &[uid]),
                attribute("sn", &["Person"]),
                attribute("displayName", &[name]),
                attribute("mail", &[address]),
            ],
        };
        let client = self.client()?;
        let done = self.runtime.block_on(client.add(add, &[])).map(drop);
        Ok(outcome(done, Vec::new()))
    }

    /// An edit on the values that were read: slapd refuses it when they have changed, and it is made again.
    pub(super) fn edit(&mut self, address: &str, edit: &Edit) -> Result<Wrote> {
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.find(&format!("(mail={address})"))? else {
                return Ok(Wrote::Refused("nobody has this address".to_owned()));
            };
            let client = self.client()?;
            let (changes, replaced) = match changes(&entry, edit) {
                Some(changes) => changes,
                None if *edit == Edit::Delete => {
                    let done = self.runtime.block_on(client.delete(entry.dn, &[])).map(drop);
                    return Ok(outcome(done, Vec::new()));
                }
                None => return Ok(Wrote::Refused("nothing to change".to_owned())),
            };
            let modify = Modify {
                dn: entry.dn,
                changes,
            };
            match self.runtime.block_on(client.modify(modify, &[])).map(drop) {
                Err(error) if is_stale(&error) => {}
                done => return Ok(outcome(done, replaced)),
            }
        }
        Ok(Wrote::Refused(
            "the entry changes faster than it can be edited".to_owned(),
        ))
    }

    /// The same, with slapd killed so soon after the request.
    pub(super) fn edit_and_die(&mut self, address: &str, edit: &Edit, after: Duration) -> Result<Wrote> {
        let Some(entry) = self.find(&format!("(mail={address})"))? else {
            self.slapd.kill()?;
            return Ok(Wrote::Refused("nobody has this address".to_owned()));
        };
        let Some((changes, replaced)) = changes(&entry, edit) else {
            self.slapd.kill()?;
            return Ok(Wrote::Refused("nothing to change".to_owned()));
        };
        let client = self.client()?;
        let modify = Modify {
            dn: entry.dn,
            changes,
        };
        let slapd = &mut self.slapd;
        let (done, killed) = self.runtime.block_on(async {
            let task = tokio::spawn(async move { client.modify(modify, &[]).await.map(drop) });
            tokio::time::sleep(after).await;
            let killed = slapd.kill();
            (task.await, killed)
        });
        killed?;
        self.client = None;
        Ok(outcome(done?, replaced))
    }

    /// Puts an entry into the other place, or gives it another name.
    pub(super) fn rename(&mut self, address: &str, name: &str, east: Option<bool>) -> Result<Wrote> {
        let Some(entry) = self.find(&format!("(mail={address})"))? else {
            return Ok(Wrote::Refused("nobody has this address".to_owned()));
        };
        let [users, far] = PLACES;
        let rename = ModifyDn {
            dn: entry.dn,
            new_rdn: format!("uid={name}"),
            delete_old_rdn: true,
            new_superior: east.map(|east| format!("{},{BASE}", if east { far } else { users })),
        };
        let client = self.client()?;
        let done = self.runtime.block_on(client.modify_dn(rename, &[])).map(drop);
        Ok(outcome(done, Vec::new()))
    }

    /// Adds a member to a group, or takes it out.
    pub(super) fn member(&mut self, group: &str, address: &str, operation: ModifyOperation) -> Result<Wrote> {
        let (Some(team), Some(person)) = (
            self.find(&format!("(&(objectClass=groupOfNames)(mail={group}))"))?,
            self.find(&format!("(&(objectClass=inetOrgPerson)(mail={address}))"))?,
        ) else {
            return Ok(Wrote::Refused("one of them is not there".to_owned()));
        };
        let modify = Modify {
            dn: team.dn,
            changes: vec![swap(operation, "member", &person.dn)],
        };
        let client = self.client()?;
        let done = self.runtime.block_on(client.modify(modify, &[])).map(drop);
        Ok(outcome(done, Vec::new()))
    }

    pub(super) fn look(&mut self) -> Result<Side> {
        let wanted = [
            "mail",
            "displayName",
            "homingQuota",
            "homingEnabled",
            "mailLocalAddress",
        ];
        let found = self.search(
            &format!("ou=Users,{BASE}"),
            "(objectClass=inetOrgPerson)",
            &wanted,
        )?;
        let mut names = BTreeMap::new();
        let mut side = Side::default();
        for entry in &found {
            let address = entry.first_str("mail").unwrap_or_default().to_owned();
            names.insert(canonical(&entry.dn), address.clone());
            side.people.push(Person {
                address,
                name: entry.first_str("displayName").map(str::to_owned),
                // 0 is how the directory says "no limit".
                quota: entry
                    .first_str("homingQuota")
                    .and_then(|text| text.parse().ok())
                    .filter(|quota| *quota > 0),
                enabled: entry.first_str("homingEnabled") != Some("FALSE"),
                aliases: entry.strings("mailLocalAddress").map(str::to_owned).collect(),
            });
        }
        let found = self.search(
            &format!("ou=Groups,{BASE}"),
            "(objectClass=groupOfNames)",
            &["mail", "member"],
        )?;
        for entry in &found {
            let members = entry.strings("member").filter_map(|dn| names.get(&canonical(dn)));
            side.teams.push(Team {
                address: entry.first_str("mail").unwrap_or_default().to_owned(),
                members: members.cloned().collect(),
            });
        }
        side.people.sort_by(|a, b| a.address.cmp(&b.address));
        side.teams.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(side)
    }

    /// It stands still as long as nobody writes.
    pub(super) fn version(&mut self) -> Result<String> {
        let found = self.search(SUFFIX, "(objectClass=dcObject)", &["contextCSN"])?;
        let csn = found.first().and_then(|entry| entry.first_str("contextCSN"));
        csn.map(str::to_owned).context("the directory has no contextCSN")
    }

    /// Whoever had a connection has none any more.
    pub(super) fn hang_up(&mut self) {
        self.client = None;
    }
}

fn canonical(dn: &str) -> String {
    Dn::parse(dn).map_or_else(|_| dn.to_lowercase(), |dn| dn.to_string().to_lowercase())
}

/// The modifications by value, and what they replace. None: nothing to change.
fn changes(entry: &Entry, edit: &Edit) -> Option<(Vec<Modification>, Vec<String>)> {
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
    match edit {
        Edit::Name(name) => exchange("displayName", name),
        Edit::Quota(quota) => exchange("homingQuota", &quota.to_string()),
        Edit::Enabled(enabled) => exchange("homingEnabled", if *enabled { "TRUE" } else { "FALSE" })
            .map(|(all, _)| (all, Vec::new())),
        Edit::Address(new) => exchange("mail", new),
        Edit::AddAlias(alias) => Some((
            vec![swap(ModifyOperation::Add, "mailLocalAddress", alias)],
            Vec::new(),
        )),
        Edit::DropAlias(alias) => Some((
            vec![swap(ModifyOperation::Delete, "mailLocalAddress", alias)],
            Vec::new(),
        )),
        Edit::Delete => None,
    }
}

fn swap(operation: ModifyOperation, attribute: &str, value: &str) -> Modification {
    Modification::new(
        operation,
        Attribute::new(attribute, Values::one(value.to_owned().into())),
    )
}

/// A value that was to be deleted is not there, or one that was to be added is.
fn is_stale(error: &LdapError) -> bool {
    matches!(
        error.code(),
        Some(ResultCode::NoSuchAttribute | ResultCode::AttributeOrValueExists | ResultCode::NoSuchObject)
    )
}

fn outcome(done: Result<(), LdapError>, replaced: Vec<String>) -> Wrote {
    match done {
        Ok(()) => Wrote::Done(replaced),
        Err(error) if error.code().is_some() => Wrote::Refused(error.to_string()),
        Err(_) => Wrote::Unknown(replaced),
    }
}

impl Directory {
    /// Starts slapd again after it was stopped or killed.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.hang_up();
        self.slapd.restart()?;
        self.client().map(drop)
    }

    pub(super) fn freeze_for(&self, span: Duration) -> Result<()> {
        let Some(child) = self.slapd.child() else {
            bail!("slapd does not run")
        };
        child.freeze();
        crate::clock::pause(span);
        child.thaw();
        Ok(())
    }
}
