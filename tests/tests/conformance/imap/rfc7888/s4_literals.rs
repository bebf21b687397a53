//! Section 4: non-synchronising literals.

use crate::imap::{alice, announces, number_of, text};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Imap: literals_without_waiting, a_refused_literal_is_skipped);

fn literals_without_waiting(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    ensure!(
        announces(&mut client, "LITERAL+")? || announces(&mut client, "LITERAL-")?,
        "neither is announced"
    );
    let (login, password) = (ALICE.address, ALICE.password);
    client.dialogue.send_line(&format!(
        "a LOGIN {{{}+}}\r\n{login} {{{}+}}\r\n{password}",
        login.len(),
        password.len()
    ))?;
    let (_, tagged) = client.until_tagged("a")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    // Two in one go, and a command right behind them.
    let message = text("at once");
    let append = format!("APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len());
    client
        .dialogue
        .send(format!("b {append}c {append}d EXAMINE INBOX\r\n").as_bytes())?;
    for tag in ["b", "c"] {
        let (_, tagged) = client.until_tagged(tag)?;
        ensure!(tagged.starts_with("OK"), "{tag}: {tagged}");
    }
    let (untagged, _) = client.until_tagged("d")?;
    ensure!(number_of(&untagged, "EXISTS") == Some(2), "{untagged:?}");
    Ok(())
}

fn a_refused_literal_is_skipped(server: &Server) -> Result<()> {
    // What looks like a command in a literal is never one, even when the command before it fails.
    let mut client = alice(server)?;
    let inside = "x CREATE sneaked\r\n";
    client.dialogue.send(
        format!(
            "a APPEND nowhere {{{}+}}\r\n{inside}\r\nb LIST \"\" sneaked\r\n",
            inside.len()
        )
        .as_bytes(),
    )?;
    let (_, tagged) = client.until_tagged("a")?;
    ensure!(tagged.starts_with("NO"), "{tagged}");
    let (untagged, tagged) = client.until_tagged("b")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    ensure!(untagged.is_empty(), "{untagged:?}");
    Ok(())
}
