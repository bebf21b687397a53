//! The same entry edited on both sides: three resolutions, two scopes, and deletions.

use super::directory::{Kind, Word};
use super::site::Site;
use anyhow::{Context, Result, ensure};

/// A resolution, and the name that it leaves on both sides.
const RULES: [(&str, &str); 3] = [
    ("ldap-wins", "Theirs"),
    ("local-wins", "Ours"),
    ("no-change", "Before"),
];

fn settings(rule: &str, scope: &str) -> String {
    format!("direction = \"both-ways\"\nconflict_resolution = \"{rule}\"\nconflict_scope = \"{scope}\"")
}

/// The name collides; an alias is added there, and a limit is set here.
fn collide(site: &mut Site, name: &str) -> Result<()> {
    site.there(|directory| directory.add(name, &[(Word::Name, "Before")]))?;
    site.until(
        "the base",
        |site| Ok(site.says(name, "display_name")? == "Before"),
    )?;
    site.both(
        |directory| {
            directory.set(name, Word::Name, "Theirs")?;
            directory.change(name, "add", Word::Alias, &format!("{name}-also"))
        },
        |site| site.change(name, &["--display-name", "Ours", "--quota", "5MiB"]),
    )
}

/// Whether both sides have come to the same.
fn have(site: &Site, name: &str, (shown, alias, quota): (&str, bool, bool)) -> Result<bool> {
    let aliases: Vec<String> = alias.then(|| format!("{name}-also")).into_iter().collect();
    let limit = if quota { "5242880" } else { "" };
    let there = site.directory.says(name, Word::Quota)?;
    let there = there.first().map_or("", String::as_str);
    // 0 is how an entry says "no limit" that had one.
    Ok(site.says(name, "display_name")? == shown
        && site.directory.says(name, Word::Name)? == [shown]
        && site.aliases(name)? == aliases
        && site.directory.says(name, Word::Alias)? == aliases
        && site.says(name, "quota")? == limit
        && there.trim_start_matches('0') == limit)
}

/// Fields of one person that lost.
fn fields(site: &Site, name: &str) -> Result<Vec<String>> {
    let lost = site.conflicts()?;
    let own = lost
        .iter()
        .filter(|row| row["object"].as_str().is_some_and(|text| text.starts_with(name)));
    let mut fields: Vec<String> = own
        .map(|row| row["field"].as_str().unwrap_or_default().to_owned())
        .collect();
    fields.sort();
    Ok(fields)
}

pub(super) fn the_attribute_decides(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, &settings("ldap-wins", "attribute"))?;
    for (at, (rule, shown)) in RULES.into_iter().enumerate() {
        let name = format!("anna{at}");
        site.configure(&settings(rule, "attribute"))?;
        collide(&mut site, &name)?;
        // What does not collide is merged, whoever wins.
        site.until(rule, |site| have(site, &name, (shown, true, true)))?;
        let fields = fields(&site, &name)?;
        ensure!(fields == ["display_name"], "{rule}: {fields:?}");
        site.at_rest(&[&name])?;
    }
    // The value that lost comes back by its id.
    let lost = site.conflicts()?;
    let row = lost
        .iter()
        .find(|row| row["lost"] == "here")
        .context("ours lost once")?;
    let id = row["id"].as_str().context("an id")?;
    site.order(&["sync", "restore", id])?;
    site.until("restored on both sides", |site| {
        have(site, "anna0", ("Ours", true, true))
    })
}

pub(super) fn the_entry_decides(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, &settings("ldap-wins", "entry"))?;
    for (at, (rule, shown)) in RULES.into_iter().enumerate() {
        let name = format!("anna{at}");
        site.configure(&settings(rule, "entry"))?;
        collide(&mut site, &name)?;
        // The loser's changes are dropped as a whole, and stand in the journal as a whole.
        let (alias, quota) = (rule == "ldap-wins", rule == "local-wins");
        site.until(rule, |site| have(site, &name, (shown, alias, quota)))?;
        let fields = fields(&site, &name)?;
        ensure!(fields.contains(&"display_name".to_owned()), "{rule}: {fields:?}");
        ensure!(
            alias || fields.contains(&"aliases".to_owned()),
            "{rule}: {fields:?}"
        );
        ensure!(
            quota || fields.contains(&"quota".to_owned()),
            "{rule}: {fields:?}"
        );
        site.at_rest(&[&name])?;
    }
    Ok(())
}

pub(super) fn deleted_here_and_edited_there(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, &settings("ldap-wins", "attribute"))?;
    for (at, (rule, _)) in RULES.into_iter().enumerate() {
        site.configure(&settings(rule, "attribute"))?;
        let name = format!("anna{at}");
        let address = format!("{name}@example.test");
        site.there(|directory| directory.add(&name, &[(Word::Name, "Before")]))?;
        site.until("the base", |site| {
            Ok(site.says(&name, "display_name")? == "Before")
        })?;
        site.both(
            |directory| directory.set(&name, Word::Name, "Theirs"),
            |site| site.order(&["account", "delete", &address]).map(drop),
        )?;
        match rule {
            // Resurrected with the edit.
            "ldap-wins" => site.until(rule, |site| Ok(site.says(&name, "display_name")? == "Theirs"))?,
            "local-wins" => site.until(rule, |site| Ok(site.directory.read(&name)?.is_none()))?,
            // Held: neither side follows the other.
            _ => {
                site.until(rule, |site| {
                    let explained = site.run(&["sync", "explain", &address])?.1;
                    Ok(explained.contains("conflict") || explained.contains("held"))
                })?;
                ensure!(site.account(&name)?.is_none(), "{rule}: it is back");
                ensure!(site.directory.read(&name)?.is_some(), "{rule}: it is gone");
            }
        }
    }
    Ok(())
}
