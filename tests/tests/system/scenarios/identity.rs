//! Who is who: names, places, successors, and addresses that two want.

use super::directory::{Kind, Word};
use super::site::Site;
use anyhow::{Result, ensure};

const BOTH: &str = "direction = \"both-ways\"";

/// The number of an account, by which its mail is kept.
fn number(site: &Site, name: &str) -> Result<String> {
    site.says(name, "id")
}

pub(super) fn renames_and_new_places(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    site.there(|directory| {
        directory.branch("east")?;
        directory.add("anna", &[(Word::Name, "Anna")])?;
        directory.add("ben", &[(Word::Name, "Ben")])
    })?;
    site.until("both are here", |site| {
        Ok(site.account("anna")?.is_some() && site.account("ben")?.is_some())
    })?;
    let (anna, ben) = (number(&site, "anna")?, number(&site, "ben")?);
    // An address there, an address here.
    site.there(|directory| directory.set("anna", Word::Mail, "annette"))?;
    site.until("renamed there", |site| Ok(number(site, "annette")? == anna))?;
    site.here(|site| site.change("ben", &["--address", "benno@example.test"]))?;
    site.until("renamed here", |site| {
        Ok(site.directory.read_address("benno")?.is_some())
    })?;
    // His entry may have taken the name along.
    let entry = site.directory.called("benno")?;
    // Another name and another place, and then the place is renamed, of which only the place tells.
    site.there(|directory| directory.rename("anna", "annette", Some("east")))?;
    site.there(|directory| directory.rename_branch("east", "orient"))?;
    site.here(|site| site.change("annette", &["--display-name", "Annette"]))?;
    site.until("her entry is found where it is", |site| {
        Ok(site.directory.says("annette", Word::Name)? == ["Annette"])
    })?;
    ensure!(number(&site, "annette")? == anna && number(&site, "benno")? == ben);
    // Two swap their addresses, by way of a third one.
    site.there(|directory| {
        directory.set("annette", Word::Mail, "aside")?;
        directory.set(&entry, Word::Mail, "annette")?;
        directory.set("annette", Word::Mail, "benno")
    })?;
    site.until("they have swapped", |site| {
        Ok(number(site, "benno")? == anna && number(site, "annette")? == ben)
    })?;
    site.at_rest(&["annette", &entry])
}

/// A domain controller tells nothing of a change of an attribute that only the filter names, so there the next
/// comparison of everything sees it.
fn noticed(site: &Site) -> Result<()> {
    if site.directory.kind() == Kind::ActiveDirectory {
        site.until("a comparison", |site| {
            Ok(site.run(&["sync", "run", "--full"])?.0 == 0)
        })?;
    }
    Ok(())
}

pub(super) fn somebody_new_with_an_old_name(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    // A directory without anybody would be no directory.
    site.there(|directory| {
        directory.add("ben", &[])?;
        directory.add("anna", &[(Word::Name, "The first")])
    })?;
    site.until("she is here", |site| Ok(site.account("anna")?.is_some()))?;
    let first = number(&site, "anna")?;
    // Gone and there again while nobody looks: the same DN and address, and another person.
    site.there(|directory| {
        directory.delete("anna")?;
        directory.add("anna", &[(Word::Name, "The second")])
    })?;
    site.until("a successor", |site| {
        Ok(site.says("anna", "display_name")? == "The second")
    })?;
    ensure!(
        number(&site, "anna")? != first,
        "she has got the mail of her namesake"
    );
    let deleted = site.order(&["account", "list", "--state", "deleted"])?;
    ensure!(deleted.contains("The first"), "{deleted}");
    // Out of the filter and back: the same person, with her mail.
    let second = number(&site, "anna")?;
    site.there(|directory| directory.set("anna", Word::Title, "left"))?;
    noticed(&site)?;
    site.until("out of scope", |site| Ok(site.account("anna")?.is_none()))?;
    ensure!(site.directory.read("anna")?.is_some(), "her entry was deleted");
    site.there(|directory| directory.clear("anna", Word::Title))?;
    noticed(&site)?;
    site.until("back", |site| Ok(number(site, "anna")? == second))?;
    site.at_rest(&["anna"])
}

pub(super) fn an_address_that_two_want(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, BOTH)?;
    site.there(|directory| {
        directory.add("anna", &[(Word::Alias, "boss")])?;
        directory.add("ben", &[])
    })?;
    site.until("both are here", |site| {
        Ok(site.aliases("anna")? == ["boss"] && site.account("ben")?.is_some())
    })?;
    // Only who wants it too waits; an edit of somebody else goes its way.
    site.there(|directory| {
        directory.change("ben", "add", Word::Alias, "boss")?;
        directory.set("anna", Word::Name, "Anna A.")
    })?;
    site.until("somebody waits", |site| {
        let waits = site.order(&["sync", "quarantine"])?;
        Ok(waits.contains("boss@example.test") && site.says("anna", "display_name")? == "Anna A.")
    })?;
    ensure!(site.aliases("anna")? == ["boss"] && site.aliases("ben")?.is_empty());
    // It is free, and goes to who waits, without anybody's help.
    site.there(|directory| directory.change("anna", "delete", Word::Alias, "boss"))?;
    site.until("it is his", |site| Ok(site.aliases("ben")? == ["boss"]))?;
    site.at_rest(&["anna", "ben"])
}
