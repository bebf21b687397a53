//! Section 6.4.6: STORE.

use crate::imap::{alice, fetched, flags, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: the_three_ways_of_store, silence_and_other_sessions, keywords);

fn the_three_ways_of_store(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    for (command, expected) in [
        ("STORE 1 FLAGS (\\Seen \\Flagged)", &["\\Flagged", "\\Seen"][..]),
        ("STORE 1 +FLAGS (\\Draft)", &["\\Draft", "\\Flagged", "\\Seen"]),
        ("STORE 1 +FLAGS \\Seen", &["\\Draft", "\\Flagged", "\\Seen"]),
        ("STORE 1 -FLAGS (\\Flagged \\Answered)", &["\\Draft", "\\Seen"]),
        ("store 1 flags (\\answered)", &["\\Answered"]),
        ("STORE 1 FLAGS ()", &[]),
    ] {
        let untagged = client.ok(command)?;
        // An unchanged message need not be told again.
        if untagged.iter().any(|line| line.starts_with("* 1 FETCH")) {
            ensure!(
                flags(fetched(&untagged, 1)?)? == expected,
                "{command}: {untagged:?}"
            );
        }
        let untagged = client.ok("FETCH 1 (FLAGS)")?;
        ensure!(
            flags(fetched(&untagged, 1)?)? == expected,
            "after {command}: {untagged:?}"
        );
    }
    let untagged = client.ok("FETCH 2 (FLAGS)")?;
    ensure!(flags(fetched(&untagged, 2)?)?.is_empty(), "{untagged:?}");
    // Section 2.3.2: nobody sets \Recent.
    let (_, _) = client.command("STORE 1 +FLAGS (\\Recent)")?;
    Ok(())
}

fn silence_and_other_sessions(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    let mut other = with_messages(server, 0)?;
    let untagged = client.ok("STORE 1:2 +FLAGS.SILENT (\\Flagged)")?;
    ensure!(
        !untagged.iter().any(|line| line.contains("FLAGS (")),
        "{untagged:?}"
    );
    let untagged = other.ok("NOOP")?;
    for number in 1..=2 {
        ensure!(
            flags(fetched(&untagged, number)?)? == ["\\Flagged"],
            "{untagged:?}"
        );
    }
    let mut later = alice(server)?;
    later.ok("EXAMINE INBOX")?;
    let untagged = later.ok("FETCH 2 (FLAGS)")?;
    ensure!(flags(fetched(&untagged, 2)?)? == ["\\Flagged"], "{untagged:?}");
    Ok(())
}

fn keywords(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    client.ok("STORE 1 +FLAGS ($Forwarded Work)")?;
    let untagged = client.ok("FETCH 1 (FLAGS)")?;
    ensure!(
        flags(fetched(&untagged, 1)?)? == ["$Forwarded", "Work"],
        "{untagged:?}"
    );
    // A keyword in use is in the FLAGS of the mailbox.
    let selected = client.ok("SELECT INBOX")?;
    let list = selected.iter().find(|line| line.starts_with("* FLAGS ("));
    ensure!(
        list.is_some_and(|line| line.contains("$Forwarded")),
        "{selected:?}"
    );
    client.ok("STORE 1 -FLAGS (Work)")?;
    let untagged = client.ok("FETCH 1 (FLAGS)")?;
    ensure!(flags(fetched(&untagged, 1)?)? == ["$Forwarded"], "{untagged:?}");
    Ok(())
}
