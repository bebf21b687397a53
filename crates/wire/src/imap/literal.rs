//! Literals, and how a command or response is put together from lines and literals
//! (RFC 3501 section 4.3, RFC 7888, RFC 3516 section 4.2 for `~{n}`).

/// Whether the sender waits for a continuation before it sends the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// `{n}`: the sender waits for `+`.
    Synchronizing,
    /// `{n+}` (RFC 7888) and every literal of a server: the data follows at once.
    NonSynchronizing,
}

/// The announcement of a literal at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteralHeader {
    /// Octets of data that follow.
    pub size: u64,
    /// Who moves next.
    pub kind: LiteralKind,
    /// Octets of the header itself, braces included.
    pub header_len: usize,
}

/// The literal that a line (without CRLF) announces at its end.
#[must_use]
pub fn literal_at_end_of_line(line: &[u8]) -> Option<LiteralHeader> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, kind) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, LiteralKind::NonSynchronizing),
        None => (inner, LiteralKind::Synchronizing),
    };
    let digits = inner
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // 19 digits are enough for any number of 63 bits.
    if digits == 0 || digits > 19 {
        return None;
    }
    let (head, number) = inner.split_at(inner.len() - digits);
    let head = head.strip_suffix(b"{")?;
    let head = head.strip_suffix(b"~").unwrap_or(head);
    Some(LiteralHeader {
        size: std::str::from_utf8(number).ok()?.parse().ok()?,
        kind,
        header_len: line.len() - head.len(),
    })
}

/// What the assembler needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The whole command or response: every line, with CRLF between, and every literal's data spliced in.
    /// The last line's CRLF is not part of it.
    Complete(Vec<u8>),
    /// A literal follows. The driver decides whether it wants it, sends the continuation when the literal
    /// is synchronising, and hands over exactly `size` octets with [`Assembler::literal`].
    Literal(LiteralHeader),
}

/// The command has grown past the assembler's limit. The assembler is empty again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command is larger than the limit")]
pub struct CommandTooLarge;

/// Puts one command (or one response) together. Holds at most its limit in memory.
#[derive(Debug, Clone)]
pub struct Assembler {
    buffer: Vec<u8>,
    limit: usize,
}

impl Assembler {
    /// An assembler whose commands, literals included, have at most `limit` octets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            limit,
        }
    }

    /// Takes the next line of a command, without its CRLF.
    pub fn line(&mut self, line: &[u8]) -> Result<Next, CommandTooLarge> {
        self.push(line)?;
        match literal_at_end_of_line(line) {
            Some(literal) => {
                self.push(b"\r\n")?;
                Ok(Next::Literal(literal))
            }
            None => Ok(Next::Complete(std::mem::take(&mut self.buffer))),
        }
    }

    /// Takes the next line of a response from a server. A status response is text to the end of its line,
    /// so what looks like a literal there is none.
    pub fn response_line(&mut self, line: &[u8]) -> Result<Next, CommandTooLarge> {
        if self.buffer.is_empty() && is_status_line(line) {
            self.push(line)?;
            return Ok(Next::Complete(std::mem::take(&mut self.buffer)));
        }
        self.line(line)
    }

    /// Takes the data of the literal that was announced last, or a piece of it.
    pub fn literal(&mut self, data: &[u8]) -> Result<(), CommandTooLarge> {
        self.push(data)
    }

    /// Whether a literal of this size still fits.
    #[must_use]
    pub fn has_room(&self, size: u64) -> bool {
        usize::try_from(size)
            .ok()
            .and_then(|size| self.buffer.len().checked_add(size))
            .is_some_and(|total| total <= self.limit)
    }

    /// What was assembled so far: ends behind the CRLF of a literal's header, or behind its data.
    #[must_use]
    pub fn so_far(&self) -> &[u8] {
        &self.buffer
    }

    /// Drops a command that was begun.
    pub fn clear(&mut self) {
        self.buffer = Vec::new();
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CommandTooLarge> {
        if self.buffer.len().saturating_add(bytes.len()) > self.limit {
            self.clear();
            return Err(CommandTooLarge);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}

/// Whether a response is text to the end of its line.
pub(super) fn is_status_line(line: &[u8]) -> bool {
    if line.starts_with(b"+") {
        return true;
    }
    let mut words = line.split(|byte| *byte == b' ');
    let tag = words.next().unwrap_or_default();
    let condition = words.next().unwrap_or_default();
    tag != b"*"
        || [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
            .iter()
            .any(|known| condition.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3501 section 4.3, RFC 7888 section 3, RFC 3516 section 4.2.
    #[test]
    fn headers() {
        use LiteralKind::{NonSynchronizing, Synchronizing};
        for (line, size, kind, header_len) in [
            ("a login {5}", 5, Synchronizing, 3),
            ("a login {5+}", 5, NonSynchronizing, 4),
            ("a append x ~{10}", 10, Synchronizing, 5),
            ("{0}", 0, Synchronizing, 3),
            ("a {9999999999}", 9_999_999_999, Synchronizing, 12),
        ] {
            assert_eq!(
                literal_at_end_of_line(line.as_bytes()),
                Some(LiteralHeader {
                    size,
                    kind,
                    header_len
                }),
                "{line}"
            );
        }
        for line in [
            "",
            "}",
            "{}",
            "a {+}",
            "a {5",
            "a {5}x",
            "a 5}",
            "a {-5}",
            "{99999999999999999999}",
        ] {
            assert_eq!(literal_at_end_of_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn assembles_and_is_bounded() {
        let mut assembler = Assembler::new(40);
        assert!(matches!(assembler.line(b"a login {3}"), Ok(Next::Literal(_))));
        assembler.literal(b"joe").expect("fits");
        assert!(matches!(assembler.line(b" {2+}"), Ok(Next::Literal(_))));
        assert!(assembler.has_room(2) && !assembler.has_room(40) && !assembler.has_room(u64::MAX));
        assembler.literal(b"pw").expect("fits");
        assert_eq!(
            assembler.line(b""),
            Ok(Next::Complete(b"a login {3}\r\njoe {2+}\r\npw".to_vec()))
        );
        assert_eq!(assembler.line(&[b'x'; 41]), Err(CommandTooLarge));
        assert_eq!(assembler.so_far(), b"");
        assert_eq!(
            assembler.response_line(b"* OK brace {5}"),
            Ok(Next::Complete(b"* OK brace {5}".to_vec()))
        );
        assert!(matches!(
            assembler.response_line(b"* LIST () \"/\" {5}"),
            Ok(Next::Literal(_))
        ));
    }
}
