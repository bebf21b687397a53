//! NAMESPACE (RFC 2342): one personal namespace, nobody else's and none shared.

use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use model::MailboxName;
use wire::imap::StatusLine;

pub(super) fn run(session: &mut Session) -> Result<StatusLine, Failure> {
    let line = format!("* NAMESPACE ((\"\" \"{}\")) NIL NIL\r\n", MailboxName::SEPARATOR);
    session.stream.write(line.as_bytes());
    Ok(reply::ok("NAMESPACE completed"))
}
