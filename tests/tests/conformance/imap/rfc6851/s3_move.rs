//! Section 3: MOVE and UID MOVE.

use crate::imap::{code, ensure_announces, fetched, flags, no, number_of, uids, with_messages};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(Imap: move_takes_away_and_tells);

fn move_takes_away_and_tells(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 5)?;
    ensure_announces(&mut client, "MOVE")?;
    client.ok("CREATE work")?;
    client.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")?;
    client.ok("STORE 5 +FLAGS.SILENT (\\Deleted)")?;
    let before = uids(&mut client)?;
    let untagged = client.ok("MOVE 2,4 work")?;
    // Section 4.3: COPYUID comes before the first EXPUNGE.
    let copyuid = untagged.iter().position(|line| line.contains("[COPYUID "));
    let expunged: Vec<usize> = untagged
        .iter()
        .enumerate()
        .filter(|(_, line)| line.ends_with(" EXPUNGE"))
        .map(|(index, _)| index)
        .collect();
    ensure!(expunged.len() == 2, "{untagged:?}");
    ensure!(
        copyuid.is_some_and(|at| expunged.iter().all(|other| at < *other)),
        "{untagged:?}"
    );
    let value = code(&untagged, "COPYUID").context("COPYUID")?;
    ensure!(
        value.contains(&format!(" {},{} ", before[1], before[3])),
        "COPYUID {value}"
    );
    let left = uids(&mut client)?;
    // A message that is only marked as deleted stays.
    ensure!(left == [before[0], before[2], before[4]], "{left:?}");

    client.ok(&format!("UID MOVE {} work", before[0]))?;
    client.ok("UID MOVE 4000000000 work")?;
    no(&mut client, "MOVE 1 nowhere")?;
    ensure!(uids(&mut client)? == [before[2], before[4]]);
    let selected = client.ok("SELECT work")?;
    ensure!(number_of(&selected, "EXISTS") == Some(3), "{selected:?}");
    let untagged = client.ok("FETCH 1 (FLAGS)")?;
    ensure!(flags(fetched(&untagged, 1)?)? == ["\\Flagged"], "{untagged:?}");
    Ok(())
}
