//! A real slapd on loopback, with the set-up that `homing directory init --static` writes.

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use crate::{Certificate, HomingBinary, run_with_input};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// What a slapd is to be.
#[derive(Debug, Clone)]
pub struct SlapdOptions {
    /// The suffix, for example `dc=localdomain,dc=test`.
    pub suffix: String,
    /// The port to use; 0 for a free one.
    pub port: u16,
}

/// Somebody who may bind.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The bind DN.
    pub dn: String,
    /// The password.
    pub password: String,
}

/// A running slapd.
#[derive(Debug)]
pub struct Slapd {
    child: Option<Child>,
    scratch: Scratch,
    binary: PathBuf,
    /// What is started: the program itself, or what makes its disk slow.
    server: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its port for TLS from the first byte, when it has a certificate.
    tls_port: Option<u16>,
    /// The suffix.
    pub suffix: String,
    /// The identity that may do everything.
    pub root: Identity,
    /// The identity that reads everything.
    pub reader: Identity,
    /// The identity that reads and writes everything.
    pub writer: Identity,
}

/// Locks an account after so many failed binds, and forgets nothing for an hour.
const POLICY: &str = "\
dn: cn=policy,SUFFIX
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdLockoutDuration: 0
pwdFailureCountInterval: 3600
pwdMinLength: 8
pwdCheckQuality: 1
pwdMaxFailure: ";

impl Slapd {
    /// Writes the set-up with the product's own command, loads `ldif` and starts the server.
    pub fn start(homing: &HomingBinary, options: &SlapdOptions, ldif: &str) -> Result<Self> {
        Self::launch(homing, options, ldif, None, None)
    }

    /// The same with OpenLDAP's password policy: so many failed binds lock an account, and new passwords have eight
    /// characters or more.
    pub fn start_with_lockout(
        homing: &HomingBinary,
        options: &SlapdOptions,
        ldif: &str,
        failures: u32,
    ) -> Result<Self> {
        Self::launch(homing, options, ldif, None, Some(failures))
    }

    /// The same with a certificate: StartTLS on its port, and a second port for `ldaps`.
    pub fn start_with_tls(
        homing: &HomingBinary,
        options: &SlapdOptions,
        ldif: &str,
        certificate: &Certificate,
    ) -> Result<Self> {
        Self::launch(homing, options, ldif, Some(certificate), None)
    }

    fn launch(
        homing: &HomingBinary,
        options: &SlapdOptions,
        ldif: &str,
        certificate: Option<&Certificate>,
        lockout: Option<u32>,
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let binary = unconfined_slapd(&scratch)?;
        let database = scratch.folder("db")?;
        let setup = scratch.folder("setup")?;
        let mut args = ["directory", "init", "--static", "--json", "--suffix"]
            .map(str::to_owned)
            .to_vec();
        args.push(options.suffix.clone());
        let mut files = vec![("--database-dir", &database), ("--output", &setup)];
        if let Some(certificate) = certificate {
            files.push(("--tls-certificate", &certificate.certificate));
            files.push(("--tls-key", &certificate.key));
        }
        for (option, path) in files {
            args.extend([option.to_owned(), path.display().to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let printed = homing.run(&args)?;
        let [root, reader, writer] = identities(&printed)?;
        let port = if options.port == 0 {
            free_port()?
        } else {
            options.port
        };
        let mut slapd = Self {
            child: None,
            server: binary.clone(),
            scratch,
            binary,
            port,
            tls_port: certificate.map(|_| free_port()).transpose()?,
            suffix: options.suffix.clone(),
            root,
            reader,
            writer,
        };
        if let Some(failures) = lockout {
            slapd.lock_after(failures)?;
        }
        for file in ["base.ldif", "identities.ldif"] {
            slapd.load(&setup.join(file))?;
        }
        if lockout.is_some() {
            slapd.load(&slapd.scratch.join("policy.ldif"))?;
        }
        if !ldif.is_empty() {
            let file = slapd.scratch.write("people.ldif", ldif)?;
            slapd.load(&file)?;
        }
        slapd.restart()?;
        Ok(slapd)
    }

    /// `ldap://127.0.0.1:PORT`
    #[must_use]
    pub fn uri(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://127.0.0.1:PORT`, when it has a certificate.
    #[must_use]
    pub fn tls_uri(&self) -> Option<String> {
        self.tls_port.map(|port| format!("ldaps://127.0.0.1:{port}"))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.scratch.join("setup/slapd.conf")
    }

    /// Everything in the database as slapcat prints it, with UUIDs and versions: a backup.
    pub fn backup(&self) -> Result<String> {
        let config = self.config().display().to_string();
        run_with_input(
            &self.tool("slapcat")?,
            &["-o", "ldif_wrap=no", "-f", &config],
            b"",
        )
    }

    /// Stops it and puts a backup, or entries alone, in the place of its database. [`Slapd::restart`] starts it again.
    pub fn restore(&mut self, ldif: &str) -> Result<()> {
        self.stop()?;
        for file in std::fs::read_dir(self.scratch.join("db"))? {
            std::fs::remove_file(file?.path())?;
        }
        let file = self.scratch.write("backup.ldif", ldif)?;
        self.load(&file)
    }

    /// The same program under another name is another tool.
    fn tool(&self, name: &str) -> Result<String> {
        let path = self.scratch.join(name);
        if !path.exists() {
            std::os::unix::fs::symlink(&self.binary, &path)?;
        }
        Ok(path.display().to_string())
    }

    fn load(&self, ldif: &std::path::Path) -> Result<()> {
        let args = [
            "-q",
            "-f",
            &self.config().display().to_string(),
            "-l",
            &ldif.display().to_string(),
        ]
        .map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_with_input(&self.tool("slapadd")?, &args, b"").map(drop)
    }

    /// Puts the password policy into the configuration; its entry is loaded after the tree.
    fn lock_after(&self, failures: u32) -> Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        let first = text.find("moduleload").context("no modules are loaded")?;
        let (before, after) = text.split_at(first);
        let suffix = &self.suffix;
        let text = format!(
            "{before}moduleload ppolicy\n{after}\noverlay ppolicy\nppolicy_default \"cn=policy,{suffix}\"\n"
        );
        std::fs::write(self.config(), text)?;
        let policy = POLICY.replace("SUFFIX", suffix);
        self.scratch
            .write("policy.ldif", &format!("{policy}{failures}\n"))
            .map(drop)
    }

    /// Starts it (again) on the same port and data.
    pub fn restart(&mut self) -> Result<()> {
        self.child = None;
        let uris: Vec<String> = [Some(self.uri()), self.tls_uri()].into_iter().flatten().collect();
        let args = [
            "-d".to_owned(),
            "none".to_owned(),
            "-f".to_owned(),
            self.config().display().to_string(),
            "-h".to_owned(),
            uris.join(" "),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = Child::spawn(&self.server, &args, &self.scratch.join("slapd.log"))?;
        child.wait_for_port(self.port, Duration::from_secs(20))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts it again on a disk whose commits take so much longer.
    pub fn slow_commits(&mut self, longer: Duration) -> Result<()> {
        self.stop()?;
        self.server = crate::slow_disk::slow_commits(&self.binary, &self.scratch, longer)?;
        self.restart()
    }

    /// Ends it in good order; nobody answers on its port then.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.stop(Duration::from_secs(10)).map(drop),
            None => Ok(()),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill(),
            None => Ok(()),
        }
    }

    /// The running process, for freezing it.
    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// Applies LDIF change records with the real ldapmodify.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        self.client("ldapmodify", &[], ldif).map(drop)
    }

    /// Adds entries with the real ldapadd.
    pub fn add(&self, ldif: &str) -> Result<()> {
        self.client("ldapadd", &[], ldif).map(drop)
    }

    /// Deletes one entry with the real ldapdelete.
    pub fn delete(&self, dn: &str) -> Result<()> {
        self.client("ldapdelete", &[dn], "").map(drop)
    }

    /// Asks with the real ldapsearch; LDIF without comments.
    pub fn search(&self, base: &str, filter: &str, attributes: &[&str]) -> Result<String> {
        let mut args = vec!["-LLL", "-o", "ldif-wrap=no", "-b", base, filter];
        args.extend_from_slice(attributes);
        self.client("ldapsearch", &args, "")
    }

    fn client(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        // The password goes through a file, for the command line is seen by every user of the machine.
        let password = self
            .scratch
            .write("root.pw", &self.root.password)?
            .display()
            .to_string();
        let uri = self.uri();
        let mut all = vec!["-x", "-H", &uri, "-D", &self.root.dn, "-y", &password];
        all.extend_from_slice(args);
        run_with_input(program, &all, input.as_bytes())
    }
}

/// A copy of Debian's slapd: its AppArmor profile goes by the path and would keep it from our folders.
fn unconfined_slapd(scratch: &Scratch) -> Result<PathBuf> {
    let original = PathBuf::from("/usr/sbin/slapd");
    ensure!(
        original.exists(),
        "/usr/sbin/slapd is missing: install the package slapd"
    );
    let copy = scratch.join("slapd");
    std::fs::copy(&original, &copy).context("cannot copy /usr/sbin/slapd")?;
    Ok(copy)
}

/// Root, reader and writer, as `homing directory init --json` prints them.
fn identities(printed: &str) -> Result<[Identity; 3]> {
    let value: serde_json::Value = serde_json::from_str(printed).context("directory init prints no JSON")?;
    let rows = value
        .get("identities")
        .and_then(serde_json::Value::as_array)
        .context("no identities")?;
    let text = |row: &serde_json::Value, key: &str| {
        row.get(key)
            .and_then(serde_json::Value::as_str)
            .map(str::to_owned)
    };
    let found: Option<Vec<Identity>> = rows
        .iter()
        .map(|row| {
            Some(Identity {
                dn: text(row, "dn")?,
                password: text(row, "password")?,
            })
        })
        .collect();
    found
        .and_then(|found| found.try_into().ok())
        .context("not three identities")
}
