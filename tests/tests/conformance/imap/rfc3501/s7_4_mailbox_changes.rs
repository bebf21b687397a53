//! Sections 7.3 and 7.4: what a session is told of the work of others.

use crate::imap::{append, fetched, flags, number_of, text, with_messages};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Imap: changes_arrive_with_the_next_command);

fn changes_arrive_with_the_next_command(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    let mut other = with_messages(server, 0)?;
    other.ok("STORE 1 +FLAGS (\\Answered)")?;
    append(&mut other, "INBOX", &text("three"))?;
    let untagged = client.ok("NOOP")?;
    ensure!(number_of(&untagged, "EXISTS") == Some(3), "{untagged:?}");
    ensure!(flags(fetched(&untagged, 1)?)? == ["\\Answered"], "{untagged:?}");
    let untagged = client.ok("NOOP")?;
    ensure!(
        !untagged
            .iter()
            .any(|line| line.ends_with("EXISTS") || line.contains(" FETCH ")),
        "told twice: {untagged:?}"
    );
    // Mail that comes from outside is told in the same way.
    server.deliver(ALICE, &text("from outside"))?;
    let untagged = client.ok("NOOP")?;
    ensure!(number_of(&untagged, "EXISTS") == Some(4), "{untagged:?}");
    Ok(())
}
