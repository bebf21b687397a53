//! A slapd full of people, and the probes that ask it.

use crate::compare::Values;
use crate::machine::{children_cpu_seconds, cores};
use crate::probe::{Answer, Job, Library, Task};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use testkit::{HomingBinary, Scratch, Slapd, SlapdOptions};

/// The domain of everybody.
const DOMAIN: &str = "localdomain.test";
/// The password of everybody.
const PASSWORD: &str = "correct horse";

/// Everything that the contests need.
#[derive(Debug)]
pub(super) struct Directory {
    slapd: Slapd,
    scratch: Scratch,
    pub(super) people: usize,
    addresses: Vec<String>,
    users_dn: String,
}

impl Directory {
    /// Starts slapd with so many people in it, on the second processor when there are two.
    pub(super) fn start(binary: &HomingBinary, people: usize) -> Result<Self> {
        let suffix = "dc=localdomain,dc=test".to_owned();
        let users_dn = format!("ou=Users,o=localdomain,{suffix}");
        let stored = ssha(PASSWORD);
        let mut ldif = String::with_capacity(people * 420);
        let mut addresses = Vec::with_capacity(people);
        for number in 0..people {
            let uid = format!("person{number:07}");
            let address = format!("{uid}@{DOMAIN}");
            write!(
                ldif,
                "dn: uid={uid},{users_dn}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
                 objectClass: homingAccount\nuid: {uid}\ncn: Person {number}\ndisplayName: Person {number}\n\
                 givenName: Person\nsn: {number}\nmail: {address}\nmailLocalAddress: first.{uid}@{DOMAIN}\n\
                 mailLocalAddress: second.{uid}@{DOMAIN}\nmailHost: store{}.{DOMAIN}\nuserPassword: {stored}\n\n",
                number % 4
            )?;
            addresses.push(address);
        }
        let options = SlapdOptions { suffix, port: 0 };
        let slapd = Slapd::start(binary, &options, &ldif)?;
        let directory = Self {
            slapd,
            scratch: Scratch::new()?,
            people,
            addresses,
            users_dn,
        };
        directory.pin()?;
        Ok(directory)
    }

    /// Client and server do not take each other's processor.
    fn pin(&self) -> Result<()> {
        let child = self.slapd.child().context("slapd runs")?;
        if cores() < 2 {
            return Ok(());
        }
        let done = Command::new("taskset")
            .args(["-a", "-c", "-p", "1", &child.id().to_string()])
            .stdout(Stdio::null())
            .status()
            .context("taskset")?;
        ensure!(done.success(), "taskset could not pin slapd");
        Ok(())
    }

    fn client(program: &std::path::Path) -> Command {
        if cores() < 2 {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    }

    fn job(&self, library: Library, task: Task) -> Result<Job> {
        let folder = self.scratch.folder("map")?;
        // Each probe fills its map itself: an old snapshot would be a head start.
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir(&folder)?;
        Ok(Job {
            task,
            library,
            connector: serde_json::json!({
                "name": "bench",
                "uris": [self.slapd.uri()],
                "server_type": "openldap",
                "bind_dn": self.slapd.reader.dn,
                "bind_password": self.slapd.reader.password,
                "timeout": 60,
                "accounts": {"base_dn": [self.users_dn], "object_class": super::OBJECT_CLASS},
            }),
            writer_dn: self.slapd.root.dn.clone(),
            writer_password: self.slapd.root.password.clone(),
            addresses: self.addresses.clone(),
            password: PASSWORD.to_owned(),
            users_dn: self.users_dn.clone(),
            folder: folder.display().to_string(),
        })
    }

    /// Runs a probe to its end.
    pub(super) fn probe(&self, library: Library, task: Task) -> Result<Answer> {
        let job = serde_json::to_string(&self.job(library, task)?)?;
        let mut child = Self::client(&std::env::current_exe()?)
            .arg("probe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the probe")?;
        child
            .stdin
            .take()
            .context("the probe's input")?
            .write_all(job.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("the probe ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("the probe's answer is not understood")
    }

    /// ldapsearch with the same rights; its output is thrown away. Seconds and CPU seconds.
    pub(super) fn ldapsearch(&self, more: &[&str], input: Option<&str>) -> Result<(f64, f64)> {
        let secret = self.scratch.write("reader", &self.slapd.reader.password)?;
        let uri = self.slapd.uri();
        let mut command = Self::client(&PathBuf::from("ldapsearch"));
        command
            .args(["-x", "-LLL", "-H", &uri, "-D", &self.slapd.reader.dn, "-y"])
            .arg(secret)
            .args(["-b", &self.users_dn])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        if let Some(input) = input {
            let file = self.scratch.write("filters", input)?;
            // A pattern must begin with a parenthesis, or it is taken for the name of an attribute.
            command.arg("-f").arg(file).arg("(%s)");
        } else {
            command.arg(format!("(objectClass={})", super::OBJECT_CLASS));
        }
        command.args(super::ATTRIBUTES);
        let cpu = children_cpu_seconds()?;
        let began = began();
        let output = command.output().context("ldapsearch")?;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(
            output.status.success(),
            "ldapsearch: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((seconds, children_cpu_seconds()? - cpu))
    }

    /// Filters for `count` people in no order, a line each, without the outer parentheses.
    pub(super) fn filters(&self, count: usize) -> String {
        let mut shuffle = crate::probe::Shuffle::new(11);
        let mut text = String::new();
        for _ in 0..count {
            if let Some(address) = self.addresses.get(shuffle.next(self.addresses.len())) {
                let filter = super::filter(address);
                let inner = filter.trim_start_matches('(');
                let _ = writeln!(text, "{}", inner.strip_suffix(')').unwrap_or(inner));
            }
        }
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn began() -> Instant {
    Instant::now()
}

/// One value for each name.
pub(super) fn values<const N: usize>(pairs: [(&'static str, f64); N]) -> Values {
    Values::from(pairs)
}

/// `{SSHA}`, with a fixed salt: every run stores the same.
fn ssha(password: &str) -> String {
    use base64::Engine;
    use sha1::{Digest, Sha1};
    let salt = b"benches!";
    let mut bytes = Sha1::new()
        .chain_update(password)
        .chain_update(salt)
        .finalize()
        .to_vec();
    bytes.extend_from_slice(salt);
    format!(
        "{{SSHA}}{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    )
}
