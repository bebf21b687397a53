//! A slapd full of people, the product that synchronises with it, and the peers of the package ldap-utils.

use crate::api::Api;
use crate::clock::{now, pause};
use crate::directory::{ATTRIBUTES, OBJECT_CLASS};
use crate::machine::{anonymous_kib, cpu_seconds};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Homing, HomingBinary, Scratch, Slapd, SlapdOptions, free_port};

const DOMAIN: &str = "localdomain.test";
/// The connector's name.
const CONNECTOR: &str = "bench";
/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(2);

/// The directory.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) slapd: Slapd,
    scratch: Scratch,
    binary: HomingBinary,
    pub(super) people: usize,
    pub(super) users_dn: String,
}

impl Site {
    /// Starts slapd with so many people in it. Its commits, and those of the product, take so much longer.
    pub(super) fn start(binary: &HomingBinary, people: usize, slower: Duration) -> Result<Self> {
        let suffix = "dc=localdomain,dc=test".to_owned();
        let users_dn = format!("ou=Users,o=localdomain,{suffix}");
        let mut ldif = String::with_capacity(people * 420);
        for number in 0..people {
            let uid = uid(number);
            write!(
                ldif,
                "dn: uid={uid},{users_dn}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
                 objectClass: homingAccount\nuid: {uid}\ncn: Person {number}\ndisplayName: Person {number}\n\
                 givenName: Person\nsn: {number}\nmail: {uid}@{DOMAIN}\nmailLocalAddress: first.{uid}@{DOMAIN}\n\
                 mailLocalAddress: second.{uid}@{DOMAIN}\nmailHost: store{}.{DOMAIN}\n\n",
                number % 4
            )?;
        }
        let options = SlapdOptions { suffix, port: 0 };
        let scratch = Scratch::new()?;
        let (mut slapd, mut binary) = (Slapd::start(binary, &options, &ldif)?, binary.clone());
        if !slower.is_zero() {
            slapd.slow_commits(slower)?;
            binary = binary.with_slow_commits(&scratch, slower)?;
        }
        Ok(Self {
            slapd,
            scratch,
            binary,
            people,
            users_dn,
        })
    }

    pub(super) fn dn(&self, number: usize) -> String {
        format!("uid={},{}", uid(number), self.users_dn)
    }

    /// Somebody's address.
    pub(super) fn address(number: usize) -> String {
        format!("{}@{DOMAIN}", uid(number))
    }

    /// The product with an empty store; `more` is further lines of the connector.
    pub(super) fn homing(&self, more: &str) -> Result<Server> {
        let config = format!(
            "server_name = \"mail.{DOMAIN}\"\n[[imap.listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [[connector]]\nname = \"{CONNECTOR}\"\nserver_type = \"openldap\"\nuris = [\"{uri}\"]\n\
             bind_dn = \"{reader}\"\nbind_password = \"{reader_password}\"\n\
             write_bind_dn = \"{writer}\"\nwrite_bind_password = \"{writer_password}\"\n\
             accounts = {{ base_dn = [\"{users}\"], object_class = \"{OBJECT_CLASS}\" }}\n\
             domains = [\"{DOMAIN}\"]\nask_first = false\n\
             guard = {{ limit = 1000000, floor = 1000000, percent = 100 }}\n{more}\n",
            port = free_port()?,
            uri = self.slapd.uri(),
            reader = self.slapd.reader.dn,
            reader_password = self.slapd.reader.password,
            writer = self.slapd.writer.dn,
            writer_password = self.slapd.writer.password,
            users = self.users_dn,
        );
        Server::start(&self.binary, &config, CONNECTOR)
    }

    /// `ldapsearch` with the reader's rights, for what the product asks for; its output is thrown away. Seconds.
    pub(super) fn refresh(&self) -> Result<f64> {
        let secret = self.scratch.write("reader", &self.slapd.reader.password)?;
        let mut command = Command::new("ldapsearch");
        command
            .args([
                "-x",
                "-LLL",
                "-H",
                &self.slapd.uri(),
                "-D",
                &self.slapd.reader.dn,
                "-y",
            ])
            .arg(secret)
            .args(["-b", &self.users_dn, "-E", "sync=ro"])
            .arg(format!("(objectClass={OBJECT_CLASS})"))
            .args(ATTRIBUTES)
            .stdout(Stdio::null());
        timed(command)
    }

    /// `ldapmodify` of one change after the other, as the writer. Seconds.
    pub(super) fn modify(&self, changes: &str) -> Result<f64> {
        let secret = self.scratch.write("writer", &self.slapd.writer.password)?;
        let file = self.scratch.write("changes.ldif", changes)?;
        let mut command = Command::new("ldapmodify");
        command
            .args(["-x", "-H", &self.slapd.uri(), "-D", &self.slapd.writer.dn, "-y"])
            .arg(secret)
            .arg("-f")
            .arg(file)
            .stdout(Stdio::null());
        timed(command)
    }

    /// How far the directory has come: it stands still as long as nobody writes.
    pub(super) fn context_csn(&self) -> Result<String> {
        let text = self
            .slapd
            .search(&self.slapd.suffix, "(objectClass=dcObject)", &["contextCSN"])?;
        let csn = text.lines().find(|line| line.starts_with("contextCSN"));
        csn.map(str::to_owned).context("the directory has no contextCSN")
    }

    /// CPU seconds of slapd.
    pub(super) fn processor(&self) -> Result<f64> {
        cpu_seconds(&[self.slapd.child().context("it runs")?.id()])
    }

    /// How many people have this filter.
    pub(super) fn count(&self, filter: &str) -> Result<usize> {
        let found = self.slapd.search(&self.users_dn, filter, &["1.1"])?;
        Ok(found.lines().filter(|line| line.starts_with("dn:")).count())
    }
}

/// The product, and a connection to its admin socket.
#[derive(Debug)]
pub(super) struct Server {
    homing: Homing,
    pub(super) api: Api,
    connector: &'static str,
    began: Instant,
}

impl Server {
    pub(super) fn start(binary: &HomingBinary, config: &str, connector: &'static str) -> Result<Self> {
        let began = now();
        let homing = Homing::start(binary, config)?;
        let api = Api::connect(&homing.folder().join("data/admin.sock"))?;
        Ok(Self {
            homing,
            api,
            connector,
            began,
        })
    }

    /// Another connection to the admin socket.
    pub(super) fn connect(&self) -> Result<Api> {
        Api::connect(&self.homing.folder().join("data/admin.sock"))
    }

    /// Seconds since the process was started.
    pub(super) fn age(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub(super) fn process(&self) -> Result<u32> {
        Ok(self.homing.child().context("it runs")?.id())
    }

    /// Memory that it has allocated, in MiB.
    pub(super) fn memory(&self) -> Result<f64> {
        Ok(anonymous_kib(self.process()?)? / 1024.0)
    }

    /// Where the account of an address is in the API.
    pub(super) fn account(number: usize) -> String {
        format!("/v1/accounts/{}", Site::address(number))
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        let path = format!("/v1/sync/{}/start", self.connector);
        self.api.post(&path, &json!({ "yes": true })).map(drop)
    }

    pub(super) fn rest(&mut self) -> Result<()> {
        let path = format!("/v1/sync/{}/stop", self.connector);
        self.api.post(&path, &json!({}))?;
        self.until("it stops", |status| status.state == "stopped")
            .map(drop)
    }

    /// A round that is asked for, to its end.
    pub(super) fn run(&mut self, what: Comparison) -> Result<Status> {
        let path = format!("/v1/sync/{}/run", self.connector);
        let full = what == Comparison::Everything;
        let answer = self.api.post(&path, &json!({ "full": full }))?;
        Ok(Status::of(&answer))
    }

    pub(super) fn status(&mut self) -> Result<Status> {
        let all = self.api.get("/v1/sync")?;
        Ok(Status::of(all.get(0).context("a connector")?))
    }

    /// Waits until the status says so.
    pub(super) fn until(&mut self, what: &str, holds: impl FnMut(&Status) -> bool) -> Result<Status> {
        self.watch(LOOK, what, holds)
    }

    /// The same with so much time between two looks: each costs the process that is measured.
    pub(super) fn watch(
        &mut self,
        every: Duration,
        what: &str,
        mut holds: impl FnMut(&Status) -> bool,
    ) -> Result<Status> {
        let began = now();
        loop {
            let status = self.status()?;
            if holds(&status) {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{what}, it should be within {PATIENCE:?}: {status:?}\n{}",
                    self.homing.log_tail()
                );
            }
            pause(every);
        }
    }

    /// Waits until everybody is here and nothing is left to do.
    pub(super) fn until_linked(&mut self, people: usize) -> Result<Status> {
        let status = self.until("everybody is here", |status| {
            status.state == "following" && status.linked == people as u64
        })?;
        ensure!(status.aside == 0 && status.error.is_none(), "{status:?}");
        Ok(status)
    }
}

/// What a round looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// What the cookie does not cover.
    Changes,
    Everything,
}

/// What is looked at of the status of a connector.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) error: Option<String>,
    pub(super) linked: u64,
    /// In quarantine, and newcomers that wait.
    pub(super) aside: usize,
    pub(super) waiting: u64,
    /// What was changed here and there since the connector was started.
    pub(super) here: u64,
    pub(super) there: u64,
}

impl Status {
    fn of(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let rows = |key: &str| value.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let counts = |keys: &[&str]| -> u64 {
            keys.iter()
                .filter_map(|key| value.pointer(&format!("/counts/{key}")).and_then(Value::as_u64))
                .sum()
        };
        Self {
            state: text("state").unwrap_or_default(),
            error: text("error"),
            linked: value.get("linked").and_then(Value::as_u64).unwrap_or_default(),
            aside: rows("quarantine") + rows("strangers"),
            waiting: value
                .pointer("/outbox/waiting")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            here: counts(&["created", "linked", "updated", "revived", "removed", "moved_away"]),
            there: counts(&["created_there", "updated_there", "deleted_there"]),
        }
    }
}

fn uid(number: usize) -> String {
    format!("person{number:07}")
}

fn timed(mut command: Command) -> Result<f64> {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let began = now();
    let output = command.output().context("ldap-utils is not installed")?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = Status::of(&json!({
            "state": "following", "error": null, "linked": 3, "quarantine": [{}], "strangers": [{}],
            "outbox": {"waiting": 5}, "counts": {"created": 2, "updated": 1, "updated_there": 4, "held": 9},
        }));
        assert_eq!(
            (status.state.as_str(), status.linked, status.aside),
            ("following", 3, 2)
        );
        assert_eq!((status.waiting, status.here, status.there), (5, 3, 4));
        assert_eq!(status.error, None);
    }
}
