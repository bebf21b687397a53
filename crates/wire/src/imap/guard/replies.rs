//! What a home says after the login, as far as it must be followed: where a line begins, whose answer it is, and where
//! a "go on" is one and not a letter's text.

use super::super::literal::{is_status_line, literal_at_end_of_line};

/// What is kept of the beginning of a response: enough for any tag that the guard lets through.
const HEAD: usize = super::MAX_TAG + 16;
/// What is kept of the end of a line: enough for any literal's header.
const TAIL: usize = 32;

/// A line has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// `+`
    GoOn,
    /// The result of the command with this tag.
    Result(Vec<u8>),
    /// Something else, or a part of it.
    Other,
}

/// Follows what a home says.
#[derive(Debug, Default)]
pub(super) struct Replies {
    head: Vec<u8>,
    tail: Vec<u8>,
    literal: u64,
}

impl Replies {
    /// Whether the next octet is the first of a response.
    pub(super) fn at_start(&self) -> bool {
        self.head.is_empty()
    }

    /// How many of so many octets belong to a literal.
    pub(super) fn skip(&mut self, octets: usize) -> usize {
        let skipped = usize::try_from(self.literal).unwrap_or(octets).min(octets);
        self.literal -= skipped as u64;
        skipped
    }

    /// Takes a piece of a line; one with a line end is the last.
    pub(super) fn line(&mut self, piece: &[u8]) -> Said {
        let room = HEAD.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(piece.get(..room).unwrap_or_default());
        let last = piece.len().saturating_sub(TAIL);
        self.tail.extend_from_slice(piece.get(last..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        if !piece.ends_with(b"\n") {
            return Said::Other;
        }
        let tail = std::mem::take(&mut self.tail);
        if !is_status_line(self.head.trim_ascii_end())
            && let Some(literal) = literal_at_end_of_line(tail.trim_ascii_end())
        {
            // The response goes on behind it.
            self.literal = literal.size;
            return Said::Other;
        }
        let head = std::mem::take(&mut self.head);
        let word = head.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        match word {
            [b'+', ..] => Said::GoOn,
            b"*" => Said::Other,
            tag => Said::Result(tag.to_vec()),
        }
    }
}
