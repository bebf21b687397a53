//! Section 4.3: strings as quoted strings and as synchronising literals.

use crate::imap::alice;
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Imap: literals_stand_wherever_strings_do, quoted_strings_know_escapes);

fn literals_stand_wherever_strings_do(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    let (login, password) = (ALICE.address, ALICE.password);
    client
        .dialogue
        .send_line(&format!("a LOGIN {{{}}}", login.len()))?;
    let go_on = client.response()?;
    ensure!(go_on.starts_with('+'), "{go_on}");
    client
        .dialogue
        .send_line(&format!("{login} {{{}}}", password.len()))?;
    let go_on = client.response()?;
    ensure!(go_on.starts_with('+'), "{go_on}");
    client.dialogue.send_line(password)?;
    let (_, tagged) = client.until_tagged("a")?;
    ensure!(tagged.starts_with("OK"), "LOGIN with literals: {tagged}");

    // An empty literal, and one that holds what would end a line.
    client.dialogue.send_line("b LIST {0}")?;
    let go_on = client.response()?;
    ensure!(go_on.starts_with('+'), "{go_on}");
    client.dialogue.send_line(" INBOX")?;
    let (untagged, tagged) = client.until_tagged("b")?;
    ensure!(tagged.starts_with("OK"), "LIST with an empty literal: {tagged}");
    ensure!(
        untagged.iter().any(|line| line.starts_with("* LIST ")),
        "{untagged:?}"
    );
    Ok(())
}

fn quoted_strings_know_escapes(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    client.append("INBOX", b"Subject: say \"hi\" \\o/\r\n\r\nx\r\n")?;
    client.ok("SELECT INBOX")?;
    let found = client.ok("SEARCH SUBJECT \"say \\\"hi\\\" \\\\o/\"")?;
    ensure!(
        found.iter().any(|line| line.trim_end() == "* SEARCH 1"),
        "{found:?}"
    );
    Ok(())
}
