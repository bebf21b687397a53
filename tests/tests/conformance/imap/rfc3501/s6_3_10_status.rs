//! Section 6.3.10: STATUS.

use crate::imap::{alice, append, code_number, item, no, text};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(Imap: status_counts_without_selecting);

fn status_counts_without_selecting(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    client.ok("CREATE work")?;
    append(&mut client, "work (\\Seen)", &text("one"))?;
    append(&mut client, "work", &text("two"))?;
    append(&mut client, "work (\\Flagged)", &text("three"))?;
    let untagged = client.ok("STATUS work (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)")?;
    let line = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* STATUS "))
        .context("no STATUS")?;
    let (name, items) = line.split_once(' ').context("no items")?;
    ensure!(name.trim_matches('"') == "work", "{line}");
    ensure!(item(items, "MESSAGES")? == "3", "{items}");
    ensure!(item(items, "UNSEEN")? == "2", "{items}");
    ensure!(item(items, "RECENT")?.parse::<u32>().is_ok(), "{items}");
    let selected = client.ok("EXAMINE work")?;
    ensure!(
        item(items, "UIDVALIDITY")? == code_number(&selected, "UIDVALIDITY")?.to_string(),
        "{items} {selected:?}"
    );
    ensure!(
        item(items, "UIDNEXT")? == code_number(&selected, "UIDNEXT")?.to_string(),
        "{items} {selected:?}"
    );
    // Items that were not asked for are not told.
    let untagged = client.ok("STATUS INBOX (MESSAGES)")?;
    ensure!(
        untagged.iter().any(|line| line.ends_with("(MESSAGES 0)")),
        "{untagged:?}"
    );
    no(&mut client, "STATUS nowhere (MESSAGES)")?;
    Ok(())
}
