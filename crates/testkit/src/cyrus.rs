//! A real Cyrus: another foreign home, with its own habits in IMAP, POP3, ManageSieve and LMTP.
//!
//! Debian's packages of it and of Dovecot exclude each other, so `./test` unpacks it below `target/` without installing it.

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use crate::syslog::Syslog;
use crate::{ImapClient, run_with_input};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A running Cyrus with a user for each login and password.
#[derive(Debug)]
pub struct Cyrus {
    _child: Child,
    syslog: Syslog,
    scratch: Scratch,
    /// IMAP.
    pub imap: u16,
    /// POP3.
    pub pop3: u16,
    /// ManageSieve.
    pub sieve: u16,
    /// LMTP.
    pub lmtp: u16,
}

/// The user that may log in for everybody (SASL PLAIN with an authorization identity), and the password.
pub const CYRUS_ADMIN: (&str, &str) = ("admin@example.test", "admin-secret");

/// Cyrus logs to `/dev/log` and nowhere else. It gets a `/dev` of its own, where that is our socket.
const OWN_DEV: &str = "\
mount -t tmpfs -o size=64k,mode=755 none \"$1\"
for name in null zero full random urandom; do : > \"$1/$name\"; mount --bind /dev/$name \"$1/$name\"; done
mkdir -m 1777 \"$1/shm\"
ln -s /proc/self/fd \"$1/fd\"
ln -s \"$2\" \"$1/log\"
mount --rbind \"$1\" /dev
shift 2
exec \"$@\"";

/// What runs, below `usr/lib/cyrus/bin`.
const PROGRAMS: [&str; 6] = ["master", "imapd", "pop3d", "lmtpd", "timsieved", "ctl_cyrusdb"];

impl Cyrus {
    /// Starts one; `settings` is added to imapd.conf. Each user has an empty INBOX.
    pub fn start(users: &[(&str, &str)], settings: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (imap, pop3, sieve, lmtp) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let libraries = install(&scratch)?;
        for folder in ["var/socket", "var/proc", "var/db", "spool", "sieve"] {
            scratch.folder(folder)?;
        }
        let secrets = scratch.join("sasldb2").display().to_string();
        for (login, password) in users.iter().chain([&CYRUS_ADMIN]) {
            let (name, realm) = login.split_once('@').context("a login has a domain")?;
            let args = ["-p", "-c", "-f", &secrets, "-u", realm, name];
            run_with_input("/usr/sbin/saslpasswd2", &args, password.as_bytes())
                .context("saslpasswd2: install sasl2-bin")?;
        }
        let user = if rustix::process::getuid().is_root() {
            "nobody".to_owned()
        } else {
            std::env::var("USER").context("USER is not set")?
        };
        let folder = scratch.path().display();
        let config = scratch
            .write("imapd.conf", &imapd_conf(&scratch, &user, settings))?
            .display()
            .to_string();
        let bin = format!("{folder}/bin");
        let mut services = String::new();
        for (name, program, port) in [
            ("imap", "imapd", imap),
            ("pop3", "pop3d", pop3),
            ("sieve", "timsieved", sieve),
            // Whoever reaches the port may deliver.
            ("lmtp", "lmtpd -a", lmtp),
        ] {
            let _ = writeln!(
                services,
                "  {name} cmd=\"{bin}/{program} -C {config}\" listen=\"127.0.0.1:{port}\" prefork=0"
            );
        }
        let plan = format!(
            "START {{\n  recover cmd=\"{bin}/ctl_cyrusdb -C {config} -r\"\n}}\nSERVICES {{\n{services}}}\nEVENTS {{\n}}\n"
        );
        let plan = scratch.write("cyrus.conf", &plan)?.display().to_string();
        let syslog = Syslog::start(&scratch.join("syslog"))?;
        if user == "nobody" {
            let all = ["-R", "nobody", &folder.to_string()];
            run_with_input("chown", &all, b"")?;
        }
        let pid = scratch.join("master.pid").display().to_string();
        let libraries = libraries.display().to_string();
        let (dev, socket) = (scratch.folder("dev")?, scratch.join("syslog"));
        let (dev, socket) = (dev.display().to_string(), socket.display().to_string());
        let master = format!("{bin}/master");
        let mut args = match user.as_str() {
            "nobody" => Vec::new(),
            // Whoever is not root may do that in a namespace of users.
            _ => vec!["--user", "--map-current-user", "--keep-caps"],
        };
        args.extend([
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-ec",
            OWN_DEV,
            "sh",
        ]);
        args.extend([dev.as_str(), &socket, &master]);
        args.extend(["-D", "-C", &config, "-M", &plan, "-p", &pid]);
        let mut child = Child::spawn_with(
            Path::new("unshare"),
            &args,
            &scratch.join("output.log"),
            &[("LD_LIBRARY_PATH", &libraries)],
        )?;
        for port in [imap, pop3, sieve, lmtp] {
            child.wait_for_port(port, Duration::from_secs(30))?;
        }
        let cyrus = Self {
            _child: child,
            syslog,
            scratch,
            imap,
            pop3,
            sieve,
            lmtp,
        };
        for (login, password) in users {
            cyrus.make_inbox(login, password)?;
        }
        Ok(cyrus)
    }

    /// What it has printed and logged.
    #[must_use]
    pub fn log(&self) -> String {
        let printed = std::fs::read_to_string(self.scratch.join("output.log")).unwrap_or_default();
        printed + &self.syslog.text()
    }

    /// The first login makes it.
    fn make_inbox(&self, login: &str, password: &str) -> Result<()> {
        let mut client = ImapClient::connect(self.imap)?;
        client
            .login(login, password)
            .with_context(|| format!("{login} cannot log in to Cyrus"))?;
        client.ok("LOGOUT").map(drop)
    }
}

/// Copies the programs to where an unprivileged user can run them; the folder with their libraries.
fn install(scratch: &Scratch) -> Result<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/cyrus");
    let root = [PathBuf::from("/"), unpacked]
        .into_iter()
        .find(|root| root.join("usr/lib/cyrus/bin/master").exists())
        .context("Cyrus is missing: run ./test once, which unpacks it into target/peers/cyrus")?;
    let bin = scratch.folder("bin")?;
    for program in PROGRAMS {
        let from = root.join("usr/lib/cyrus/bin").join(program);
        std::fs::copy(&from, bin.join(program)).with_context(|| from.display().to_string())?;
    }
    let lib = scratch.folder("lib")?;
    let from = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    for name in ["libcyrus", "libcyrus_sieve", "libcyrus_imap", "libcyrus_min"] {
        let file = format!("{name}.so.0");
        let from = from.join(&file);
        std::fs::copy(&from, lib.join(&file)).with_context(|| from.display().to_string())?;
    }
    Ok(lib)
}

fn imapd_conf(scratch: &Scratch, user: &str, settings: &str) -> String {
    let folder = scratch.path().display();
    format!(
        "configdirectory: {folder}/var\ndefaultpartition: default\npartition-default: {folder}/spool\n\
         sievedir: {folder}/sieve\ncyrus_user: {user}\nvirtdomains: userid\ndefaultdomain: localhost\n\
         unixhierarchysep: yes\nadmins: {admin}\nallowplaintext: yes\nsasl_pwcheck_method: auxprop\n\
         sasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {folder}/sasldb2\nsasl_mech_list: PLAIN\n\
         autocreate_quota: 0\nautocreate_post: yes\n{settings}\n",
        admin = CYRUS_ADMIN.0,
    )
}
