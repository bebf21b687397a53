//! Section 2.3.1: unique identifiers and sequence numbers.

use crate::imap::{append, code_number, text, uids, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: uids_ascend_and_are_never_used_again);

fn uids_ascend_and_are_never_used_again(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 4)?;
    let first = uids(&mut client)?;
    ensure!(first.len() == 4 && first.is_sorted_by(|a, b| a < b), "{first:?}");

    // Removing the highest does not give its UID away again.
    client.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")?;
    client.ok("EXPUNGE")?;
    let kept = uids(&mut client)?;
    ensure!(
        kept == [first[0], first[2]],
        "the UIDs changed: {first:?} to {kept:?}"
    );
    append(&mut client, "INBOX", &text("later"))?;
    client.ok("NOOP")?;
    let now = uids(&mut client)?;
    ensure!(now.len() == 3 && now[2] > first[3], "{first:?}, then {now:?}");

    // And a new session sees the same ones under the same UIDVALIDITY.
    let selected = client.ok("SELECT INBOX")?;
    let validity = code_number(&selected, "UIDVALIDITY")?;
    ensure!(
        code_number(&selected, "UIDNEXT")? > now[2],
        "UIDNEXT in {selected:?}"
    );
    let mut other = with_messages(server, 0)?;
    ensure!(uids(&mut other)? == now, "another session sees other UIDs");
    let selected = other.ok("SELECT INBOX")?;
    ensure!(
        code_number(&selected, "UIDVALIDITY")? == validity,
        "UIDVALIDITY changed"
    );
    Ok(())
}
