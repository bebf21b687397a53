//! Commands of an administrator that are easily got wrong: edits here, watching, starting, and what a refusal says.

use super::sync_operations::{Site, USERS, person, set};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use system_tests::steps::eventually;

#[test]
fn an_account_is_edited_here_and_the_entry_follows() -> Result<()> {
    let site = Site::start("direction = \"both-ways\"", &["alice", "bob"])?;
    site.until(&["sync", "status"], "linked         2")?;
    let change = |more: &[&'static str]| [&["account", "change", "alice@example.test"], more].concat();
    site.expect(&change(&[]), 64, "nothing is to be changed")?;
    site.expect(&change(&["--quota", "5 bananas"]), 64, "not a unit of size")?;
    site.expect(
        &change(&["--remove-alias", "x@example.test"]),
        1,
        "is no alias of",
    )?;
    site.expect(&change(&["--address", "bob@example.test"]), 1, "exists already")?;
    let many = [
        "--display-name",
        "Alice A.",
        "--quota",
        "1 GiB",
        "--add-alias",
        "al@example.test",
    ];
    site.expect(&change(&many), 0, "changed account alice@example.test")?;
    let entry = || {
        let names = ["displayName", "homingQuota", "mailLocalAddress", "mail"];
        site.slapd.search(USERS, "(cn=alice)", &names)
    };
    eventually("the entry follows", || {
        let entry = entry()?;
        let all = ["Alice A.", "homingQuota: 1073741824", "al@example.test"];
        Ok(all.iter().all(|part| entry.contains(part)))
    })?;
    let back = [
        "--address",
        "alicia@example.test",
        "--quota",
        "none",
        "--remove-alias",
        "al@example.test",
    ];
    site.expect(&change(&back), 0, "changed account alicia@example.test")?;
    eventually("the entry follows again", || {
        let entry = entry()?;
        Ok(entry.contains("mail: alicia@example.test") && !entry.contains("al@example.test\n"))
    })?;
    site.expect(
        &["account", "show", "alicia@example.test"],
        0,
        "quota:          -",
    )?;
    site.expect(
        &["audit", "--object", "alicia"],
        0,
        "address: alice@example.test -> alicia@example.test",
    )?;
    Ok(())
}

// Many entries have no displayName, and the name is read from cn.
#[test]
fn a_name_from_cn_is_changed_here() -> Result<()> {
    let site = Site::start("direction = \"both-ways\"", &[])?;
    site.followed()?;
    let entry = person("alice")
        .replace("displayName: alice\n", "")
        .replace("cn: alice", "cn: Alice L.");
    site.slapd.add(&entry)?;
    site.until(&["account", "show", "alice@example.test"], "Alice L.")?;
    let change = |name: &'static str| ["account", "change", "alice@example.test", "--display-name", name];
    let shown = || site.slapd.search(USERS, "(uid=alice)", &["cn", "displayName"]);
    for name in ["Alice A.", "Alice B."] {
        site.expect(&change(name), 0, "changed account")?;
        eventually("the entry has the name", || {
            let entry = shown()?;
            Ok(entry.contains(&format!("displayName: {name}")) && entry.contains("cn: Alice L."))
        })?;
    }
    // The entry keeps its cn, so a name that is taken away is that one again, as often as it is done, and nothing waits.
    for _ in 0..2 {
        site.expect(&change(""), 0, "changed account")?;
        eventually("the entry has no name of its own", || {
            Ok(!shown()?.contains("displayName"))
        })?;
        site.expect(&["sync", "run", "--full"], 0, "following")?;
        site.until(&["account", "show", "alice@example.test"], "Alice L.")?;
    }
    site.expect(&change("Alice C."), 0, "changed account")?;
    eventually("the entry has the name", || {
        Ok(shown()?.contains("displayName: Alice C."))
    })?;
    site.expect(&["sync", "quarantine"], 0, "none").map(drop)
}

#[test]
fn what_the_directory_decides_is_not_edited_here() -> Result<()> {
    let site = Site::start("direction = \"ldap-to-local\"", &["alice"])?;
    site.until(&["sync", "status"], "linked         1")?;
    let name = [
        "account",
        "change",
        "alice@example.test",
        "--display-name",
        "Alice A.",
    ];
    site.expect(&name, 1, "so an edit here would be undone")?;
    // The entry says nothing about a limit, nor whether she may log in.
    site.expect(
        &["account", "change", "alice@example.test", "--quota", "5M"],
        0,
        "changed",
    )?;
    let out = site.expect(&["account", "disable", "alice@example.test"], 0, "disabled")?;
    ensure!(!out.contains("for the moment"), "{out}");
    site.expect(
        &["sync", "explain", "alice"],
        0,
        "Here it is disabled: nobody can log in.",
    )?;
    site.expect(&["account", "enable", "alice@example.test"], 0, "enabled")?;
    site.slapd.modify(&format!(
        "dn: uid=alice,{USERS}\nchangetype: modify\nadd: objectClass\nobjectClass: homingAccount\n-\n\
         add: homingEnabled\nhomingEnabled: TRUE\n"
    ))?;
    site.until(&["sync", "explain", "alice"], "enabled: TRUE (the same)")?;
    site.expect(
        &["account", "disable", "alice@example.test"],
        0,
        "for the moment: its entry decides",
    )?;
    // Made its own, it is edited like any other.
    site.expect(&["sync", "unlink", "alice@example.test"], 0, "unlink: 1 of 1")?;
    site.expect(&name, 0, "changed")?;
    Ok(())
}

#[test]
fn the_status_is_watched_for_as_long_as_somebody_reads() -> Result<()> {
    let site = Site::start("", &["alice"])?;
    site.followed()?;
    let config = site.homing.config().display().to_string();
    let mut watch = Command::new(site.binary.path())
        .args(["sync", "status", "--watch", "--json", "--config", &config])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("its output")?).lines();
    for _ in 0..3 {
        let line = lines.next().context("it ended")??;
        let row: serde_json::Value = serde_json::from_str(&line)?;
        ensure!(row["connector"] == "corp", "{row}");
    }
    // Nobody reads any more: it ends by itself, in peace.
    drop(lines);
    let end = watch.wait_with_output()?;
    ensure!(end.status.success() && end.stderr.is_empty(), "{end:?}");
    Ok(())
}

#[test]
fn starting_says_when_something_is_in_the_way() -> Result<()> {
    let mut site = Site::start("direction = \"both-ways\"", &[])?;
    site.followed()?;
    let create = ["account", "create", "alice@example.test", "--password-stdin"];
    site.expect(&["sync", "stop"], 0, "stopped")?;
    site.homing.command_with_input(&create, b"alice-secret\n")?;
    let text = std::fs::read_to_string(site.homing.config())?;
    std::fs::write(
        site.homing.config(),
        text.replace("name = \"corp\"", "name = \"new\""),
    )?;
    site.homing.restart()?;
    site.until(&["sync", "status"], "waiting for approval: 1 accounts")?;
    site.expect(
        &["sync", "explain", "alice@example.test"],
        0,
        "is linked to no entry.",
    )?;
    site.expect(&["sync", "stop"], 0, "stopped")?;
    let shown = site.expect(&["sync", "start"], 1, "accounts are in the way")?;
    ensure!(shown.contains("+ create account"), "{shown}");
    site.until(&["sync", "status"], "waiting for approval")?;
    let begun = site.expect(&["sync", "start", "--yes", "--json"], 0, "\"connector\"")?;
    ensure!(!begun.contains("stopped"), "{begun}");
    site.until(
        &["sync", "explain", "alice@example.test"],
        "is linked to the entry",
    )?;
    Ok(())
}

// Whoever asks why may do so because the directory does not answer.
#[test]
fn what_is_known_here_is_explained_while_the_directory_is_down() -> Result<()> {
    let mut site = Site::start("", &["alice"])?;
    site.until(&["sync", "status"], "linked         1")?;
    site.slapd.stop()?;
    site.until(&["sync", "status"], "waiting")?;
    let explained = site.expect(
        &["sync", "explain", "alice@example.test"],
        0,
        "The directory cannot be read now: ",
    )?;
    for part in [
        "is linked to the entry uid=alice,",
        "Here it is in use.",
        "(as it last was common)",
        "That is known once the directory answers",
        "account alice@example.test created, by connector corp",
    ] {
        ensure!(explained.contains(part), "{part}: {explained}");
    }
    // Of somebody whom only the directory could know nothing can be said.
    site.expect(&["sync", "explain", "nobody@example.test"], 75, "cannot")?;
    Ok(())
}

#[test]
fn what_the_guard_holds_and_what_is_gone_is_explained() -> Result<()> {
    let site = Site::start("guard = { limit = 1, floor = 0, percent = 1 }", &["alice", "bob"])?;
    site.until(&["sync", "status"], "linked         2")?;
    site.slapd.delete(&format!("uid=alice,{USERS}"))?;
    site.until(&["sync", "quarantine"], "waits for homing sync approve")?;
    site.expect(
        &["sync", "quarantine", "retry", "--all"],
        0,
        "1 of them held by the guard until: homing sync approve",
    )?;
    let held = site.expect(&["sync", "explain", "alice@example.test"], 0, "The guard holds")?;
    let hash = held.split("homing sync approve ").nth(1).context("a hash")?;
    let hash = hash.lines().next().context("a line")?;
    site.expect(&["sync", "approve", hash], 0, "approved")?;
    let deleted = site.expect(&["account", "list", "--state", "deleted"], 0, "alice")?;
    let row = deleted
        .lines()
        .find(|line| line.contains("alice"))
        .context("her row")?;
    let number = row.split_whitespace().next().context("her number")?;
    let gone = site.expect(
        &["sync", "explain", &format!("account {number}")],
        0,
        "Here it is deleted",
    )?;
    for part in [
        "The last synchronisation found the entry gone.",
        "by connector corp",
        &format!("homing account undelete {number}"),
    ] {
        ensure!(gone.contains(part), "{part}: {gone}");
    }
    site.expect(&["sync", "explain", number], 0, "Here it is deleted")?;
    site.expect(
        &["sync", "explain", "4f1c02aa-97e0-1041-8000-000000000000"],
        1,
        "neither",
    )?;
    site.expect(&["sync", "explain", "nobody"], 1, "has the login nobody")?;
    // Unlinked, both sides are still compared.
    site.expect(&["sync", "unlink", "bob@example.test"], 0, "unlink: 1 of 1")?;
    site.slapd.modify(&set("bob", "displayName", "Robert"))?;
    let parted = site.expect(
        &["sync", "explain", "bob@example.test"],
        0,
        "An administrator unlinked",
    )?;
    ensure!(parted.contains("in the directory Robert"), "{parted}");
    // Another entry with the address of an account says what to do about it.
    site.slapd
        .add(&person("eve").replace("eve@example.test", "bob@example.test"))?;
    site.until(
        &["sync", "quarantine"],
        "take the address from one of the two entries",
    )
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() -> Result<()> {
    let site = Site::start("", &["alice", "bob"])?;
    site.until(&["sync", "status"], "linked         2")?;
    let (binary, config) = (site.binary.path().display(), site.homing.config());
    for command in ["account list", "sync plan", "sync run --full", "audit"] {
        let script = format!(
            "{binary} {command} --config {} | true; echo ${{PIPESTATUS[0]}}",
            config.display()
        );
        let done = Command::new("bash").args(["-c", &script]).output()?;
        ensure!(
            done.stdout == b"0\n" && done.stderr.is_empty(),
            "{command}: {done:?}"
        );
    }
    Ok(())
}

#[test]
fn one_domain_of_two_is_stopped_and_begun_by_its_name() -> Result<()> {
    let mut site = Site::start(
        "direction = \"both-ways\"\naccounts.filter = \"(mail=*@example.test)\"",
        &["alice"],
    )?;
    site.until(&["sync", "status"], "linked         1")?;
    // A second domain, with accounts already, in the same directory.
    let entry = person("nora").replace("nora@example.test", "nora@example.net");
    site.slapd.add(&entry)?;
    site.expect(&["domain", "create", "example.net"], 0, "created")?;
    let create = ["account", "create", "olaf@example.net", "--password-stdin"];
    site.homing.command_with_input(&create, b"olaf-secret\n")?;
    let text = std::fs::read_to_string(site.homing.config())?;
    let start = text.find("[[connector]]").context("a connector")?;
    let end = text.find("[[imap.listener]]").context("a listener")?;
    let second = text[start..end]
        .replace("name = \"corp\"", "name = \"net\"")
        .replace("example.test\"]", "example.net\"]")
        .replace("@example.test)", "@example.net)");
    std::fs::write(
        site.homing.config(),
        text.replace("[[imap.listener]]", &format!("{second}[[imap.listener]]")),
    )?;
    site.homing.restart()?;
    site.until(&["sync", "status"], "waiting for approval: 1 accounts")?;
    site.expect(&["sync", "plan"], 64, "name the connector, one of: corp, net")?;
    site.expect(
        &["sync", "plan", "example.com"],
        1,
        "none synchronises a domain example.com",
    )?;
    // Switched on, the plan is shown first; the other domain goes on meanwhile.
    let shown = site.expect(
        &["sync", "start", "example.net"],
        1,
        "homing sync start --yes net",
    )?;
    ensure!(
        shown.contains("olaf@example.net directory: + create account")
            && shown.contains("nora@example.net + create account")
            && !shown.contains("alice"),
        "{shown}"
    );
    site.slapd.modify(&set("alice", "displayName", "Alice B."))?;
    site.until(&["account", "show", "alice@example.test"], "Alice B.")?;
    site.expect(&["sync", "start", "--yes", "example.net"], 0, "net is started")?;
    site.until(&["account", "list"], "nora@example.net")?;
    // Switched off, it is left alone; the other goes on.
    site.expect(&["sync", "stop", "example.net"], 0, "net is stopped")?;
    site.slapd.modify(&set("nora", "displayName", "Nora B."))?;
    site.slapd.modify(&set("alice", "displayName", "Alice C."))?;
    site.until(&["account", "show", "alice@example.test"], "Alice C.")?;
    let nora = site.expect(&["account", "show", "nora@example.net"], 0, "nora")?;
    ensure!(!nora.contains("Nora B."), "{nora}");
    site.expect(
        &["sync", "plan", "example.net"],
        0,
        "display_name: nora -> Nora B.",
    )?;
    Ok(())
}
