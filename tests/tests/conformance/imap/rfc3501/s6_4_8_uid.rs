//! Section 6.4.8: UID.

use crate::imap::{fetched, flags, item, number_of, uids, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: uid_commands_speak_of_uids);

fn uid_commands_speak_of_uids(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 5)?;
    client.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")?;
    client.ok("EXPUNGE")?;
    let all = uids(&mut client)?;
    ensure!(all.len() == 3, "{all:?}");

    // The response has the UID whether it was asked for or not.
    let untagged = client.ok(&format!("UID FETCH {} (FLAGS)", all[1]))?;
    ensure!(
        item(fetched(&untagged, 2)?, "UID")? == all[1].to_string(),
        "{untagged:?}"
    );
    let untagged = client.ok(&format!("UID STORE {} +FLAGS (\\Flagged)", all[2]))?;
    let fetch = fetched(&untagged, 3)?;
    ensure!(flags(fetch)? == ["\\Flagged"], "{fetch}");
    ensure!(item(fetch, "UID")? == all[2].to_string(), "{fetch}");

    // A UID that is not there is no error, and a range holds only what exists.
    let untagged = client.ok(&format!("UID FETCH {} (FLAGS)", all[0] - 1))?;
    ensure!(
        !untagged.iter().any(|line| line.contains(" FETCH ")),
        "{untagged:?}"
    );
    let untagged = client.ok("UID FETCH 1:4294967295 (UID)")?;
    ensure!(
        untagged.iter().filter(|line| line.contains(" FETCH ")).count() == 3,
        "{untagged:?}"
    );
    // "n:*" always has the last message, for a range has no order.
    let untagged = client.ok("UID FETCH 4000000000:* (UID)")?;
    ensure!(
        item(fetched(&untagged, 3)?, "UID")? == all[2].to_string(),
        "{untagged:?}"
    );

    client.ok("CREATE work")?;
    client.ok(&format!("UID COPY {}:{} work", all[0], all[1]))?;
    let selected = client.ok("SELECT work")?;
    ensure!(number_of(&selected, "EXISTS") == Some(2), "{selected:?}");
    Ok(())
}
