//! Section 6.4.7: COPY.

use crate::imap::{alice, append, fetched, flags, no, number_of, section, text};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: copy_keeps_flags_and_date, copy_to_nowhere_says_trycreate);

fn copy_keeps_flags_and_date(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    client.ok("CREATE work")?;
    append(
        &mut client,
        "INBOX (\\Seen \\Flagged $Label) \"1-Feb-2024 10:11:12 +0000\"",
        &text("one"),
    )?;
    append(&mut client, "INBOX", &text("two"))?;
    append(&mut client, "INBOX", &text("three"))?;
    client.ok("SELECT INBOX")?;
    let untagged = client.ok("FETCH 1 (INTERNALDATE)")?;
    let date = section(fetched(&untagged, 1)?, "INTERNALDATE")?.to_owned();
    client.ok("COPY 1:2 work")?;
    client.ok("COPY 1 INBOX")?;
    let selected = client.ok("SELECT work")?;
    ensure!(number_of(&selected, "EXISTS") == Some(2), "{selected:?}");
    let untagged = client.ok("FETCH 1:2 (FLAGS INTERNALDATE BODY.PEEK[])")?;
    let first = fetched(&untagged, 1)?;
    ensure!(flags(first)? == ["$Label", "\\Flagged", "\\Seen"], "{first}");
    ensure!(section(first, "INTERNALDATE")? == date, "{first}");
    ensure!(section(first, "BODY[]")? == text("one"), "{first}");
    ensure!(
        section(fetched(&untagged, 2)?, "BODY[]")? == text("two"),
        "{untagged:?}"
    );
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(4), "{selected:?}");
    Ok(())
}

fn copy_to_nowhere_says_trycreate(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(&mut client, "INBOX", &text("one"))?;
    client.ok("SELECT INBOX")?;
    let tagged = no(&mut client, "COPY 1 nowhere")?;
    ensure!(tagged.starts_with("NO [TRYCREATE]"), "{tagged}");
    no(&mut client, "SELECT nowhere")?;
    Ok(())
}
