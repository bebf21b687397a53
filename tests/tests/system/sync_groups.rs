//! Groups by hand: what an administrator edits here, in each direction, and what comes back from the directory.

use super::sync_operations::{Site, USERS};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use system_tests::steps::eventually;

const GROUPS: &str = "ou=Groups,o=example,dc=example,dc=test";

fn team(members: &[&str]) -> String {
    let members: String = members
        .iter()
        .map(|name| format!("member: uid={name},{USERS}\n"))
        .collect();
    format!(
        "dn: cn=team,{GROUPS}\nobjectClass: groupOfNames\nobjectClass: homingGroup\ncn: team\n\
         mail: team@example.test\ndisplayName: Team\n{members}\n"
    )
}

fn edit(name: &str, lines: &str) -> String {
    format!("dn: cn={name},{GROUPS}\nchangetype: modify\n{lines}\n\n")
}

impl Site {
    fn with_a_team(direction: &str) -> Result<Self> {
        let site = Self::start(
            &format!("direction = \"{direction}\""),
            &["alice", "bob", "carol"],
        )?;
        site.slapd.add(&team(&["alice", "bob"]))?;
        site.until(&["group", "list"], "team@example.test")?;
        Ok(site)
    }

    fn group(&self, address: &str) -> Result<Value> {
        let out = self.expect(&["group", "show", address, "--json"], 0, "")?;
        Ok(serde_json::from_str(&out)?)
    }

    /// Waits until the entry has all of these lines, and none that begins with a text after a minus sign.
    fn until_entry(&self, filter: &str, lines: &[&str]) -> Result<()> {
        eventually(&format!("{filter} has {lines:?}"), || {
            let entry = self.slapd.search(GROUPS, filter, &[])?;
            Ok(lines.iter().all(|line| match line.strip_prefix('-') {
                Some(gone) => !entry.lines().any(|line| line.starts_with(gone)),
                None => entry.lines().any(|found| found == *line),
            }))
        })
    }
}

#[test]
fn a_group_is_edited_on_both_sides() -> Result<()> {
    let site = Site::with_a_team("both-ways")?;
    let change = |more: &[&'static str]| [&["group", "change", "team@example.test"], more].concat();
    site.expect(&change(&[]), 64, "nothing is to be changed")?;
    site.expect(
        &change(&["--remove-alias", "x@example.test"]),
        1,
        "is no alias of",
    )?;
    site.expect(&change(&["--address", "alice@example.test"]), 1, "exists already")?;
    site.expect(
        &["group", "change", "nobody@example.test", "--display-name", "x"],
        1,
        "there is no group",
    )?;
    // Name and alias go to the entry.
    site.expect(
        &change(&["--display-name", "All of us", "--add-alias", "all@example.test"]),
        0,
        "changed group team@example.test",
    )?;
    site.until_entry(
        "(cn=team)",
        &["displayName: All of us", "mailLocalAddress: all@example.test"],
    )?;
    // A version that is no longer the one that was looked at.
    let version = site.group("team@example.test")?["version"]
        .as_u64()
        .context("a version")?;
    let old = (version - 1).to_string();
    let args = [
        "group",
        "change",
        "team@example.test",
        "--display-name",
        "x",
        "--if-version",
        &old,
    ];
    site.expect(&args, 1, "has been changed meanwhile")?;
    // The address; the entry is renamed with it, and the old address stays as an alias.
    site.expect(
        &change(&[
            "--address",
            "crew@example.test",
            "--add-alias",
            "team@example.test",
        ]),
        0,
        "changed group crew@example.test",
    )?;
    site.until_entry(
        "(mail=crew@example.test)",
        &[
            "cn: crew",
            "mailLocalAddress: team@example.test",
            "mailLocalAddress: all@example.test",
        ],
    )?;
    // An alias names it as well.
    let back = [
        "group",
        "change",
        "all@example.test",
        "--display-name",
        "",
        "--remove-alias",
        "team@example.test",
    ];
    site.expect(&back, 0, "changed group crew@example.test")?;
    site.until_entry(
        "(cn=crew)",
        &["-displayName", "mailLocalAddress: all@example.test"],
    )?;
    // And the other way.
    site.slapd.modify(&edit(
        "crew",
        "replace: displayName\ndisplayName: From There\n-\nadd: mailLocalAddress\nmailLocalAddress: them@example.test",
    ))?;
    site.until(&["group", "show", "crew@example.test"], "From There")?;
    site.until(&["group", "show", "crew@example.test"], "them@example.test")?;
    site.expect(&["audit", "--object", "crew@example.test"], 0, "display name")?;
    site.expect(&["sync", "conflicts"], 0, "none")?;
    site.expect(&["sync", "quarantine"], 0, "none").map(drop)
}

#[test]
fn a_group_that_follows_the_directory_is_not_edited_here() -> Result<()> {
    let site = Site::with_a_team("ldap-to-local")?;
    for args in [
        &["group", "change", "team@example.test", "--display-name", "Ours"][..],
        &["group", "add", "team@example.test", "carol@example.test"],
        &["group", "remove", "team@example.test", "alice@example.test"],
    ] {
        let said = "Change the entry, or make the group its own first: homing sync unlink team@example.test";
        site.expect(args, 1, said)?;
    }
    ensure!(site.group("team@example.test")?["member_count"] == 2);
    // Who deletes it is told that it comes back, and it does.
    site.expect(&["group", "delete", "team@example.test"], 0, "for the moment")?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(&["group", "show", "team@example.test"], 0, "bob@example.test")?;
    site.expect(&["account", "delete", "carol@example.test"], 0, "for the moment")?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    site.expect(&["account", "show", "carol@example.test"], 0, "active")?;
    // Its own from here on.
    site.expect(&["sync", "unlink", "team@example.test"], 0, "unlink: 1 of 1")?;
    site.expect(
        &["group", "add", "team@example.test", "carol@example.test"],
        0,
        "is a member",
    )?;
    site.expect(
        &["group", "change", "team@example.test", "--display-name", "Ours"],
        0,
        "changed group",
    )?;
    site.expect(&["sync", "run", "--full"], 0, "following")?;
    let group = site.group("team@example.test")?;
    ensure!(
        group["member_count"] == 3 && group["display_name"] == "Ours",
        "{group}"
    );
    Ok(())
}

// More groups than one page has, each of them once and in order.
#[test]
fn groups_are_listed_page_by_page() -> Result<()> {
    let site = Site::start("", &["alice"])?;
    let wanted = 300;
    let mut ldif = String::new();
    for number in 0..wanted {
        ldif.push_str(&team(&["alice"]).replace("team", &format!("list{number:03}")));
    }
    site.slapd.add(&ldif)?;
    site.until(&["sync", "status"], &format!("linked         {}", wanted + 1))?;
    let out = site.expect(&["group", "list", "--json"], 0, "")?;
    let rows: Vec<Value> = serde_json::from_str(&out)?;
    let names: Vec<&str> = rows.iter().filter_map(|row| row["address"].as_str()).collect();
    let different: BTreeSet<&str> = names.iter().copied().collect();
    ensure!(
        names.len() == wanted && different.len() == wanted,
        "{} in the list, {} of them different",
        names.len(),
        different.len()
    );
    let page: Vec<Value> =
        serde_json::from_value(site.request("GET", "/v1/groups?limit=7", &Value::Null)?)?;
    ensure!(page.len() == 7);
    Ok(())
}
