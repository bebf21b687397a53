//! STATUS (RFC 3501 section 6.3.10, RFC 8438).

use super::existing;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use store::{MailboxInfo, StoreError};
use wire::imap::{MailboxArg, StatusItem, StatusLine, write};

pub(super) async fn run(
    session: &mut Session,
    mailbox: &MailboxArg,
    items: &[StatusItem],
) -> Result<StatusLine, Failure> {
    let name = existing(mailbox)?;
    let (stream, user) = session.user()?;
    let info = user.mail.status(&name).await.map_err(|error| match error {
        StoreError::NotFound(_) => Failure::NoSuchMailbox,
        other => Failure::Store(other),
    })?;
    let mut out = Vec::with_capacity(128);
    write_status(&mut out, &info, items);
    stream.write(&out);
    Ok(reply::ok("STATUS completed"))
}

/// The STATUS response, which LIST-STATUS sends too.
pub(super) fn write_status(out: &mut Vec<u8>, info: &MailboxInfo, items: &[StatusItem]) {
    out.extend_from_slice(b"* STATUS ");
    write::mailbox(out, &info.name);
    for (index, item) in items.iter().enumerate() {
        let value: u64 = match item {
            StatusItem::Messages => info.messages.into(),
            StatusItem::Recent => info.recent.into(),
            StatusItem::UidNext => info.uid_next.get().into(),
            StatusItem::UidValidity => info.uid_validity.get().into(),
            StatusItem::Unseen => info.unseen.into(),
            StatusItem::Size => info.size,
            StatusItem::Deleted => info.deleted.into(),
        };
        let open = if index == 0 { " (" } else { " " };
        out.extend_from_slice(format!("{open}{} {value}", item.as_str()).as_bytes());
    }
    out.extend_from_slice(b")\r\n");
}
