//! Logical lines: folded lines joined, comments dropped, each with the number of its first line.

use super::{LdifError, Problem};
use std::io::BufRead;

/// One logical line.
pub(super) struct Line {
    /// The number of its first line in the input, from 1.
    pub(super) number: u64,
    pub(super) text: Vec<u8>,
}

/// What comes next in the input.
pub(super) enum Next {
    Line(Line),
    /// One or more empty lines, or the end: what separates records.
    Gap,
    End,
}

/// Reads logical lines from `input` and holds one of them at most.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    /// The line after the one that was given out: it had to be read to see whether it is a continuation.
    ahead: Option<Line>,
    /// The bytes that the lines of one record may still take.
    left: usize,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            number: 0,
            ahead: None,
            left: limit,
            limit,
        }
    }

    /// The next logical line, gap or end. A gap starts a new record and with it a new allowance of bytes.
    pub(super) fn next(&mut self) -> Result<Next, LdifError> {
        loop {
            let Some(mut line) = self.take()? else {
                return Ok(Next::End);
            };
            if line.text.is_empty() {
                self.left = self.limit;
                return Ok(Next::Gap);
            }
            // RFC 2849, notes 2 and 3: a line that starts with a space goes on with the one before.
            while let Some(next) = self.take()? {
                match next.text.strip_prefix(b" ") {
                    Some(rest) => line.text.extend_from_slice(rest),
                    None => {
                        self.ahead = Some(next);
                        break;
                    }
                }
            }
            if line.text.starts_with(b" ") {
                return Err(Problem::Continuation.at(line.number));
            }
            if !line.text.starts_with(b"#") {
                return Ok(Next::Line(line));
            }
        }
    }

    fn take(&mut self) -> Result<Option<Line>, LdifError> {
        match self.ahead.take() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    /// One physical line without its end, which is LF or CRLF.
    fn read(&mut self) -> Result<Option<Line>, LdifError> {
        let number = self.number + 1;
        let mut text = Vec::new();
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Io(error).at(number)),
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            if taken == 0 && text.is_empty() {
                return Ok(None);
            }
            self.left = match self.left.checked_sub(taken) {
                Some(left) => left,
                None => return Err(Problem::TooLarge { limit: self.limit }.at(number)),
            };
            text.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                break;
            }
        }
        if text.last() == Some(&b'\n') {
            text.pop();
            if text.last() == Some(&b'\r') {
                text.pop();
            }
        }
        self.number = number;
        Ok(Some(Line { number, text }))
    }
}
