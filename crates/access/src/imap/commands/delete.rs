//! DELETE (RFC 3501 section 6.3.4).

use super::existing;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::State;
use wire::imap::{MailboxArg, StatusLine};

pub(super) async fn run(session: &mut Session, mailbox: &MailboxArg) -> Result<StatusLine, Failure> {
    let name = existing(mailbox)?;
    if name.is_inbox() {
        return Err(Failure::Inbox);
    }
    let (_, user) = session.user()?;
    user.mail.delete_mailbox(&name).await?;
    // Who deletes his own open mailbox has none open any more.
    if matches!(&session.state, State::Selected(_, selected) if selected.mailbox.snapshot().gone()) {
        session.state.deselect();
    }
    Ok(reply::ok("DELETE completed"))
}
