//! EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3, RFC 4315 section 2.1). The EXPUNGE responses are part
//! of the news that follow every verb.

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use wire::imap::{Numbering, SequenceSet, StatusLine};

pub(super) async fn run(session: &mut Session, set: Option<&SequenceSet>) -> Result<StatusLine, Failure> {
    let (_, selected) = session.selected()?;
    selected.writable()?;
    let uids = set.map(|set| selected.uids(set, Numbering::Uid)).transpose()?;
    selected.mailbox.expunge(uids.as_deref()).await?;
    Ok(reply::ok("EXPUNGE completed"))
}
