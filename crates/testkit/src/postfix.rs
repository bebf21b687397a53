//! A real Postfix: the peer for SMTP. Its master process insists on being started by root.

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use anyhow::{Result, ensure};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A running Postfix that takes mail for the given addresses and puts it into Maildirs.
#[derive(Debug)]
pub struct Postfix {
    child: Child,
    scratch: Scratch,
    /// SMTP.
    pub smtp: u16,
}

impl Postfix {
    /// Starts one; `settings` is added to main.cf.
    pub fn start(addresses: &[&str], settings: &str) -> Result<Self> {
        let program = PathBuf::from("/usr/lib/postfix/sbin/master");
        ensure!(
            program.exists(),
            "{} is missing: install the package postfix",
            program.display()
        );
        ensure!(
            rustix::process::geteuid().is_root(),
            "Postfix starts only as root: run the tests as root"
        );
        let scratch = Scratch::new()?;
        let smtp = free_port()?;
        let etc = scratch.folder("etc")?;
        for folder in ["queue", "data", "mail"] {
            scratch.folder(folder)?;
        }
        give_away(&scratch.join("data"), "postfix")?;
        give_away(&scratch.join("mail"), "nobody")?;
        let mut maps = String::new();
        for address in addresses {
            let _ = writeln!(maps, "{address} {address}/");
        }
        scratch.write("etc/mailboxes", &maps)?;
        scratch.write("etc/main.cf", &main_cf(scratch.path(), addresses, settings))?;
        scratch.write("etc/master.cf", &master_cf(smtp))?;
        let etc = etc.display().to_string();
        // Makes the queue's folders with the rights that they need.
        crate::run_with_input("/usr/sbin/postfix", &["-c", &etc, "check"], b"")?;
        let variables = [("MAIL_CONFIG", etc.as_str())];
        let mut child = Child::spawn_with(
            &program,
            &["-d", "-c", &etc],
            &scratch.join("output.log"),
            &variables,
        )?;
        child.wait_for_port(smtp, Duration::from_secs(20))?;
        Ok(Self { child, scratch, smtp })
    }

    /// How many messages an address has got.
    #[must_use]
    pub fn delivered(&self, address: &str) -> usize {
        std::fs::read_dir(self.scratch.join("mail").join(address).join("new")).map_or(0, Iterator::count)
    }

    /// The messages that an address has got, oldest first, as Postfix stored them: with LF line ends.
    pub fn messages(&self, address: &str) -> Result<Vec<Vec<u8>>> {
        let folder = self.scratch.join("mail").join(address).join("new");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A Maildir name begins with the seconds; the file's time is finer.
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        let read = files.iter().map(|(_, path)| std::fs::read(path));
        Ok(read.collect::<Result<_, _>>()?)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("postfix.log")).unwrap_or_default()
    }

    /// The running process.
    #[must_use]
    pub fn child(&self) -> &Child {
        &self.child
    }
}

fn give_away(folder: &Path, user: &str) -> Result<()> {
    crate::run_with_input("chown", &[user, &folder.display().to_string()], b"").map(drop)
}

fn main_cf(folder: &Path, addresses: &[&str], settings: &str) -> String {
    let folder = folder.display();
    let mut domains: Vec<&str> = addresses
        .iter()
        .filter_map(|address| address.rsplit('@').next())
        .collect();
    domains.sort_unstable();
    domains.dedup();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
         maillog_file = {folder}/postfix.log\nmaillog_file_prefixes = {folder}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.example.test\nmydestination =\nmynetworks =\n\
         smtpd_peername_lookup = no\nsmtpd_relay_restrictions = reject_unauth_destination\nsmtputf8_enable = no\n\
         virtual_mailbox_domains = {domains}\nvirtual_mailbox_base = {folder}/mail\n\
         virtual_mailbox_maps = texthash:{folder}/etc/mailboxes\n\
         virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n{settings}\n",
        domains = domains.join(" ")
    )
}

fn master_cf(smtp: u16) -> String {
    // The delivery agent is the one that may change its user.
    let mut text = format!(
        "127.0.0.1:{smtp} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n\
         virtual unix - n n - - virtual\n"
    );
    for (name, private, processes, program) in [
        ("pickup", "n", "1", "pickup"),
        ("cleanup", "n", "0", "cleanup"),
        ("qmgr", "n", "1", "qmgr"),
        ("tlsmgr", "-", "1", "tlsmgr"),
        ("rewrite", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "0", "bounce"),
        ("defer", "-", "0", "bounce"),
        ("trace", "-", "0", "bounce"),
        ("verify", "-", "1", "verify"),
        ("flush", "n", "0", "flush"),
        ("proxymap", "-", "-", "proxymap"),
        ("error", "-", "-", "error"),
        ("retry", "-", "-", "error"),
        ("lmtp", "-", "-", "lmtp"),
        ("anvil", "-", "1", "anvil"),
    ] {
        let _ = writeln!(text, "{name} unix {private} - n - {processes} {program}");
    }
    text
}
