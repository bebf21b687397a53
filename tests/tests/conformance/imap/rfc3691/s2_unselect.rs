//! Section 2: UNSELECT.

use crate::imap::{ensure_announces, number_of, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: unselect_removes_nothing);

fn unselect_removes_nothing(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    ensure_announces(&mut client, "UNSELECT")?;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")?;
    client.ok("UNSELECT")?;
    let (_, tagged) = client.command("FETCH 1 (UID)")?;
    ensure!(!tagged.starts_with("OK"), "still selected: {tagged}");
    let (_, tagged) = client.command("UNSELECT")?;
    ensure!(!tagged.starts_with("OK"), "nothing is selected: {tagged}");
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(2), "{selected:?}");
    Ok(())
}
