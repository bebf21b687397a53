//! Edits on both sides that do not collide.

use super::directory::{Directory, Kind, Word};
use super::site::Site;
use anyhow::{Result, ensure};

const BOTH: &str = "direction = \"both-ways\"";

pub(super) fn edits_go_both_ways_and_are_made_once(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    site.there(|directory| directory.add("anna", &[(Word::Name, "Anna"), (Word::Alias, "first")]))?;
    site.until("she is here", |site| {
        Ok(site.says("anna", "display_name")? == "Anna")
    })?;
    // Somebody new here.
    site.here(|site| site.create("carol"))?;
    site.until("she is there", |site| {
        Ok(site.directory.says("carol", Word::Name)? == ["carol"])
    })?;
    // Different fields on both sides, and a set of values one by one.
    site.both(
        |directory| {
            directory.set("anna", Word::Name, "Anna A.")?;
            directory.change("anna", "add", Word::Alias, "second")
        },
        |site| {
            let (add, remove) = ("third@example.test", "first@example.test");
            site.change(
                "anna",
                &["--quota", "5MiB", "--add-alias", add, "--remove-alias", remove],
            )
        },
    )?;
    site.until("both have both edits", |site| {
        Ok(site.says("anna", "display_name")? == "Anna A."
            && site.says("anna", "quota")? == "5242880"
            && site.aliases("anna")? == ["second", "third"]
            && site.directory.says("anna", Word::Name)? == ["Anna A."]
            && site.directory.says("anna", Word::Quota)? == ["5242880"]
            && site.directory.says("anna", Word::Alias)? == ["second", "third"])
    })?;
    // Off there, on again here.
    site.there(|directory| directory.switch("anna", false))?;
    site.until("she is off here", |site| {
        Ok(site.says("anna", "state")? == "disabled")
    })?;
    site.here(|site| site.order(&["account", "enable", "anna@example.test"]).map(drop))?;
    site.until("she is on there", |site| site.directory.is_on("anna"))?;
    // Another spelling is no change, and is not corrected.
    site.there(|directory| directory.set("anna", Word::Mail, "Anna"))?;
    site.at_rest(&["anna", "carol"])?;
    ensure!(
        site.directory.says("anna", Word::Mail)? == ["Anna"],
        "it was corrected"
    );
    let lost = site.conflicts()?;
    ensure!(lost.is_empty(), "nothing collided: {lost:?}");
    // An account that is deleted here takes its entry along.
    site.here(|site| site.order(&["account", "delete", "carol@example.test"]).map(drop))?;
    site.until("her entry is gone", |site| {
        Ok(site.directory.read("carol")?.is_none())
    })
}

pub(super) fn members_come_and_go_on_both_sides(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    site.there(|directory| {
        for name in ["anna", "ben", "carol", "dora"] {
            directory.add(name, &[])?;
        }
        directory.team("team", &["anna", "ben"])
    })?;
    site.until("the team is here", |site| {
        Ok(site.members_at(0, "team")? == ["anna", "ben"])
    })?;
    let team = "team@example.test";
    site.both(
        |directory| {
            directory.member("add", "team", "carol")?;
            directory.member("delete", "team", "ben")
        },
        |site| site.order(&["group", "add", team, "dora@example.test"]).map(drop),
    )?;
    site.until("both have both edits", |site| {
        let want = ["anna", "carol", "dora"];
        Ok(site.members_at(0, "team")? == want && site.directory.members("team")? == want)
    })?;
    site.here(|site| {
        for name in ["anna@example.test", "carol@example.test", "dora@example.test"] {
            site.order(&["group", "remove", team, name])?;
        }
        Ok(())
    })?;
    // Where a group must have a member it keeps a placeholder, which nobody sees.
    site.until("nobody is left", |site| {
        Ok(site.directory.members("team")?.is_empty() && site.members_at(0, "team")?.is_empty())
    })?;
    site.there(|directory| directory.member("add", "team", "ben"))?;
    site.until("one again", |site| Ok(site.members_at(0, "team")? == ["ben"]))?;
    // Somebody who is deleted leaves the group on both sides, as the directory sees to it.
    site.there(|directory| directory.delete("ben"))?;
    site.until("and none", |site| Ok(site.members_at(0, "team")?.is_empty()))
}

/// The `cn` of anna's entry, which is its name where the directory wants it so.
const KNOWN: &str = "Anna Known";

fn is_called(directory: &Directory) -> &'static str {
    match directory {
        Directory::Slapd(_) => "anna",
        Directory::Samba(_) => KNOWN,
    }
}

// An entry cannot be without a cn: whoever has no name of his own has that one, and says so on both sides.
pub(super) fn a_name_that_is_cleared_uncovers_the_cn(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    site.there(|directory| {
        directory.add("anna", &[(Word::Name, "Anna A.")])?;
        match directory {
            Directory::Slapd(slapd) => slapd.modify(&format!(
                "dn: {}\nchangetype: modify\nreplace: cn\ncn: {KNOWN}\n\n",
                directory.dn("anna", None)
            )),
            Directory::Samba(_) => directory.rename("anna", KNOWN, None),
        }
    })?;
    site.until("she is here", |site| {
        Ok(site.says("anna", "display_name")? == "Anna A.")
    })?;
    let names = |site: &Site| -> Result<[Option<Vec<String>>; 2]> {
        let mut entry = site.directory.read_address("anna")?.unwrap_or_default();
        Ok(["displayName", "cn"].map(|name| entry.remove(name)))
    };
    let known = Some(vec![KNOWN.to_owned()]);
    site.here(|site| site.change("anna", &["--display-name", ""]))?;
    site.until("the cn is her name", |site| {
        Ok(names(site)? == [None, known.clone()] && site.says("anna", "display_name")? == KNOWN)
    })?;
    site.at_rest(&[is_called(&site.directory)])?;
    // A name of her own covers it again.
    site.here(|site| site.change("anna", &["--display-name", "Anna B."]))?;
    site.until("she has a name of her own", |site| {
        Ok(names(site)? == [Some(vec!["Anna B.".to_owned()]), known.clone()])
    })?;
    site.at_rest(&[is_called(&site.directory)])?;
    ensure!(site.says("anna", "display_name")? == "Anna B.", "another name");
    let lost = site.conflicts()?;
    ensure!(lost.is_empty(), "nothing collided: {lost:?}");
    Ok(())
}
