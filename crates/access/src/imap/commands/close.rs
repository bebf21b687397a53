//! CLOSE and UNSELECT (RFC 3501 section 6.4.2, RFC 3691).

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::Access;
use wire::imap::StatusLine;

/// Removes what is marked `\Deleted`, without a word, and leaves the mailbox.
pub(super) async fn run(session: &mut Session) -> Result<StatusLine, Failure> {
    let (_, selected) = session.selected()?;
    // RFC 3501 section 6.4.2: no error when the mailbox was opened with EXAMINE.
    if selected.access == Access::ReadWrite {
        selected.mailbox.expunge(None).await?;
    }
    session.state.deselect();
    Ok(reply::ok("CLOSE completed"))
}

/// Leaves the mailbox as it is.
pub(super) fn unselect(session: &mut Session) -> Result<StatusLine, Failure> {
    session.state.deselect();
    Ok(reply::ok("UNSELECT completed"))
}
