//! STAT, LIST (RFC 1939 section 5) and UIDL (section 7).

use super::super::maildrop::Maildrop;
use super::super::reply;
use super::Next;

pub(super) fn stat(maildrop: &Maildrop) -> Next {
    let (messages, octets) = maildrop.totals();
    Next::Reply(reply::ok(format!("{messages} {octets}")))
}

pub(super) fn list(maildrop: &Maildrop, number: Option<u32>) -> Next {
    let Some(number) = number else {
        let (messages, octets) = maildrop.totals();
        let lines = maildrop
            .present()
            .map(|(number, entry)| format!("{number} {}\r\n", entry.size))
            .collect();
        return Next::Lines(reply::ok(format!("{messages} messages ({octets} octets)")), lines);
    };
    match maildrop.entry(number) {
        Ok(entry) => Next::Reply(reply::ok(format!("{number} {}", entry.size))),
        Err(error) => Next::Reply(reply::message_error(&error)),
    }
}

pub(super) fn uidl(maildrop: &Maildrop, number: Option<u32>) -> Next {
    let Some(number) = number else {
        let lines = maildrop
            .present()
            .map(|(number, entry)| format!("{number} {}\r\n", entry.unique_id()))
            .collect();
        return Next::Lines(reply::ok("unique ids follow"), lines);
    };
    match maildrop.entry(number) {
        Ok(entry) => Next::Reply(reply::ok(format!("{number} {}", entry.unique_id()))),
        Err(error) => Next::Reply(reply::message_error(&error)),
    }
}
