//! Section 6.4.2: CLOSE.

use crate::imap::{number_of, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: close_removes_in_silence);

fn close_removes_in_silence(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 3)?;
    client.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")?;
    let untagged = client.ok("CLOSE")?;
    ensure!(
        !untagged.iter().any(|line| line.ends_with("EXPUNGE")),
        "{untagged:?}"
    );
    let (_, tagged) = client.command("FETCH 1 (UID)")?;
    ensure!(!tagged.starts_with("OK"), "still selected: {tagged}");
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(1), "{selected:?}");

    // SELECT of another mailbox and LOGOUT remove nothing.
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")?;
    client.ok("SELECT INBOX")?;
    client.ok("LOGOUT")?;
    let mut client = with_messages(server, 0)?;
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(1), "{selected:?}");
    Ok(())
}
