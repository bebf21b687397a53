//! COPY and MOVE (RFC 3501 section 6.4.7, RFC 6851, RFC 4315).

use super::name;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use store::{Copied, StoreError};
use wire::imap::{Code, MailboxArg, Numbering, SequenceSet, StatusLine, compact};

pub(super) async fn run(
    session: &mut Session,
    numbers: &SequenceSet,
    mailbox: &MailboxArg,
    by: Numbering,
) -> Result<StatusLine, Failure> {
    let target = name(mailbox)?;
    let (_, selected) = session.selected()?;
    let uids = selected.uids(numbers, by)?;
    let copied = selected.mailbox.copy(&uids, &target).await.map_err(failure)?;
    let done = reply::ok("COPY completed");
    Ok(match copy_uid(&copied) {
        Some(code) => done.with_code(code),
        None => done,
    })
}

pub(super) async fn run_move(
    session: &mut Session,
    numbers: &SequenceSet,
    mailbox: &MailboxArg,
    by: Numbering,
) -> Result<StatusLine, Failure> {
    let target = name(mailbox)?;
    let (_, selected) = session.selected()?;
    selected.writable()?;
    let uids = selected.uids(numbers, by)?;
    let copied = selected.mailbox.move_to(&uids, &target).await.map_err(failure)?;
    // RFC 6851 section 4.3: COPYUID comes before the EXPUNGE responses, which follow as news.
    if let Some(code) = copy_uid(&copied) {
        session.line(None, &reply::ok("Moved").with_code(code));
    }
    Ok(reply::ok("MOVE completed"))
}

fn failure(error: StoreError) -> Failure {
    match error {
        // RFC 3501 section 6.4.7.
        StoreError::NotFound(_) => Failure::TryCreate,
        other => Failure::Store(other),
    }
}

/// COPYUID; none when no message was there to copy.
fn copy_uid(copied: &Copied) -> Option<Code> {
    let set = |uids: String| SequenceSet::parse(uids.as_bytes()).ok();
    Some(Code::CopyUid {
        validity: copied.uid_validity.get(),
        from: set(compact(copied.uids.iter().map(|(from, _)| from.get())))?,
        to: set(compact(copied.uids.iter().map(|(_, to)| to.get())))?,
    })
}
