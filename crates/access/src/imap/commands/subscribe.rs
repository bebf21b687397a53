//! SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7).

use super::existing;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use wire::imap::{MailboxArg, StatusLine};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Subscribe,
    Unsubscribe,
}

pub(super) async fn run(
    session: &mut Session,
    mailbox: &MailboxArg,
    wish: Wish,
) -> Result<StatusLine, Failure> {
    let name = existing(mailbox)?;
    let (_, user) = session.user()?;
    match wish {
        Wish::Subscribe => {
            user.mail.subscribe(&name).await?;
            Ok(reply::ok("SUBSCRIBE completed"))
        }
        Wish::Unsubscribe => {
            user.mail.unsubscribe(&name).await?;
            Ok(reply::ok("UNSUBSCRIBE completed"))
        }
    }
}
