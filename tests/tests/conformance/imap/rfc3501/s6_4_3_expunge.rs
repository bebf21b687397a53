//! Section 6.4.3: EXPUNGE, and section 7.4.1: its response.

use crate::imap::{search, uids, with_messages};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(Imap: each_expunge_renumbers_what_follows, other_sessions_hear_of_it);

/// Does to a list what the EXPUNGE responses say, one after the other.
fn apply(untagged: &[String], mut list: Vec<u32>) -> Result<Vec<u32>> {
    for line in untagged {
        if let Some(number) = line
            .strip_prefix("* ")
            .and_then(|rest| rest.strip_suffix(" EXPUNGE"))
        {
            let number: usize = number.parse()?;
            ensure!(
                (1..=list.len()).contains(&number),
                "EXPUNGE {number} of {}",
                list.len()
            );
            list.remove(number - 1);
        }
    }
    Ok(list)
}

fn each_expunge_renumbers_what_follows(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 7)?;
    let before = uids(&mut client)?;
    client.ok("STORE 2,3,5,7 +FLAGS.SILENT (\\Deleted)")?;
    let untagged = client.ok("EXPUNGE")?;
    let left = apply(&untagged, before.clone())?;
    ensure!(left == [before[0], before[3], before[5]], "{untagged:?}");
    ensure!(
        uids(&mut client)? == left,
        "the responses do not say what is left"
    );
    let untagged = client.ok("EXPUNGE")?;
    ensure!(apply(&untagged, left.clone())? == left, "{untagged:?}");
    Ok(())
}

fn other_sessions_hear_of_it(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 4)?;
    let mut other = with_messages(server, 0)?;
    let before = uids(&mut other)?;
    client.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")?;
    client.ok("EXPUNGE")?;
    // Section 7.4.1: never during FETCH, STORE or SEARCH, so that numbers keep their meaning.
    for command in ["FETCH 4 (UID)", "SEARCH 4", "STORE 4 +FLAGS (\\Flagged)"] {
        let (untagged, tagged) = other.command(command)?;
        ensure!(tagged.starts_with("OK"), "{command}: {tagged}");
        ensure!(
            !untagged.iter().any(|line| line.ends_with(" EXPUNGE")),
            "{command}: {untagged:?}"
        );
    }
    let untagged = other.ok("NOOP")?;
    let left = apply(&untagged, before.clone())?;
    ensure!(left == [before[1], before[3]], "{untagged:?}");
    let found = search(&mut other, "SEARCH FLAGGED")?;
    let flagged = found.first().context("the STORE went nowhere")?;
    ensure!(*flagged == 2, "{found:?}");
    Ok(())
}
