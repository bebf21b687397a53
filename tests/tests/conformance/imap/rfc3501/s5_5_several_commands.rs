//! Section 5.5: several commands in progress.

use crate::imap::with_messages;
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: commands_sent_together_are_all_answered);

fn commands_sent_together_are_all_answered(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    let together = "p1 NOOP\r\np2 FETCH 1 (UID)\r\np3 UNKNOWN\r\np4 STATUS INBOX (MESSAGES)\r\n\
                    p5 STORE 1 +FLAGS (\\Flagged)\r\np6 SEARCH FLAGGED\r\np7 LOGOUT\r\n";
    client.dialogue.send(together.as_bytes())?;
    // Commands that do not touch each other may be answered in any order (section 5.5).
    let (mut responses, tagged) = client.until_tagged("p7")?;
    responses.push(format!("p7 {tagged}"));
    for answer in [
        "p1 OK", "p2 OK", "p3 BAD", "p4 OK", "p5 OK", "p6 OK", "p7 OK", "* BYE",
    ] {
        let count = responses.iter().filter(|line| line.starts_with(answer)).count();
        ensure!(count == 1, "{answer} comes {count} times in {responses:?}");
    }
    // A SEARCH after a STORE in the same bytes must see what the STORE did.
    ensure!(
        responses.iter().any(|line| line.trim_end() == "* SEARCH 1"),
        "{responses:?}"
    );
    Ok(())
}
