//! Everything that an administrator does to synchronisation, on the command line, against a real slapd.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Slapd, SlapdOptions, SmtpClient, free_port, run_with_input};

const SUFFIX: &str = "dc=example,dc=test";
pub(super) const USERS: &str = "ou=Users,o=example,dc=example,dc=test";

pub(super) fn person(name: &str) -> String {
    format!(
        "dn: uid={name},{USERS}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         displayName: {name}\nmail: {name}@example.test\n\n"
    )
}

pub(super) fn set(name: &str, attribute: &str, value: &str) -> String {
    format!("dn: uid={name},{USERS}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n")
}

pub(super) struct Site {
    pub(super) binary: HomingBinary,
    pub(super) slapd: Slapd,
    pub(super) homing: Homing,
    lmtp: u16,
}

impl Site {
    pub(super) fn start(more: &str, people: &[&str]) -> Result<Self> {
        let binary = HomingBinary::find()?;
        let options = SlapdOptions {
            suffix: SUFFIX.to_owned(),
            port: 0,
        };
        let slapd = Slapd::start(&binary, &options, "")?;
        for name in people {
            slapd.add(&person(name))?;
        }
        let lmtp = free_port()?;
        let config = format!(
            "server_name = \"mail.example.test\"\n\
             [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\n\
             bind_dn = \"{}\"\nbind_password = \"{}\"\nwrite_bind_dn = \"{}\"\nwrite_bind_password = \"{}\"\n\
             domains = [\"example.test\"]\naccounts.base_dn = [\"{USERS}\"]\n\
             groups.base_dn = [\"ou=Groups,o=example,{SUFFIX}\"]\n{more}\n\
             [[imap.listener]]\naddress = \"127.0.0.1:{}\"\n\
             [[lmtp.listener]]\naddress = \"127.0.0.1:{lmtp}\"\n",
            slapd.uri(),
            slapd.reader.dn,
            slapd.reader.password,
            slapd.root.dn,
            slapd.root.password,
            free_port()?,
        );
        let homing = Homing::start(&binary, &config)?;
        Ok(Self {
            binary,
            slapd,
            homing,
            lmtp,
        })
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> Result<(i32, String, String)> {
        let config = self.homing.config().display().to_string();
        let all = [&["--config", &config], args].concat();
        let (code, out, error) = self.binary.output(&all)?;
        Ok((code.context("ended by a signal")?, out, error))
    }

    pub(super) fn expect(&self, args: &[&str], code: i32, part: &str) -> Result<String> {
        let (found, out, error) = self.run(args)?;
        ensure!(
            found == code && (out.contains(part) || error.contains(part)),
            "{args:?}: {found}\n{out}\n{error}"
        );
        Ok(out)
    }

    /// The admin API itself, over its socket; a refusal is an error with what was said.
    pub(super) fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let socket = self.homing.folder().join("data/admin.sock").display().to_string();
        let url = format!("http://homing{path}");
        let mut args = vec![
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--unix-socket",
            &socket,
        ];
        args.extend(["--request", method, "--header", "Content-Type: application/json"]);
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        args.extend(["--data-binary", "@-", "--write-out", "\n%{http_code}", &url]);
        let told = run_with_input("curl", &args, text.as_bytes())?;
        let (answer, status) = told.rsplit_once('\n').context("no status")?;
        ensure!(status == "200", "{method} {path}: {status} {answer}");
        Ok(serde_json::from_str(answer)?)
    }

    /// The JSON lines of a command.
    pub(super) fn lines(&self, args: &[&str]) -> Result<Vec<Value>> {
        let (code, out, error) = self.run(&[args, &["--json"]].concat())?;
        ensure!(code == 0, "{args:?}: {code} {error}");
        out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn status(&self) -> Result<Value> {
        let (_, out, _) = self.run(&["sync", "status", "--json"])?;
        let all: Value = serde_json::from_str(&out)?;
        Ok(all[0].clone())
    }

    /// Waits until the command's output has this in it.
    pub(super) fn until(&self, args: &[&str], part: &str) -> Result<()> {
        eventually(&format!("{args:?} says {part}"), || {
            let (_, out, error) = self.run(args)?;
            Ok(out.contains(part) || error.contains(part))
        })
    }

    pub(super) fn followed(&self) -> Result<()> {
        self.until(&["sync", "status"], "state          following")
    }

    fn deliver(&self, to: &str) -> Result<()> {
        let mut lmtp = SmtpClient::connect(self.lmtp)?;
        lmtp.command("LHLO client.example.test")?;
        let message = b"Subject: hello\r\n\r\nbody\r\n";
        let (_, last) = lmtp.deliver("x@elsewhere.test", &[to], message)?;
        ensure!(last.code == 250, "{last:?}");
        Ok(())
    }

    /// The number of a deleted account.
    fn deleted(&self, name: &str) -> Result<String> {
        let deleted = self.expect(&["account", "list", "--state", "deleted"], 0, name)?;
        let line = deleted.lines().find(|line| line.contains(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("the number")?.to_owned())
    }

    fn entry(&self, name: &str) -> Result<String> {
        self.slapd
            .search(USERS, &format!("(uid={name})"), &["displayName", "mail"])
    }
}

fn hash_of(plan: &str) -> Result<&str> {
    let line = plan.lines().find_map(|line| line.strip_prefix("hash "));
    line.context("a plan has a hash")
}

#[test]
fn a_populated_domain_shows_the_plan_before_anything_begins() -> Result<()> {
    let mut site = Site::start("direction = \"both-ways\"", &["alice"])?;
    site.followed()?;
    site.expect(&["sync", "stop"], 0, "stopped")?;
    site.expect(&["account", "show", "alice@example.test"], 0, "alice")?;
    // Stopped means stopped, also over a restart.
    site.slapd.add(&person("bob"))?;
    site.homing.restart()?;
    site.until(&["sync", "status"], "state          stopped")?;
    site.expect(&["account", "show", "bob@example.test"], 1, "")?;
    site.expect(&["sync", "run"], 1, "stopped")?;
    // The plan is there all the same.
    let plan = site.expect(&["sync", "plan"], 0, "bob@example.test + create account")?;
    site.slapd.add(&person("carol"))?;
    site.expect(
        &["sync", "apply", "--plan", hash_of(&plan)?],
        1,
        "another one now",
    )?;
    site.expect(&["account", "show", "bob@example.test"], 1, "")?;
    let plan = site.expect(&["sync", "plan"], 0, "carol@example.test + create account")?;
    site.expect(&["sync", "apply", "--plan", hash_of(&plan)?], 0, "following")?;
    site.expect(&["account", "show", "carol@example.test"], 0, "carol")?;
    site.expect(&["sync", "start"], 0, "started")?;
    Ok(())
}

#[test]
fn accounts_in_the_way_hold_the_first_synchronisation() -> Result<()> {
    let mut site = Site::start("direction = \"both-ways\"", &[])?;
    site.followed()?;
    // Another connector takes the domain over: nothing of it has begun.
    site.expect(&["sync", "stop"], 0, "stopped")?;
    let create = ["account", "create", "alice@example.test", "--password-stdin"];
    site.homing.command_with_input(&create, b"alice-secret\n")?;
    let config = site.homing.config();
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("name = \"corp\"", "name = \"new\""))?;
    site.slapd.add(&person("bob"))?;
    site.homing.restart()?;
    site.until(&["sync", "status"], "waiting for approval: 1 accounts")?;
    // A plan is shown and nothing begins.
    let shown = site.expect(&["sync", "start"], 1, "homing sync apply --plan")?;
    ensure!(
        shown.contains("alice@example.test directory: + create account")
            && shown.contains("bob@example.test + create"),
        "both sides: {shown}"
    );
    site.expect(&["account", "show", "bob@example.test"], 1, "")?;
    ensure!(!site.entry("alice")?.contains("alice"), "nothing was written");
    site.expect(&["sync", "start", "--yes"], 0, "started")?;
    site.until(&["account", "list"], "bob@example.test")?;
    eventually("alice has an entry", || {
        Ok(site.entry("alice")?.contains("mail: alice@example.test"))
    })?;
    // Once begun it begins by itself.
    site.homing.restart()?;
    site.followed()
}

#[test]
fn conflicts_are_listed_explained_and_restored() -> Result<()> {
    let site = Site::start(
        "direction = \"both-ways\"\nconflict_resolution = \"ldap-wins\"\npersist = false\npolling_interval = 3600",
        &["alice", "bob"],
    )?;
    site.followed()?;
    site.expect(&["sync", "run"], 0, "linked         2")?;
    // Both sides change the name before either has heard of the other.
    site.expect(&["sync", "stop"], 0, "")?;
    site.slapd.modify(&set("alice", "displayName", "Alice There"))?;
    site.expect(&["account", "disable", "alice@example.test"], 0, "disabled")?;
    let plan = site.expect(&["sync", "plan"], 0, "display_name: alice -> Alice There")?;
    ensure!(plan.contains("directory: ~ enabled"), "both sides: {plan}");
    site.expect(&["sync", "start"], 0, "")?;
    site.until(&["account", "show", "alice@example.test"], "Alice There")?;
    let explained = site.expect(
        &["sync", "explain", "alice@example.test"],
        0,
        "is linked to the entry",
    )?;
    ensure!(explained.contains("both-ways"), "{explained}");
    site.expect(&["sync", "explain", "alice"], 0, "is linked to the entry")?;
    let entry = site.slapd.search(USERS, "(uid=alice)", &["entryUUID"])?;
    let uuid = entry.lines().find_map(|line| line.strip_prefix("entryUUID: "));
    let uuid = uuid.context("a UUID")?;
    site.expect(&["sync", "explain", uuid], 0, "is linked to the entry")?;
    site.expect(&["sync", "explain", "nobody@example.test"], 1, "knows")?;
    site.expect(&["sync", "conflicts"], 0, "none")?;
    site.expect(&["sync", "restore", "nonsense"], 64, "no conflict's id")?;
    Ok(())
}

#[test]
fn unlinked_objects_are_left_alone_until_somebody_decides() -> Result<()> {
    let site = Site::start("direction = \"both-ways\"", &["alice", "bob"])?;
    site.followed()?;
    site.until(&["sync", "status"], "linked         2")?;
    site.expect(&["sync", "unlink", "alice@example.test"], 0, "unlink: 1 of 1")?;
    site.expect(
        &["sync", "unlink", "alice@example.test"],
        1,
        "none of them is linked",
    )?;
    site.expect(&["audit", "--object", "unlinked"], 0, "admin:uid:")?;
    // Edits and even the end of the entry change nothing here.
    site.slapd.modify(&set("alice", "displayName", "Somebody Else"))?;
    site.slapd.modify(&set("bob", "displayName", "Bobby"))?;
    site.until(&["account", "show", "bob@example.test"], "Bobby")?;
    let alice = site.expect(&["account", "show", "alice@example.test"], 0, "active")?;
    ensure!(!alice.contains("Somebody Else"), "{alice}");
    site.expect(
        &["sync", "relink", "--by", "mail", "--dry-run"],
        0,
        "would link 1 of 1",
    )?;
    site.expect(&["sync", "relink", "alice@example.test"], 0, "relink: 1 of 1")?;
    site.until(&["account", "show", "alice@example.test"], "Somebody Else")?;
    // A directory that was built anew: other UUIDs, the same addresses.
    site.expect(
        &["sync", "unlink", "--all", "--filter", "*@example.test"],
        0,
        "unlink: 2 of 2",
    )?;
    site.slapd.delete(&format!("uid=alice,{USERS}"))?;
    site.slapd.add(&person("alice"))?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(
        &["sync", "relink", "--by", "mail", "--dry-run"],
        0,
        "another entry",
    )?;
    site.expect(&["sync", "relink", "--by", "mail"], 0, "relink: 2 of 2")?;
    site.slapd.modify(&set("alice", "displayName", "New Alice"))?;
    site.until(&["account", "show", "alice@example.test"], "New Alice")?;
    site.expect(&["account", "list", "--state", "active"], 0, "alice@example.test")?;
    site.expect(&["account", "list", "--state", "odd"], 64, "none of")?;
    Ok(())
}

// Whoever comes back as a new entry starts empty; an administrator gives her the old mail.
#[test]
fn a_namesake_gets_the_old_mail_by_hand_only() -> Result<()> {
    let site = Site::start("", &["alice", "bob"])?;
    site.followed()?;
    site.until(&["sync", "status"], "linked         2")?;
    for _ in 0..2 {
        site.deliver("alice@example.test")?;
    }
    site.slapd.delete(&format!("uid=alice,{USERS}"))?;
    site.until(&["account", "list", "--state", "deleted"], "alice@example.test")?;
    site.slapd.add(&person("alice"))?;
    site.until(&["account", "list", "--state", "active"], "alice@example.test")?;
    let old = site.deleted("alice")?;
    let into = |address: &'static str| ["account", "undelete", old.as_str(), "--into", address];
    let (code, _, error) =
        site.run(&[&into("bob@example.test")[..], &["--as", "x@example.test"]].concat())?;
    ensure!(
        code == 64 && error.contains("cannot be used with"),
        "{code} {error}"
    );
    site.expect(&into("nobody@example.test"), 1, "there is no account")?;
    site.expect(
        &[
            "account",
            "undelete",
            "alice@example.test",
            "--into",
            "bob@example.test",
        ],
        1,
        "is not deleted",
    )?;
    let into = into("alice@example.test");
    site.expect(
        &into,
        0,
        "2 messages in 6 mailboxes were copied, 0 were there already",
    )?;
    // Once more, and with what arrived meanwhile: nothing is copied twice.
    site.deliver("alice@example.test")?;
    site.expect(
        &into,
        0,
        "0 messages in 6 mailboxes were copied, 2 were there already",
    )?;
    site.expect(&["account", "show", &old], 0, "deleted")?;
    site.expect(
        &["audit", "--object", "alice@example.test"],
        0,
        "gets the mail of the deleted account",
    )?;
    // The next comparison lets it be.
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(&["account", "show", "alice@example.test"], 0, "active")?;
    Ok(())
}

#[test]
fn the_guard_quarantine_and_what_is_deleted() -> Result<()> {
    let site = Site::start(
        "on_delete = \"delete\"\nguard = { limit = 1, floor = 0, percent = 1 }",
        &["alice", "bob"],
    )?;
    site.followed()?;
    site.until(&["sync", "status"], "linked         2")?;
    site.slapd.delete(&format!("uid=alice,{USERS}"))?;
    site.until(&["sync", "status"], "holds 1 destructive")?;
    site.expect(&["account", "show", "alice@example.test"], 0, "active")?;
    site.expect(&["sync", "quarantine"], 0, "held by the guard")?;
    site.expect(
        &["sync", "approve", "0000000000000000"],
        1,
        "nothing is held under that hash",
    )?;
    // The plan's hash covers it as well.
    let plan = site.expect(&["sync", "plan"], 0, "remove: the entry is gone")?;
    site.expect(&["sync", "apply", "--plan", hash_of(&plan)?], 0, "removed 1")?;
    let id = site.deleted("alice")?;
    site.expect(&["account", "undelete", &id], 0, "in use again")?;
    site.expect(&["sync", "run", "--full"], 0, "")?;
    site.expect(&["account", "show", "alice@example.test"], 0, "active")?;
    site.expect(&["account", "release", "alice@example.test"], 1, "has not moved")?;
    // Two entries with one address: one waits in quarantine until it is put right.
    let twin = person("eve").replace("eve@example.test", "bob@example.test");
    site.slapd.add(&twin)?;
    site.until(&["sync", "quarantine"], "uid=eve")?;
    site.slapd.modify(&set("eve", "mail", "eve@example.test"))?;
    site.until(&["account", "list"], "eve@example.test")?;
    site.expect(&["sync", "quarantine"], 0, "none")?;
    site.expect(&["sync", "quarantine", "retry", "--all"], 0, "tried 0")?;
    site.expect(
        &["sync", "quarantine", "retry", "nothing"],
        1,
        "not in quarantine",
    )?;
    site.expect(&["sync", "pending"], 0, "none")?;
    let status = site.status()?;
    ensure!(
        status["counts"]["removed"] == 1 && status["direction"] == "ldap-to-local",
        "{status}"
    );
    let runs = site.lines(&["sync", "run", "--full"])?;
    ensure!(
        runs.last().is_some_and(|last| last["state"] == "following"),
        "{runs:?}"
    );
    let plan = site.lines(&["sync", "plan"])?;
    ensure!(
        plan.last().is_some_and(|last| last["kind"] == "summary"),
        "{plan:?}"
    );
    let audit = site.lines(&["audit", "--by", "connector:corp", "--limit", "3"])?;
    ensure!(audit.len() == 3, "{audit:?}");
    Ok(())
}

/// The book's example: an account and an entry with one address and two names meet for the first time.
fn meet(resolution: &str, here: &str, there: &str) -> Result<Site> {
    let more = format!("direction = \"both-ways\"\nconflict_resolution = \"{resolution}\"");
    let mut site = Site::start(&more, &[])?;
    site.followed()?;
    site.expect(&["sync", "stop"], 0, "stopped")?;
    let mut create = vec!["account", "create", "alice@example.test", "--password-stdin"];
    create.extend(["--display-name", "Alice Here"]);
    site.homing.command_with_input(&create, b"alice-secret\n")?;
    site.slapd
        .add(&person("alice").replace("displayName: alice", "displayName: Alice There"))?;
    let config = site.homing.config();
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("name = \"corp\"", "name = \"new\""))?;
    site.homing.restart()?;
    site.until(&["sync", "status"], "waiting for approval: 1 accounts")?;
    let plan = site.expect(&["sync", "plan"], 0, "= link account")?;
    site.expect(&["sync", "apply", "--plan", hash_of(&plan)?], 0, "following")?;
    site.expect(&["account", "show", "alice@example.test"], 0, here)?;
    eventually("the entry has its name", || {
        Ok(site.entry("alice")?.contains(there))
    })?;
    Ok(site)
}

#[test]
fn a_value_that_lost_comes_back_on_both_sides() -> Result<()> {
    for (rule, name, lost) in [
        ("ldap-wins", "Alice There", "Alice Here"),
        ("local-wins", "Alice Here", "Alice There"),
    ] {
        let site = meet(rule, name, name)?;
        let list = site.expect(&["sync", "conflicts"], 0, rule)?;
        println!("$ homing sync conflicts\n{list}");
        let id = list.lines().find_map(|line| line.trim().strip_prefix("id "));
        let id = id.context("an id")?;
        let done = site.expect(&["sync", "restore", id], 0, lost)?;
        println!("$ homing sync restore\n{done}");
        site.expect(&["account", "show", "alice@example.test"], 0, lost)?;
        eventually("the entry has it too", || Ok(site.entry("alice")?.contains(lost)))?;
        site.expect(
            &["sync", "restore", id, "--side", "directory", "--connector", "new"],
            if rule == "local-wins" { 0 } else { 1 },
            "",
        )?;
        println!(
            "$ homing sync explain\n{}",
            site.expect(&["sync", "explain", "alice"], 0, "linked")?
        );
        println!(
            "$ homing audit\n{}",
            site.expect(&["audit", "--limit", "4"], 0, "")?
        );
        println!(
            "$ homing sync status\n{}",
            site.expect(&["sync", "status"], 0, "")?
        );
    }
    // Neither value is given up: each side keeps its own.
    meet("no-change", "Alice Here", "Alice There").map(drop)
}
