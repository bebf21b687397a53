//! APPEND (RFC 3501 section 6.3.11, RFC 4315).

use super::name;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use bytes::{Bytes, BytesMut};
use model::Flags;
use store::StoreError;
use wire::imap::{Append, Code, SequenceSet, StatusLine};

/// What can be refused before the message is sent.
pub(in crate::imap) async fn check(session: &mut Session, append: &Append) -> Result<(), Failure> {
    let name = name(&append.mailbox)?;
    let (_, user) = session.user()?;
    match user.mail.has_mailbox(&name).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(StoreError::NotFound(_)) => Err(Failure::TryCreate),
        Err(error) => Err(error.into()),
    }
}

/// Stores the message. The reply comes when it is durable.
pub(super) async fn run(
    session: &mut Session,
    append: Append,
    message: Bytes,
) -> Result<StatusLine, Failure> {
    let name = name(&append.mailbox)?;
    let flags: Flags = append.flags.into_iter().collect();
    let date = append.date.map(|date| date.timestamp());
    let (_, user) = session.user()?;
    let appended = user.mail.append(&name, with_crlf(message), flags, date).await;
    let appended = appended.map_err(|error| match error {
        StoreError::NotFound(_) => Failure::TryCreate,
        other => Failure::Store(other),
    })?;
    let done = reply::ok("APPEND completed");
    let uid = appended.uid.get();
    Ok(match SequenceSet::from_ranges(&[uid..=uid]) {
        Some(uids) => done.with_code(Code::AppendUid {
            validity: appended.uid_validity.get(),
            uids,
        }),
        None => done,
    })
}

/// A message has CRLF for its line ends (RFC 3501 section 2.3.4 with RFC 5322); some clients send bare LF.
fn with_crlf(message: Bytes) -> Bytes {
    let bare = |(at, byte): (usize, &u8)| {
        *byte == b'\n' && at.checked_sub(1).and_then(|before| message.get(before)) != Some(&b'\r')
    };
    let count = message.iter().enumerate().filter(|line| bare(*line)).count();
    if count == 0 {
        return message;
    }
    let mut out = BytesMut::with_capacity(message.len() + count);
    for (at, byte) in message.iter().enumerate() {
        if bare((at, byte)) {
            out.extend_from_slice(b"\r");
        }
        out.extend_from_slice(std::slice::from_ref(byte));
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends() {
        for (given, kept) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\n", "a\r\nb\r\n"),
            ("\n", "\r\n"),
            ("a\r\nb\nc\r", "a\r\nb\r\nc\r"),
        ] {
            assert_eq!(with_crlf(Bytes::from_static(given.as_bytes())), kept.as_bytes());
        }
    }
}
