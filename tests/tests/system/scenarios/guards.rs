//! Many deletions at once.

use super::directory::Kind;
use super::site::Site;
use anyhow::{Context, Result, ensure};

pub(super) fn deletions_wait_for_approval_and_come_back(kind: Kind) -> Result<()> {
    let settings = "direction = \"both-ways\"\nguard = { limit = 2, floor = 2, percent = 100 }";
    let mut site = Site::start(kind, settings)?;
    let names: Vec<String> = (0..6).map(|number| format!("p{number}")).collect();
    site.there(|directory| names.iter().try_for_each(|name| directory.add(name, &[])))?;
    let living = |site: &Site| -> Result<usize> {
        let mut count = 0;
        for name in &names {
            count += usize::from(site.account(name)?.is_some());
        }
        Ok(count)
    };
    site.until("everybody is here", |site| Ok(living(site)? == names.len()))?;
    site.there(|directory| names.iter().take(4).try_for_each(|name| directory.delete(name)))?;
    site.until("the guard holds", |site| {
        Ok(site.status_at(0)?["guard"]["tripped"] == true)
    })?;
    ensure!(living(&site)? >= 4, "more than two are gone");
    // What is not destructive goes on, and whoever comes after a crash still waits.
    site.there(|directory| directory.add("newcomer", &[]))?;
    site.until("somebody new", |site| Ok(site.account("newcomer")?.is_some()))?;
    ensure!(living(&site)? >= 4, "a restart has let them pass");
    let status = site.status_at(0)?;
    let hash = status["guard"]["hash"]
        .as_str()
        .context("a hash to approve")?
        .to_owned();
    site.order(&["sync", "approve", &hash])?;
    site.until("they are gone", |site| Ok(living(site)? == 2))?;
    // Their mail is kept, and one of them comes back as her own account.
    let deleted = site.order(&["account", "list", "--state", "deleted"])?;
    let number = deleted
        .lines()
        .find(|line| line.contains("p0@example.test"))
        .and_then(|line| line.split_whitespace().next())
        .with_context(|| deleted.clone())?;
    site.order(&["account", "undelete", number])?;
    site.settled()?;
    ensure!(site.account("p0")?.is_some(), "the next round deleted her again");
    ensure!(site.directory.read("p0")?.is_none(), "she was written there");
    Ok(())
}
