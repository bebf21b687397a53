//! Header fields: names, unfolded values, and where the header ends (RFC 5322 section 2.2).

use std::ops::Range;

/// Values are cut to this length: nobody's subject is longer, and rows stay small.
const VALUE: usize = 16 << 10;

/// The fields of one header.
pub(super) struct Header<'a> {
    message: &'a [u8],
    /// Where the content behind the blank line starts.
    pub(super) body: usize,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// Fields of one header that are kept; the rest is ignored.
const FIELDS: usize = 2000;

impl<'a> Header<'a> {
    /// Reads the header that starts at `range.start`. Without a blank line all of the range is header.
    pub(super) fn read(message: &'a [u8], range: Range<usize>) -> Self {
        let mut fields: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = line_end(message, at, range.end);
            let line = message.get(at..end).unwrap_or_default();
            let text = trim_end_of_line(line);
            if text.is_empty() {
                return Self {
                    message,
                    body: end,
                    fields,
                };
            }
            if text.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                if let Some((_, value)) = fields.last_mut() {
                    value.end = at + text.len();
                }
            } else if let Some(colon) = text.iter().position(|byte| *byte == b':')
                && fields.len() < FIELDS
            {
                fields.push((at..at + colon, at + colon + 1..at + text.len()));
            }
            at = end;
        }
        Self {
            message,
            body: range.end,
            fields,
        }
    }

    /// The first field of that name, unfolded and trimmed.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let (_, value) = self.fields.iter().find(|(field, _)| {
            let field = self.message.get(field.clone()).unwrap_or_default();
            field.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
        })?;
        Some(unfold(self.message.get(value.clone()).unwrap_or_default()))
    }
}

/// RFC 5322 section 2.2.3: a line break before white space disappears. So do NULs and stray line breaks, which
/// no IMAP string may hold.
fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.get(..VALUE).unwrap_or(value);
    let text: Vec<u8> = value
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))
        .collect();
    text.trim_ascii().to_vec()
}

/// Behind the line break of the line that starts at `at`.
pub(super) fn line_end(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.iter()
        .position(|byte| *byte == b'\n')
        .map_or(end, |position| at + position + 1)
}

/// Without CRLF or LF.
pub(super) fn trim_end_of_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
