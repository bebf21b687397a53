//! The chapter `disaster.md`, part by part: what is lost is lost here too.

use super::transcript::{Terminal, Typed, chapter};
use anyhow::{Context, Result, ensure};
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Slapd, SlapdOptions, free_port, run_with_input};

const USERS: &str = "ou=Users,o=example,dc=example,dc=test";
/// What only the server itself writes into an entry. A directory that is built anew has none of it.
const OPERATIONAL: [&str; 7] = [
    "entryUUID:",
    "entryCSN:",
    "contextCSN:",
    "createTimestamp:",
    "modifyTimestamp:",
    "creatorsName:",
    "modifiersName:",
];

/// A directory with Alice and Bob, and a server that synchronises with it.
struct Site {
    slapd: Slapd,
    homing: Homing,
    terminal: Terminal,
    /// What slapcat wrote.
    directory: String,
}

fn person(name: &str) -> String {
    let uid = name.to_lowercase();
    format!(
        "dn: uid={uid},{USERS}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\nuid: {uid}\n\
         cn: {name}\nsn: {name}\ndisplayName: {name}\nmail: {uid}@example.test\n\n"
    )
}

impl Site {
    fn start(direction: &str) -> Result<Self> {
        let binary = HomingBinary::find()?;
        let options = SlapdOptions {
            suffix: "dc=example,dc=test".to_owned(),
            port: 0,
        };
        let slapd = Slapd::start(&binary, &options, "")?;
        slapd.add(&person("Alice"))?;
        let config = format!(
            "server_name = \"mail.example.test\"\n[[connector]]\nname = \"people\"\nuris = [\"{}\"]\n\
             server_type = \"openldap\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\nwrite_bind_dn = \"{}\"\n\
             write_bind_password = \"{}\"\naccounts = {{ base_dn = [\"{USERS}\"] }}\ndomains = [\"example.test\"]\n\
             direction = \"{direction}\"\n[[domain]]\nname = \"example.test\"\n\
             [[imap.listener]]\naddress = \"127.0.0.1:{}\"\n",
            slapd.uri(),
            slapd.reader.dn,
            slapd.reader.password,
            slapd.writer.dn,
            slapd.writer.password,
            free_port()?,
        );
        let homing = Homing::start(&binary, &config)?;
        let terminal = Terminal::new(binary.path(), &homing.config());
        let site = Self {
            slapd,
            homing,
            terminal,
            directory: String::new(),
        };
        // One after the other, so that their numbers are those of the chapter.
        site.linked(1)?;
        site.slapd.add(&person("Bob"))?;
        site.linked(2)?;
        Ok(site)
    }

    fn linked(&self, count: u64) -> Result<()> {
        eventually(&format!("{count} are linked"), || {
            let status = self.homing.command(&["sync", "status", "--json"])?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            Ok(status[0]["linked"] == count && status[0]["state"] == "following")
        })
    }

    /// What happened after the backup: Alice has another name, and Carol is new.
    fn go_on(&self) -> Result<()> {
        self.slapd.modify(&format!(
            "dn: uid=alice,{USERS}\nchangetype: modify\nreplace: displayName\ndisplayName: Alice B.\n"
        ))?;
        self.slapd.add(&person("Carol"))?;
        self.linked(3)?;
        eventually("Alice's new name is here", || {
            Ok(self.homing.command(&["account", "list"])?.contains("Alice B."))
        })
    }

    /// Types what stands below a heading.
    fn part(&mut self, heading: &str) -> Result<()> {
        let chapter = chapter("disaster.md")?;
        let part = chapter.get(heading).filter(|part| !part.is_empty());
        for typed in part.with_context(|| format!("nothing below {heading:?}"))? {
            self.type_in(typed).with_context(|| self.homing.log_tail())?;
        }
        Ok(())
    }

    /// What concerns the machine is done as it is done to servers of a test; the rest is typed.
    fn type_in(&mut self, typed: &Typed) -> Result<()> {
        let data = self.homing.folder().join("data").display().to_string();
        let backup = self.homing.folder().join("backup").display().to_string();
        let shell = |program: &str, args: &[&str]| run_with_input(program, args, b"").map(drop);
        match typed.command.as_str() {
            "slapcat -n1 -l directory.ldif" => self.directory = self.slapd.backup()?,
            "systemctl stop slapd" => self.slapd.stop()?,
            // The slapd of a test belongs to whoever runs the test.
            "rm /var/lib/ldap/mail/*" | "chown -R openldap: /var/lib/ldap/mail" => {}
            "slapadd -q -n1 -l directory.ldif" => self.slapd.restore(&self.directory)?,
            "slapadd -q -n1 -l new-directory.ldif" => self.slapd.restore(&built_anew(&self.directory))?,
            "systemctl start slapd" => self.slapd.restart()?,
            "systemctl stop homing" => drop(self.homing.stop()?),
            "systemctl start homing" => self.homing.restart()?,
            "cp -a /var/lib/homing /backup/homing" => shell("cp", &["-a", &data, &backup])?,
            "rm -r /var/lib/homing" => shell("rm", &["-r", &data])?,
            "cp -a /backup/homing /var/lib/homing" => shell("cp", &["-a", &backup, &data])?,
            _ => return self.terminal.type_in(typed),
        }
        ensure!(
            typed.printed.iter().all(String::is_empty),
            "{typed:?} prints nothing"
        );
        Ok(())
    }
}

/// The same entries with nothing of the server that they were on.
fn built_anew(directory: &str) -> String {
    let of_the_server = |line: &&str| OPERATIONAL.iter().any(|name| line.starts_with(name));
    let lines = directory.lines().filter(|line| !of_the_server(line));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn a_directory_that_was_restored_from_a_backup() -> Result<()> {
    let mut site = Site::start("both-ways")?;
    site.part("Before")?;
    site.linked(2)?;
    site.go_on()?;
    site.part("The directory was restored from a backup")?;
    site.linked(3)
}

#[test]
fn a_directory_that_was_built_anew() -> Result<()> {
    let mut site = Site::start("both-ways")?;
    site.part("Before")?;
    site.linked(2)?;
    site.part("The directory was built anew")?;
    site.linked(2)?;
    // They are linked for good: an edit there arrives here.
    site.slapd.modify(&format!(
        "dn: uid=bob,{USERS}\nchangetype: modify\nreplace: displayName\ndisplayName: Robert\n"
    ))?;
    eventually("an edit arrives", || {
        Ok(site.homing.command(&["account", "list"])?.contains("Robert"))
    })
}

#[test]
fn a_directory_that_was_built_anew_while_nobody_looked() -> Result<()> {
    let mut site = Site::start("ldap-to-local")?;
    let anew = built_anew(&site.slapd.backup()?);
    site.slapd.restore(&anew)?;
    site.slapd.restart()?;
    eventually("strangers are set aside", || {
        let aside = site.homing.command(&["sync", "quarantine"])?;
        Ok(aside.contains("uid=alice") && aside.contains("uid=bob"))
    })?;
    let list = site.homing.command(&["account", "list", "--state", "active"])?;
    ensure!(list.contains("alice@") && list.contains("bob@"), "{list}");
    Ok(())
}

#[test]
fn a_server_that_was_lost() -> Result<()> {
    let mut site = Site::start("both-ways")?;
    site.part("Before")?;
    site.linked(2)?;
    site.go_on()?;
    site.part("This server was lost, and there is a backup")?;
    site.linked(3)?;
    site.part("This server was lost, and there is no backup")?;
    site.linked(3)
}

#[test]
fn a_source_that_was_lost_takes_nothing_from_the_directory() -> Result<()> {
    let mut site = Site::start("ldap-to-local")?;
    let direction = |site: &Site, from: &str, to: &str| -> Result<()> {
        let config = site.homing.config();
        let text = std::fs::read_to_string(&config)?;
        ensure!(text.contains(from), "{text}");
        Ok(std::fs::write(&config, text.replace(from, to))?)
    };
    direction(&site, "ldap-to-local", "local-to-ldap")?;
    site.homing.stop()?;
    std::fs::remove_dir_all(site.homing.folder().join("data"))?;
    site.homing.restart()?;
    site.linked(0)?;
    let entries = site.slapd.search(USERS, "(mail=*)", &["mail"])?;
    ensure!(
        entries.contains("alice@") && entries.contains("bob@"),
        "{entries}"
    );
    // What the chapter says to do about it.
    for (from, to) in [
        ("local-to-ldap", "ldap-to-local"),
        ("ldap-to-local", "local-to-ldap"),
    ] {
        direction(&site, from, to)?;
        site.homing.restart()?;
        site.linked(2)?;
    }
    let plan = site.homing.command(&["sync", "plan"])?;
    ensure!(plan.starts_with("nothing to do"), "{plan}");
    Ok(())
}
