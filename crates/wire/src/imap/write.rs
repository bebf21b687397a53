//! The primitives of both directions: strings in the shortest form that carries them.

use super::date::DateTime;
use super::scan::is_astring_char;
use super::utf7;
use model::{Flags, MailboxName, Timestamp};
use std::borrow::Cow;

/// What `quoted` can carry: 7-bit text without CR, LF and NUL. Long texts go as literals.
fn is_quotable(bytes: &[u8]) -> bool {
    bytes.len() <= 1024
        && bytes
            .iter()
            .all(|byte| matches!(byte, 1..=9 | 11 | 12 | 14..=127))
}

fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// A server's literal: its data follows at once.
pub fn literal(out: &mut Vec<u8>, bytes: &[u8]) {
    literal_header(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The header of a server's literal; exactly `length` octets must follow.
pub fn literal_header(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(format!("{{{length}}}\r\n").as_bytes());
}

/// A server's `string`.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_quotable(bytes) {
        quoted(out, bytes);
    } else {
        // A literal cannot carry NUL (RFC 3501 section 9, CHAR8).
        let clean: Cow<'_, [u8]> = if bytes.contains(&0) {
            bytes
                .iter()
                .copied()
                .filter(|byte| *byte != 0)
                .collect::<Vec<u8>>()
                .into()
        } else {
            bytes.into()
        };
        literal(out, &clean);
    }
}

/// A server's `nstring`.
pub fn nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => string(out, bytes),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// A server's `astring`.
pub fn astring(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        string(out, bytes);
    }
}

/// Whether the bytes can stand as an atom. NIL is quoted, so that nobody takes it for none.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= 255
        && bytes.iter().copied().all(is_astring_char)
        && !bytes.eq_ignore_ascii_case(b"NIL")
}

/// A mailbox name in modified UTF-7. Always quoted but for INBOX, as most clients are used to.
pub fn mailbox(out: &mut Vec<u8>, name: &MailboxName) {
    if name.is_inbox() {
        out.extend_from_slice(b"INBOX");
    } else {
        string(out, utf7::encode(name.as_str()).as_bytes());
    }
}

/// Whether a message is `\Recent` in a session, which no stored flag says (RFC 3501 section 2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recency {
    /// It is.
    Recent,
    /// Another session was told of it before.
    Old,
}

/// `(\Seen $Forwarded \Recent)`
pub fn flags(out: &mut Vec<u8>, flags: &Flags, recency: Recency) {
    out.push(b'(');
    let mut first = true;
    let mut word = |out: &mut Vec<u8>, text: &str| {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        out.extend_from_slice(text.as_bytes());
    };
    for flag in model::SystemFlag::ALL {
        if flags.has(flag) {
            word(out, flag.as_str());
        }
    }
    for keyword in flags.keywords() {
        word(out, keyword.as_str());
    }
    if recency == Recency::Recent {
        word(out, "\\Recent");
    }
    out.push(b')');
}

/// A quoted `date-time`, in UTC.
pub fn date_time(out: &mut Vec<u8>, moment: Timestamp) {
    out.extend_from_slice(format!("\"{}\"", DateTime::from_timestamp(moment)).as_bytes());
}

/// Which literals a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literals {
    /// Every literal waits for its continuation.
    Synchronizing,
    /// The server has LITERAL+ (RFC 7888).
    NonSynchronizing,
}

/// A command on its way to a server: pieces, each but the last of which ends behind a literal's header and
/// must be followed by a wait for `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandBytes {
    pieces: Vec<Vec<u8>>,
    literals: Literals,
}

impl CommandBytes {
    /// A command without bytes yet.
    #[must_use]
    pub fn new(literals: Literals) -> Self {
        Self {
            pieces: vec![Vec::new()],
            literals,
        }
    }

    /// The pieces, in order. The last ends with CRLF once the command is finished.
    #[must_use]
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// All pieces in one, for a peer that needs no continuation.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(piece) => piece.extend_from_slice(bytes),
            None => self.pieces.push(bytes.to_vec()),
        }
    }

    /// A client's literal.
    pub fn literal(&mut self, bytes: &[u8]) {
        match self.literals {
            Literals::Synchronizing => {
                self.raw(format!("{{{}}}\r\n", bytes.len()).as_bytes());
                self.pieces.push(bytes.to_vec());
            }
            Literals::NonSynchronizing => {
                self.raw(format!("{{{}+}}\r\n", bytes.len()).as_bytes());
                self.raw(bytes);
            }
        }
    }

    /// A client's `string`.
    pub fn string(&mut self, bytes: &[u8]) {
        if is_quotable(bytes) {
            let mut text = Vec::with_capacity(bytes.len() + 2);
            quoted(&mut text, bytes);
            self.raw(&text);
        } else {
            self.literal(bytes);
        }
    }

    /// A client's `astring`.
    pub fn astring(&mut self, bytes: &[u8]) {
        if is_plain(bytes) {
            self.raw(bytes);
        } else {
            self.string(bytes);
        }
    }

    /// A word, a space and an `astring`.
    pub(super) fn named(&mut self, name: &str, text: &[u8]) {
        self.raw(name.as_bytes());
        self.raw(b" ");
        self.astring(text);
    }
}
