//! RENAME (RFC 3501 section 6.3.5): mailboxes below move along; INBOX stays and gives its messages away.

use super::{existing, name};
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use wire::imap::{MailboxArg, StatusLine};

pub(super) async fn run(
    session: &mut Session,
    from: &MailboxArg,
    to: &MailboxArg,
) -> Result<StatusLine, Failure> {
    let from = existing(from)?;
    let to = name(to)?;
    if to.is_inbox() {
        return Err(Failure::Inbox);
    }
    if to.is_below(&from) && !from.is_inbox() {
        return Err(Failure::RenameIntoItself);
    }
    let (_, user) = session.user()?;
    user.mail.rename_mailbox(&from, &to).await?;
    Ok(reply::ok("RENAME completed"))
}
