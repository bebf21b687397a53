//! What a client says, cut into lines and octets of literals, wherever the network has cut it.

use super::super::literal::{LiteralHeader, literal_at_end_of_line};
use std::borrow::Cow;

/// The longest line. RFC 7162 section 4 has 8,192 octets; clients that list what they mean by numbers send more.
const MAX_LINE: usize = 128 * 1024;
/// The largest literal. A home that counts in 32 bits would take the rest of a larger one for commands.
const MAX_LITERAL: u64 = i32::MAX as u64;

/// The client says what a guard cannot be sure that its home reads in the same way. Its session has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Breach(pub(crate) &'static str);

impl Breach {
    /// What it was.
    #[must_use]
    pub const fn why(self) -> &'static str {
        self.0
    }
}

/// A piece of what the client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// A line, without its end.
    Line(Cow<'a, [u8]>),
    /// Octets of a literal.
    Data(&'a [u8]),
}

/// Cuts. Keeps at most one line that has no end yet.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    line: Vec<u8>,
    left: u64,
}

impl Cutter {
    /// A literal of this size comes next.
    pub(crate) fn expect(&mut self, size: u64) {
        self.left = size;
    }

    /// The next piece; none when there is no whole one.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Cut<'a>>, Breach> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            let (data, rest) = input.split_at(most);
            *input = rest;
            self.left -= data.len() as u64;
            return Ok(Some(Cut::Data(data)));
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len() + piece.len() > MAX_LINE {
            return Err(Breach("a line that is too long"));
        }
        *input = rest.get(1..).unwrap_or_default();
        if end.is_none() {
            self.line.extend_from_slice(piece);
            return Ok(None);
        }
        let mut line = Cow::Borrowed(piece);
        if !self.line.is_empty() {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(piece);
            line = Cow::Owned(whole);
        }
        let line = match line {
            Cow::Borrowed(line) => Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line)),
            Cow::Owned(mut line) => {
                line.pop_if(|last| *last == b'\r');
                Cow::Owned(line)
            }
        };
        // RFC 3501 section 9, RFC 5804 section 4: outside of a literal there is neither.
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(Breach("a line with a CR or NUL inside"));
        }
        Ok(Some(Cut::Line(line)))
    }
}

/// The literal that a line announces. What only some would take for one, may not be said at all.
pub(crate) fn announced(line: &[u8]) -> Result<Option<LiteralHeader>, Breach> {
    let trimmed = line.trim_ascii_end();
    if !trimmed.ends_with(b"}") || !trimmed.contains(&b'{') {
        return Ok(None);
    }
    match literal_at_end_of_line(line) {
        Some(header) if header.size <= MAX_LITERAL => Ok(Some(header)),
        Some(_) => Err(Breach("a literal that is too large")),
        None => Err(Breach("a literal of another form")),
    }
}
