//! Only one side is written: what is edited on the other one is put right again.

use super::directory::{Kind, Word};
use super::site::Site;
use anyhow::{Result, ensure};

pub(super) fn the_directory_is_the_source(kind: Kind) -> Result<()> {
    let mut site = Site::start(kind, "direction = \"ldap-to-local\"")?;
    site.there(|directory| directory.add("anna", &[(Word::Name, "Anna"), (Word::Quota, "1048576")]))?;
    site.until("she is here", |site| {
        Ok(site.says("anna", "display_name")? == "Anna")
    })?;
    let version = site.directory.version("anna")?;
    // An edit here is refused, for it would be undone; a switch is not, and is undone.
    let (code, _, error) = site.run(&["account", "change", "anna@example.test", "--display-name", "x"])?;
    ensure!(code == 1 && error.contains("directory"), "{code} {error}");
    site.here(|site| site.order(&["account", "delete", "anna@example.test"]).map(drop))?;
    site.order(&["sync", "run", "--full"])?;
    ensure!(
        site.directory.version("anna")? == version,
        "the source was written"
    );
    // An account that only this server has is not touched by anything.
    site.there(|directory| directory.set("anna", Word::Name, "Anna A."))?;
    site.until("she is back with the edit", |site| {
        Ok(site.says("anna", "display_name")? == "Anna A.")
    })?;
    site.there(|directory| directory.delete("anna"))?;
    site.until("gone", |site| Ok(site.account("anna")?.is_none()))
}

pub(super) fn the_mail_server_is_the_source(kind: Kind) -> Result<()> {
    let under = match kind {
        Kind::Openldap => "accounts.create_under = \"ou=%d,ou=Users,o=example,dc=example,dc=test\"",
        Kind::ActiveDirectory => "accounts.create_under = \"OU=%d,OU=People,DC=ad,DC=example,DC=test\"",
    };
    let mut site = Site::start(kind, &format!("direction = \"local-to-ldap\"\n{under}"))?;
    // The place for people of the domain is made on the way.
    site.here(|site| site.create("anna"))?;
    site.until("she is there", |site| {
        Ok(site.directory.says("anna", Word::Name)? == ["anna"])
    })?;
    let number = site.says("anna", "id")?;
    // Drift is put right at the next comparison.
    site.there(|directory| {
        directory.set("anna", Word::Name, "Somebody else")?;
        directory.add("stranger", &[])
    })?;
    site.until("put right", |site| {
        site.run(&["sync", "run", "--full"])?;
        Ok(site.directory.says("anna", Word::Name)? == ["anna"])
    })?;
    ensure!(
        site.says("anna", "display_name")? == "anna",
        "the source was written"
    );
    ensure!(site.account("stranger")?.is_none(), "an entry became an account");
    ensure!(
        site.directory.read("stranger")?.is_some(),
        "an entry of nobody's was deleted"
    );
    site.here(|site| site.change("anna", &["--address", "annette@example.test"]))?;
    site.until("renamed", |site| {
        Ok(site.directory.read_address("annette")?.is_some())
    })?;
    ensure!(site.says("annette", "id")? == number);
    site.here(|site| {
        site.order(&["account", "delete", "annette@example.test"])
            .map(drop)
    })?;
    site.until("gone", |site| {
        Ok(site.directory.read_address("annette")?.is_none())
    })
}
