//! The directory of the soak: an editor of its entries, and a look at all of them.

mod server;
mod words;

use super::side::{Edit, Seating, Side, Team, Wrote};
use anyhow::{Context, Result, bail};
use ldap::message::{Add, Modify, ModifyDn};
use ldap::{
    Client, ConnectOptions, Entry, Filter, LdapError, LdapUri, ModifyOperation, ResultCode, Scope,
    SearchRequest,
};
use model::Secret;
use server::Server;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::HomingBinary;
use tokio::runtime::Runtime;
pub(crate) use words::Kind;
use words::{Words, canonical, swap};

pub(super) const DOMAIN: &str = "localdomain.test";
/// Attempts of an edit whose entry changes under it.
const ATTEMPTS: usize = 20;
/// More entries than there ever are.
const MOST: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Directory {
    server: Server,
    words: Words,
    /// Whether entries say which back end people live on.
    several: bool,
    runtime: Runtime,
    client: Option<Client>,
}

/// Where somebody new is put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// In the second of the places for people.
    pub(super) east: bool,
    /// The back end, where there are several.
    pub(super) home: Option<&'a str>,
}

impl Directory {
    /// Starts it with so many people, in turns on the back ends, and groups.
    pub(super) fn start(
        binary: &HomingBinary,
        kind: Kind,
        (people, teams): (usize, usize),
        homes: &[String],
    ) -> Result<Self> {
        let (server, words) = Server::start(binary, kind)?;
        let mut directory = Self {
            server,
            words,
            several: homes.len() > 1,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client: None,
        };
        directory.restart()?;
        for number in 0..people {
            let home = homes.get(number % homes.len().max(1)).map(String::as_str);
            let place = Place { east: false, home };
            let address = format!("p{number}@{DOMAIN}");
            match directory.create(&address, &format!("first {number}"), place)? {
                Wrote::Done(_) => {}
                other => bail!("{address} cannot be created: {other:?}"),
            }
        }
        for number in 0..teams {
            let [users, _] = &directory.words.places;
            let member = format!("{},{users}", directory.words.rdn(&format!("p{number}")));
            let (dn, attributes) = directory.words.team(&format!("team{number}"), &member);
            let client = directory.client()?;
            directory
                .runtime
                .block_on(client.add(Add { dn, attributes }, &[]))?;
        }
        Ok(directory)
    }

    /// The connector of a back end, as lines of its configuration.
    pub(super) fn connector(&self) -> String {
        self.server.connector(&self.words)
    }

    pub(super) fn is_up(&self) -> bool {
        self.server.child().is_some()
    }

    /// A connection that works, or an error within a moment.
    fn client(&mut self) -> Result<Client> {
        if let Some(client) = self.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let (uri, who) = self.server.editor();
        let client = self.runtime.block_on(async {
            let client = Client::connect(&ConnectOptions::new(LdapUri::parse(&uri)?)).await?;
            client
                .bind_simple(&who.dn, &Secret::new(who.password), &[])
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
            .context("the directory does not answer")??)
    }

    /// The entry of this class with this address.
    fn find(&mut self, class: &str, address: &str) -> Result<Option<Entry>> {
        let (base, wanted) = (self.words.base.clone(), self.words.wanted());
        let filter = format!("(&(objectClass={class})(mail={address}))");
        Ok(self.search(&base, &filter, &wanted)?.into_iter().next())
    }

    fn person(&mut self, address: &str) -> Result<Option<Entry>> {
        self.find(self.words.person, address)
    }

    pub(super) fn create(&mut self, address: &str, name: &str, place: Place<'_>) -> Result<Wrote> {
        let home = place.home.filter(|_| self.several);
        let (dn, attributes) = self.words.person(address, name, (usize::from(place.east), home));
        let client = self.client()?;
        let done = self.runtime.block_on(client.add(Add { dn, attributes }, &[]));
        Ok(outcome(done.map(drop), Vec::new()))
    }

    /// An edit on the values that were read: the directory refuses it when they have changed, and it is made again.
    pub(super) fn edit(&mut self, address: &str, edit: &Edit) -> Result<Wrote> {
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.person(address)? else {
                return Ok(Wrote::Refused("nobody has this address".to_owned()));
            };
            let client = self.client()?;
            let (changes, replaced) = match self.words.changes(&entry, edit) {
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

    /// The same, with the directory killed so soon after the request.
    pub(super) fn edit_and_die(&mut self, address: &str, edit: &Edit, after: Duration) -> Result<Wrote> {
        let entry = self.person(address)?;
        let changes = entry.and_then(|entry| Some((self.words.changes(&entry, edit)?, entry.dn)));
        let Some(((changes, replaced), dn)) = changes else {
            self.kill()?;
            return Ok(Wrote::Refused("nothing to change".to_owned()));
        };
        let client = self.client()?;
        let modify = Modify { dn, changes };
        let server = &mut self.server;
        let (done, killed) = self.runtime.block_on(async {
            let task = tokio::spawn(async move { client.modify(modify, &[]).await.map(drop) });
            tokio::time::sleep(after).await;
            let killed = server.kill();
            (task.await, killed)
        });
        killed?;
        self.client = None;
        Ok(outcome(done?, replaced))
    }

    /// Puts an entry into the other place, or gives it another name.
    pub(super) fn rename(&mut self, address: &str, name: &str, east: Option<bool>) -> Result<Wrote> {
        let Some(entry) = self.person(address)? else {
            return Ok(Wrote::Refused("nobody has this address".to_owned()));
        };
        let [users, far] = &self.words.places;
        let rename = ModifyDn {
            dn: entry.dn,
            new_rdn: self.words.rdn(name),
            delete_old_rdn: true,
            new_superior: east.map(|east| if east { far } else { users }.clone()),
        };
        let client = self.client()?;
        let done = self.runtime.block_on(client.modify_dn(rename, &[])).map(drop);
        Ok(outcome(done, Vec::new()))
    }

    /// Adds a member to a group, or takes it out.
    pub(super) fn member(&mut self, group: &str, address: &str, seating: Seating) -> Result<Wrote> {
        let class = self.words.team;
        let (Some(team), Some(person)) = (self.find(class, group)?, self.person(address)?) else {
            return Ok(Wrote::Refused("one of them is not there".to_owned()));
        };
        let operation = match seating {
            Seating::Joins => ModifyOperation::Add,
            Seating::Leaves => ModifyOperation::Delete,
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
        let words = self.words.clone();
        let [users, _] = &words.places;
        let class = format!("(objectClass={})", words.person);
        let found = self.search(users, &class, &words.wanted())?;
        let mut names = BTreeMap::new();
        let mut side = Side::default();
        for entry in &found {
            let person = words.read(entry, self.several);
            names.insert(canonical(&entry.dn), person.address.clone());
            side.people.push(person);
        }
        let class = format!("(objectClass={})", words.team);
        let found = self.search(&words.teams, &class, &["mail", "member"])?;
        for entry in &found {
            let members = entry.strings("member").filter_map(|dn| names.get(&canonical(dn)));
            side.teams.push(Team {
                address: entry.first_str("mail").unwrap_or_default().to_owned(),
                members: members.cloned().collect(),
            });
        }
        Ok(side.sort())
    }

    /// It stands still as long as nobody writes people and groups.
    pub(super) fn version(&mut self) -> Result<String> {
        let base = self.words.base.clone();
        let names = ["entryCSN", "uSNChanged"];
        let found = self.search(&base, "(mail=*)", &names)?;
        let last = found.iter().flat_map(|entry| {
            let first = names.iter().find_map(|name| entry.first_str(name));
            // Numbers are compared as numbers: padded.
            first.map(|text| format!("{text:0>40}"))
        });
        let last = last.max().context("entries have no versions")?;
        Ok(format!("{last} of {}", found.len()))
    }

    /// Starts it again after it was stopped or killed.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.client = None;
        if self.server.child().is_none() {
            self.server.restart()?;
        }
        self.client().map(drop)
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        self.client = None;
        self.server.stop()
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.client = None;
        self.server.kill()
    }

    pub(super) fn freeze_for(&self, span: Duration) -> Result<()> {
        let Some(child) = self.server.child() else {
            bail!("the directory does not run")
        };
        child.freeze();
        crate::clock::pause(span);
        child.thaw();
        Ok(())
    }
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
