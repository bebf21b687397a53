//! NOOP and CHECK (RFC 3501 sections 6.1.2 and 6.4.1): nothing is left to do but to tell the news, which
//! happens after every verb. What CHECK asks for is durable already.

use crate::imap::reply::{self, Failure};
use wire::imap::StatusLine;

pub(super) fn run(text: &'static str) -> Result<StatusLine, Failure> {
    Ok(reply::ok(text))
}
