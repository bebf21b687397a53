//! RETR (RFC 1939 section 5) and TOP (section 7).

use super::super::maildrop::Maildrop;
use super::super::reply;
use super::Next;
use bytes::Bytes;

pub(super) async fn retr(maildrop: &Maildrop, number: u32) -> Next {
    match maildrop.read(number).await {
        Ok(message) => Next::Message(reply::ok(format!("{} octets", message.len())), message),
        Err(error) => Next::Reply(reply::message_error(&error)),
    }
}

pub(super) async fn top(maildrop: &Maildrop, number: u32, lines: u32) -> Next {
    match maildrop.read(number).await {
        Ok(message) => Next::Message(reply::ok("top of message follows"), first_lines(&message, lines)),
        Err(error) => Next::Reply(reply::message_error(&error)),
    }
}

/// The header, the blank line, and so many lines of the body.
fn first_lines(message: &Bytes, lines: u32) -> Bytes {
    let mut at = 0;
    let mut body = None;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if body == Some(lines) {
            break;
        }
        at += line.len();
        body = match body {
            None if line.trim_ascii().is_empty() => Some(0),
            None => None,
            Some(count) => Some(count + 1),
        };
    }
    message.slice(..at.min(message.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 1939 section 7, TOP.
    #[test]
    fn header_blank_line_and_lines_of_the_body() {
        let message = Bytes::from_static(b"A: b\r\n c\r\n\r\none\r\ntwo\r\n\r\nfour");
        for (lines, end) in [(0, 12), (1, 17), (2, 22), (3, 24), (4, 28), (99, 28)] {
            assert_eq!(first_lines(&message, lines).len(), end, "{lines}");
        }
        assert_eq!(first_lines(&Bytes::new(), 3).len(), 0);
        assert_eq!(
            first_lines(&Bytes::from_static(b"A: only header\r\n"), 0).len(),
            16
        );
    }
}
