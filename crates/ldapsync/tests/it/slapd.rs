//! A real slapd on a socket in a scratch folder, set up as `homing directory init --static` does it.

use directory::setup::{BindV2, IdentityHashes, Platform, SetupOptions, Suffix, static_setup, write_new};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub(crate) const BASE: &str = "o=localdomain,dc=localdomain,dc=test";
// `{SSHA}` of "secret".
const HASH: &str = "{SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";

pub(crate) struct Slapd {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Slapd {
    /// Sets it up, loads the base tree and `ldif`, starts it.
    pub(crate) fn start(ldif: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SetupOptions {
            suffix: Suffix::parse("dc=localdomain,dc=test").expect("a suffix"),
            database_dir: folder.path().join("db"),
            output_dir: folder.path().join("setup"),
            platform: Platform::detect(),
            population: 1000,
            server_id: 1,
            hashes: IdentityHashes {
                root: HASH.into(),
                read: HASH.into(),
                write: HASH.into(),
            },
            tls: None,
            bind_v2: BindV2::Refused,
        };
        write_new(&options.output_dir, &static_setup(&options).expect("a set-up")).expect("written");
        // A copy, because Debian's AppArmor profile goes by the path and would keep it from this folder.
        // By another process: a file that this one has open for writing, or a child that another thread is about to
        // start, cannot be executed.
        let copied = Command::new("cp")
            .arg("/usr/sbin/slapd")
            .arg(folder.path().join("slapd"))
            .status();
        assert!(copied.expect("cp runs").success(), "Debian's slapd is installed");
        std::fs::write(folder.path().join("people.ldif"), ldif).expect("written");
        let mut slapd = Self { folder, child: None };
        slapd.fill();
        if !ldif.is_empty() {
            slapd.load("people.ldif");
        }
        slapd.restart();
        slapd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fill(&self) {
        std::fs::create_dir_all(self.path("db")).expect("a folder");
        self.load("setup/base.ldif");
        self.load("setup/identities.ldif");
    }

    fn load(&self, ldif: &str) {
        let mut command = Command::new(self.path("slapd"));
        command
            .args(["-T", "add", "-q", "-f"])
            .arg(self.path("setup/slapd.conf"))
            .arg("-l")
            .arg(self.path(ldif));
        let output = command.output().expect("slapd runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "ldapi://{}",
            self.path("s").display().to_string().replace('/', "%2F")
        )
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("s")
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut command = Command::new(self.path("slapd"));
        command
            .args(["-d", "0", "-h", &self.url(), "-f"])
            .arg(self.path("setup/slapd.conf"));
        self.child = Some(command.stderr(Stdio::null()).spawn().expect("slapd starts"));
        for _ in 0..2400 {
            let mut probe = Command::new("ldapsearch");
            probe.args(["-x", "-H", &self.url(), "-s", "base", "-b", "", "1.1"]);
            if probe.output().expect("ldap-utils is installed").status.success() {
                return;
            }
            #[allow(clippy::disallowed_methods)] // Waiting for another process to listen.
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("slapd does not answer");
    }

    /// Copies the database while nothing runs: a backup, or its return.
    fn copy(&self, from: &str, to: &str) {
        let _ = std::fs::remove_dir_all(self.path(to));
        let copied = Command::new("cp")
            .arg("-r")
            .arg(self.path(from))
            .arg(self.path(to))
            .status();
        assert!(copied.expect("cp runs").success());
    }

    /// In order, for a slapd that was killed before it ever wrote its contextCSN down makes one up of the time of its
    /// start.
    pub(crate) fn back_up(&mut self) {
        if let Some(mut child) = self.child.take() {
            let told = Command::new("kill").arg(child.id().to_string()).status();
            assert!(told.expect("kill runs").success());
            child.wait().expect("reaped");
        }
        self.copy("db", "backup");
        self.restart();
    }

    pub(crate) fn restore(&mut self) {
        self.stop();
        self.copy("backup", "db");
        self.restart();
    }

    /// Ends it; SIGTERM would be politer, but a killed slapd is the harder case.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// Replaces the database by one with the base tree and nobody in it.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.path("db")).expect("removed");
        self.fill();
    }

    pub(crate) fn modify(&self, ldif: &str) {
        self.write("ldapmodify", ldif);
    }

    pub(crate) fn add(&self, ldif: &str) {
        self.write("ldapadd", ldif);
    }

    fn write(&self, program: &str, ldif: &str) {
        let url = self.url();
        let args = [
            "-x",
            "-H",
            &url,
            "-D",
            "cn=homing-write,dc=localdomain,dc=test",
            "-w",
            "secret",
        ];
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("ldap-utils is installed");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(ldif.as_bytes())
            .expect("written");
        let output = child.wait_with_output().expect("ends");
        assert!(
            output.status.success(),
            "{ldif}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}
