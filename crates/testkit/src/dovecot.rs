//! A real Dovecot: a foreign home, and the peer that conformance tests and benchmarks are held against.

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// A running Dovecot with a user for each login and password.
#[derive(Debug)]
pub struct Dovecot {
    child: Child,
    scratch: Scratch,
    /// IMAP.
    pub imap: u16,
    /// POP3.
    pub pop3: u16,
    /// LMTP.
    pub lmtp: u16,
    /// ManageSieve.
    pub sieve: u16,
    /// Submission. It passes mail on to what `submission_relay_host` and `submission_relay_port` name.
    pub submission: u16,
}

/// The ports that it listens on.
#[derive(Debug, Clone, Copy)]
struct Ports {
    imap: u16,
    pop3: u16,
    lmtp: u16,
    sieve: u16,
    submission: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            imap: free_port()?,
            pop3: free_port()?,
            lmtp: free_port()?,
            sieve: free_port()?,
            submission: free_port()?,
        })
    }
}

impl Dovecot {
    /// Starts one; `settings` is added to its configuration, for example `mail_location = maildir:~/Maildir`.
    /// A password that begins with `{` is taken as a hash with its scheme; further passwd-file fields may follow it.
    pub fn start(users: &[(&str, &str)], settings: &str) -> Result<Self> {
        let program = PathBuf::from("/usr/sbin/dovecot");
        ensure!(
            program.exists(),
            "/usr/sbin/dovecot is missing: install dovecot-imapd, dovecot-pop3d, dovecot-lmtpd, dovecot-managesieved and \
             dovecot-submissiond"
        );
        let scratch = Scratch::new()?;
        let ports = Ports::free()?;
        let mut passwords = String::new();
        for (login, password) in users {
            let scheme = if password.starts_with('{') { "" } else { "{PLAIN}" };
            let _ = writeln!(passwords, "{login}:{scheme}{password}");
        }
        scratch.write("users", &passwords)?;
        let mail = scratch.folder("mail")?;
        let owner = Owner::new();
        if owner.is_root {
            rustix::fs::chown(
                &mail,
                Some(rustix::fs::Uid::from_raw(owner.uid)),
                Some(rustix::fs::Gid::from_raw(owner.gid)),
            )
            .context("cannot give the mail folder away")?;
        }
        let config = scratch.write("dovecot.conf", &config(&scratch, &owner, ports, settings))?;
        let args = ["-F", "-c", &config.display().to_string()].map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = Child::spawn(&program, &args, &scratch.join("output.log"))?;
        for port in [ports.imap, ports.pop3, ports.lmtp, ports.sieve, ports.submission] {
            child
                .wait_for_port(port, Duration::from_secs(20))
                .with_context(|| log(&scratch))?;
        }
        Ok(Self {
            child,
            scratch,
            imap: ports.imap,
            pop3: ports.pop3,
            lmtp: ports.lmtp,
            sieve: ports.sieve,
            submission: ports.submission,
        })
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        log(&self.scratch)
    }

    /// The running process, for freezing it and for its CPU time.
    #[must_use]
    pub fn child(&self) -> &Child {
        &self.child
    }
}

fn log(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.join("dovecot.log")).unwrap_or_default()
}

/// Whose files the mail is. Dovecot refuses to open mail as root.
struct Owner {
    is_root: bool,
    uid: u32,
    gid: u32,
    name: String,
}

impl Owner {
    fn new() -> Self {
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        if uid == 0 {
            // `nobody` and `nogroup` of every Debian system.
            return Self {
                is_root: true,
                uid: 65534,
                gid: 65534,
                name: "nobody".to_owned(),
            };
        }
        let name = std::env::var("USER").unwrap_or_else(|_| "nobody".to_owned());
        Self {
            is_root: false,
            uid,
            gid,
            name,
        }
    }
}

fn config(scratch: &Scratch, owner: &Owner, ports: Ports, settings: &str) -> String {
    let Ports {
        imap,
        pop3,
        lmtp,
        sieve,
        submission,
    } = ports;
    let folder = scratch.path().display();
    let Owner { uid, gid, name, .. } = owner;
    let users = if owner.is_root {
        String::new()
    } else {
        format!("default_internal_user = {name}\ndefault_login_user = {name}\n")
    };
    format!(
        "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/dovecot.log\n\
         protocols = imap pop3 lmtp sieve submission\nhostname = dovecot.example.test\nlisten = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\n\
         auth_mechanisms = plain login\nmail_location = sdbox:~/sdbox\nfirst_valid_uid = 1\n\
         mail_uid = {uid}\nmail_gid = {gid}\n{users}\
         passdb {{\n  driver = passwd-file\n  args = username_format=%u {folder}/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={folder}/mail/%u\n}}\n\
         service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
         service pop3-login {{\n  chroot =\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n\
         service managesieve-login {{\n  chroot =\n  inet_listener sieve {{\n    port = {sieve}\n  }}\n}}\n\
         service submission-login {{\n  chroot =\n  inet_listener submission {{\n    port = {submission}\n  }}\n  inet_listener submissions {{\n    port = 0\n  }}\n}}\n\
         plugin {{\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}}\n\
         service lmtp {{\n  inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {lmtp}\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\nservice stats {{\n  chroot =\n}}\n\
         namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n{settings}\n"
    )
}
