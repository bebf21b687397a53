//! Every order to synchronisation as a script gives it: JSON on the command line, and the admin API itself.

use super::sync_operations::{Site, USERS, person, set};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use system_tests::steps::eventually;
use testkit::Child;

const API: &str = "/v1/sync/corp";

impl Site {
    /// The hash of the plan, by the API's last line.
    fn plan_hash(&self) -> Result<String> {
        let lines = self.lines(&["sync", "plan"])?;
        let last = lines.last().context("a summary")?;
        Ok(last["hash"].as_str().context("a hash")?.to_owned())
    }
}

#[test]
fn every_order_has_its_request_and_its_json() -> Result<()> {
    let site = Site::start(
        "direction = \"both-ways\"\nconflict_resolution = \"ldap-wins\"\nguard = { limit = 1, floor = 0, percent = 1 }",
        &["alice", "bob"],
    )?;
    site.followed()?;
    site.until(&["sync", "status"], "linked         2")?;
    // Each row is the command line, and the request that does the same; their JSON has this key.
    let nothing = Value::Null;
    let reads: [(&[&str], &str, &str); 5] = [
        (&["sync", "status"], "/v1/sync", "connector"),
        (
            &["sync", "explain", "alice@example.test"],
            "/v1/sync/corp/objects/alice@example.test",
            "rules",
        ),
        (&["group", "list"], "/v1/groups", ""),
        (&["account", "list"], "/v1/accounts", "state"),
        (&["domain", "list"], "/v1/domains", ""),
    ];
    for (args, path, key) in reads {
        let out = site.expect(&[args, &["--json"]].concat(), 0, "")?;
        let printed: Value = serde_json::from_str(&out).with_context(|| format!("{args:?}: {out}"))?;
        let asked = site.request("GET", path, &nothing)?;
        for value in [&printed, &asked] {
            let first = value.get(0).unwrap_or(value);
            ensure!(
                key.is_empty() || first.get(key).is_some(),
                "{args:?} {path}: {value}"
            );
        }
    }
    // Lists are JSON lines, and pages of rows over the API.
    for (args, path) in [
        (&["sync", "conflicts"][..], "conflicts"),
        (&["sync", "quarantine"], "quarantine"),
        (&["sync", "pending"], "pending"),
    ] {
        ensure!(site.lines(args)?.is_empty());
        let page = site.request("GET", &format!("{API}/{path}"), &nothing)?;
        ensure!(
            page["rows"] == json!([]) && page["next"].is_null(),
            "{path}: {page}"
        );
    }
    for full in [false, true] {
        let done = site.request("POST", &format!("{API}/run"), &json!({ "full": full }))?;
        ensure!(done["state"] == "following", "{done}");
    }
    // Stop, a plan, apply, start.
    let stopped = site.request("POST", &format!("{API}/stop"), &json!({}))?;
    ensure!(stopped["state"] == "stopped", "{stopped}");
    site.expect(
        &[
            "account",
            "change",
            "alice@example.test",
            "--display-name",
            "Here",
        ],
        0,
        "",
    )?;
    site.slapd.modify(&set("alice", "displayName", "There"))?;
    let hash = site.plan_hash()?;
    let applied = site.request("POST", &format!("{API}/apply"), &json!({ "hash": hash }))?;
    ensure!(applied["counts"]["conflicts"] == 1, "{applied}");
    let started = site.request("POST", &format!("{API}/start"), &json!({ "yes": false }))?;
    ensure!(started["state"] != "stopped", "{started}");
    // What lost comes back by its id.
    let lost = site.lines(&["sync", "conflicts"])?;
    let id = lost[0]["id"].as_str().context("an id")?;
    let back = site.request("POST", &format!("{API}/restore"), &json!({ "id": id }))?;
    ensure!(
        back["restored"]
            .as_str()
            .is_some_and(|text| text.contains("Here")),
        "{back}"
    );
    site.until(&["account", "show", "alice@example.test"], "Here")?;
    // What the guard holds is approved by its hash.
    site.slapd.delete(&format!("uid=bob,{USERS}"))?;
    site.until(&["sync", "status"], "holds 1 destructive")?;
    let aside = site.lines(&["sync", "quarantine"])?;
    ensure!(aside.len() == 1 && aside[0]["held"] == true, "{aside:?}");
    let tried = site.request("POST", &format!("{API}/quarantine/retry"), &json!({}))?;
    ensure!(tried["held"] == 1, "{tried}");
    let approved = site.request(
        "POST",
        &format!("{API}/approve"),
        &json!({ "hash": tried["hash"] }),
    )?;
    ensure!(approved["guard"]["held"] == 0, "{approved}");
    // Links: every line is one of JSON, the last one as well.
    let parted = site.lines(&["sync", "unlink", "alice@example.test"])?;
    ensure!(
        parted == [json!({ "order": "unlink", "changed": 1, "of": 1 })],
        "{parted:?}"
    );
    let dry = site.lines(&["sync", "relink", "--by", "mail", "--dry-run"])?;
    ensure!(
        dry.len() == 2 && dry[1] == json!({ "would_link": 1, "of": 1 }),
        "{dry:?}"
    );
    let links = site.request(
        "GET",
        &format!("{API}/links?state=unlinked-held&pairing=true"),
        &nothing,
    )?;
    ensure!(links["rows"][0]["pairing"]["found"] == "same", "{links}");
    let order = json!({ "order": "relink", "objects": ["alice@example.test"] });
    let linked = site.request("POST", &format!("{API}/links"), &order)?;
    ensure!(linked["changed"] == 1, "{linked}");
    // What is no order is told in JSON, too.
    let refused = site.request("PUT", &format!("{API}/plan"), &json!({}));
    ensure!(refused.is_err_and(|error| error.to_string().contains("no such operation")));
    Ok(())
}

/// Somebody who asks for a plan.
fn asking(site: &Site, number: u32) -> Result<Child> {
    let config = site.homing.config().display().to_string();
    let log = site.homing.folder().join(format!("plan{number}.log"));
    Child::spawn(site.binary.path(), &["sync", "plan", "--config", &config], &log)
}

// Each plan reads the whole directory, so there are two at once, and whoever goes away makes room.
#[test]
fn plans_end_with_whoever_asked() -> Result<()> {
    let site = Site::start("timeout = 300", &["alice"])?;
    site.until(&["sync", "status"], "linked         1")?;
    let slapd = site.slapd.child().context("slapd runs")?;
    slapd.freeze();
    let mut waiting = vec![asking(&site, 1)?, asking(&site, 2)?];
    // As soon as the two have come that far, a third one is refused.
    eventually("a third one is refused", || {
        // A third one that was quicker on a busy machine had the place of one of the two.
        for one in &mut waiting {
            if !one.is_running() {
                *one = asking(&site, 1)?;
            }
        }
        let mut third = asking(&site, 3)?;
        let Ok(code) = third.wait(Duration::from_secs(5)) else {
            third.kill()?;
            return Ok(false);
        };
        ensure!(code == Some(75), "{code:?} {}", third.output());
        let refused = third
            .output()
            .contains("several plans of this connector are being made");
        Ok(refused && waiting.iter_mut().all(Child::is_running))
    })?;
    ensure!(
        waiting.iter_mut().all(Child::is_running),
        "the two wait for the directory"
    );
    for one in &mut waiting {
        one.kill()?;
    }
    // Nobody waits for the two any more: a new one is not refused, and is there when the directory is.
    let mut next = Vec::new();
    eventually("there is room again", || {
        let mut one = asking(&site, 4)?;
        let refused = one.wait(Duration::from_secs(3)).is_ok();
        next.push(one);
        Ok(!refused)
    })?;
    slapd.thaw();
    let last = next.last_mut().context("a plan")?;
    let code = last.wait(Duration::from_secs(60))?;
    ensure!(code == Some(0), "{code:?} {}", last.output());
    Ok(())
}

// Released is not for ever: until it is erased the mail can be kept again, for the home that has the account now.
#[test]
fn what_was_released_can_be_taken_back() -> Result<()> {
    let site = Site::start("clustered = true", &[])?;
    site.slapd.add(&placed("alice", "mail.example.test"))?;
    site.until(&["account", "list"], "alice@example.test")?;
    site.slapd
        .modify(&set("alice", "mailHost", "other.example.test"))?;
    site.until(
        &["account", "list", "--state", "moved-away"],
        "alice@example.test",
    )?;
    site.expect(&["account", "release", "1"], 0, "its mail is kept until")?;
    site.expect(
        &["account", "list", "--state", "deleted"],
        0,
        "alice@example.test",
    )?;
    for back in ["undelete", "enable"] {
        site.expect(&["account", back, "1"], 0, "alice@example.test")?;
        // It has another home, so nobody opens it here.
        site.expect(
            &["account", "list", "--state", "moved-away"],
            0,
            "alice@example.test",
        )?;
        site.expect(&["sync", "run", "--full"], 0, "following")?;
        site.expect(
            &["account", "list", "--state", "moved-away"],
            0,
            "alice@example.test",
        )?;
        site.expect(&["account", "release", "1"], 0, "its mail is kept until")?;
    }
    let said = site.expect(
        &["account", "undelete", "1"],
        0,
        "has its home on other.example.test",
    )?;
    ensure!(!said.contains("in use again"), "{said}");
    // Under an address of its own it is nobody's but this server's.
    site.expect(&["account", "release", "1"], 0, "")?;
    site.expect(
        &["account", "undelete", "1", "--as", "old@example.test"],
        0,
        "in use again",
    )?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(&["account", "show", "old@example.test"], 0, "active")
        .map(drop)
}

// An account that comes from another home waits for its mail, until somebody says that none will come.
#[test]
fn who_waits_for_mail_that_never_comes_is_opened() -> Result<()> {
    let site = Site::start("clustered = true", &[])?;
    site.slapd.add(&placed("alice", "other.example.test"))?;
    site.followed()?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.slapd
        .modify(&set("alice", "mailHost", "mail.example.test"))?;
    site.until(
        &["account", "list", "--state", "awaiting-mail"],
        "alice@example.test",
    )?;
    let told = site.expect(
        &["sync", "explain", "alice@example.test"],
        0,
        "other.example.test",
    )?;
    ensure!(told.contains("homing account open 1"), "{told}");
    let open = ["account", "open", "alice@example.test"];
    site.expect(&open, 0, "alice@example.test is in use")?;
    site.expect(&open, 1, "does not wait for mail from another home")?;
    site.expect(&["audit", "--object", "alice@example.test"], 0, "in use again")?;
    // It lasts: neither a comparison nor another move lets it wait for that home again.
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(&["account", "show", "alice@example.test"], 0, "active")?;
    site.slapd
        .modify(&set("alice", "mailHost", "third.example.test"))?;
    site.until(
        &["account", "list", "--state", "moved-away"],
        "alice@example.test",
    )?;
    site.slapd
        .modify(&set("alice", "mailHost", "mail.example.test"))?;
    site.until(&["account", "list", "--state", "active"], "alice@example.test")
        .map(drop)
}

/// An entry whose home is named.
fn placed(name: &str, host: &str) -> String {
    let entry = person(name).replace(
        "objectClass: inetOrgPerson\n",
        "objectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n",
    );
    format!("{}\nmailHost: {host}\n\n", entry.trim_end())
}

#[test]
fn who_is_parted_from_the_entry_has_a_password_of_its_own() -> Result<()> {
    let site = Site::start("direction = \"both-ways\"", &["alice"])?;
    site.until(&["sync", "status"], "linked         1")?;
    let password = ["account", "password", "alice@example.test", "--password-stdin"];
    let told = site.homing.command_with_input(&password, b"first-secret-1\n")?;
    ensure!(told.contains("in the directory (corp)"), "{told}");
    let hash = || site.slapd.search(USERS, "(uid=alice)", &["userPassword"]);
    let before = hash()?;
    site.expect(&["sync", "unlink", "alice@example.test"], 0, "unlink: 1 of 1")?;
    let told = site.homing.command_with_input(&password, b"second-secret-2\n")?;
    ensure!(!told.contains("directory") && hash()? == before, "{told}");
    // And so has somebody who was deleted, entry and all, and brought back.
    site.expect(&["sync", "relink", "alice@example.test"], 0, "relink: 1 of 1")?;
    site.expect(
        &["account", "delete", "alice@example.test"],
        0,
        "its mail is kept",
    )?;
    eventually("the entry is gone", || Ok(!hash()?.contains("alice")))?;
    site.expect(
        &["account", "undelete", "1"],
        0,
        "homing sync release alice@example.test",
    )?;
    let told = site.homing.command_with_input(&password, b"third-secret-3\n")?;
    ensure!(
        told.contains("changed the password") && !told.contains("directory"),
        "{told}"
    );
    Ok(())
}
