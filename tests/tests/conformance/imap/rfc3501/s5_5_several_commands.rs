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
    for (tag, answer) in [
        ("p1", "OK"),
        ("p2", "OK"),
        ("p3", "BAD"),
        ("p4", "OK"),
        ("p5", "OK"),
    ] {
        let (_, tagged) = client.until_tagged(tag)?;
        ensure!(tagged.starts_with(answer), "{tag}: {tagged}");
    }
    // A SEARCH after a STORE in the same bytes must see what the STORE did.
    let (untagged, _) = client.until_tagged("p6")?;
    ensure!(
        untagged.iter().any(|line| line.trim_end() == "* SEARCH 1"),
        "{untagged:?}"
    );
    let (untagged, tagged) = client.until_tagged("p7")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    ensure!(
        untagged.iter().any(|line| line.starts_with("* BYE")),
        "{untagged:?}"
    );
    Ok(())
}
