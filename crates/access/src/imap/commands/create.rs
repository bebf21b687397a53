//! CREATE (RFC 3501 section 6.3.3, RFC 6154 section 3).

use super::name;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use model::SpecialUse;
use store::StoreError;
use wire::imap::{MailboxArg, StatusLine};

pub(super) async fn run(
    session: &mut Session,
    mailbox: &MailboxArg,
    special_use: &[SpecialUse],
) -> Result<StatusLine, Failure> {
    let name = name(mailbox)?;
    if name.is_inbox() {
        return Err(Failure::Inbox);
    }
    let special_use = match special_use {
        [] => None,
        [one] => Some(*one),
        // A mailbox has one use here (RFC 6154 section 3 lets a server refuse).
        _ => return Err(Failure::UseAttr),
    };
    let (_, user) = session.user()?;
    match user.mail.create_mailbox(&name, special_use).await {
        Ok(_) => Ok(reply::ok("CREATE completed")),
        // It is the use that another mailbox has already, not the name.
        Err(StoreError::AlreadyExists(_))
            if special_use.is_some()
                && matches!(user.mail.status(&name).await, Err(StoreError::NotFound(_))) =>
        {
            Err(Failure::UseAttr)
        }
        Err(error) => Err(error.into()),
    }
}
