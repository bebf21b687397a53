//! DELE and RSET (RFC 1939 section 5): marks that only QUIT carries out.

use super::super::maildrop::Maildrop;
use super::super::reply;
use super::Next;

pub(super) fn dele(maildrop: &mut Maildrop, number: u32) -> Next {
    match maildrop.mark_deleted(number) {
        Ok(()) => Next::Reply(reply::ok(format!("message {number} deleted"))),
        Err(error) => Next::Reply(reply::message_error(&error)),
    }
}

pub(super) fn rset(maildrop: &mut Maildrop) -> Next {
    maildrop.unmark_all();
    let (messages, octets) = maildrop.totals();
    Next::Reply(reply::ok(format!("{messages} messages ({octets} octets)")))
}
