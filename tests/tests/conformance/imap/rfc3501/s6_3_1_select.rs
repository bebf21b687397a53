//! Sections 6.3.1 and 6.3.2: SELECT and EXAMINE.

use crate::imap::{append, code, code_number, fetched, flags, no, number_of, text, with_messages};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(
    Imap: select_tells_all_that_it_must, examine_changes_nothing, a_failed_select_deselects,
);

fn select_tells_all_that_it_must(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    client.ok("STORE 1 +FLAGS (\\Seen)")?;
    let (untagged, tagged) = client.command("SELECT INBOX")?;
    ensure!(tagged.starts_with("OK [READ-WRITE]"), "{tagged}");
    ensure!(number_of(&untagged, "EXISTS") == Some(2), "{untagged:?}");
    ensure!(
        number_of(&untagged, "RECENT").is_some(),
        "no RECENT in {untagged:?}"
    );
    ensure!(code_number(&untagged, "UNSEEN")? == 2, "{untagged:?}");
    ensure!(code_number(&untagged, "UIDVALIDITY")? > 0, "{untagged:?}");
    ensure!(code_number(&untagged, "UIDNEXT")? > 2, "{untagged:?}");
    let list = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* FLAGS ("))
        .context("no FLAGS")?;
    let permanent = code(&untagged, "PERMANENTFLAGS").context("no PERMANENTFLAGS")?;
    for flag in ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"] {
        ensure!(list.contains(flag), "{flag} is not in FLAGS ({list}");
        ensure!(permanent.contains(flag), "{flag} is not in {permanent}");
    }
    Ok(())
}

fn examine_changes_nothing(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 1)?;
    let (_, tagged) = client.command("EXAMINE INBOX")?;
    ensure!(tagged.starts_with("OK [READ-ONLY]"), "{tagged}");
    client.ok("FETCH 1 BODY[]")?;
    let _ = client.command("STORE 1 +FLAGS (\\Flagged \\Deleted)")?;
    let _ = client.command("EXPUNGE")?;
    client.ok("CLOSE")?;
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(1), "{selected:?}");
    let untagged = client.ok("FETCH 1 (FLAGS)")?;
    let flags = flags(fetched(&untagged, 1)?)?;
    ensure!(flags.is_empty(), "EXAMINE let flags through: {flags:?}");
    Ok(())
}

fn a_failed_select_deselects(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 1)?;
    client.ok("FETCH 1 (UID)")?;
    no(&mut client, "SELECT nowhere")?;
    let (untagged, tagged) = client.command("FETCH 1 (UID)")?;
    ensure!(
        !tagged.starts_with("OK"),
        "the old mailbox is still selected: {untagged:?}"
    );
    append(&mut client, "INBOX", &text("two"))?;
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(2), "{selected:?}");
    Ok(())
}
