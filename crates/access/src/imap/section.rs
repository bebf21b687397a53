//! Which octets of a message a section of FETCH names (RFC 3501 section 6.4.5).

use model::BodyStructure;
use std::ops::Range;
use wire::imap::{Partial, Section, SectionText};

/// Where a section's octets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// These octets of the message.
    Range(Range<u64>),
    /// A selection of the fields in the header that lies there.
    Fields {
        /// The header with its blank line.
        header: Range<u64>,
        /// Names, in lower case.
        names: Vec<Vec<u8>>,
        /// Whether the named fields are wanted or the others.
        which: Which,
    },
}

/// Named fields or the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// `HEADER.FIELDS`
    Named,
    /// `HEADER.FIELDS.NOT`
    Others,
}

/// Finds a section; none when the message has no such part, which is shown as NIL.
pub(super) fn locate(
    section: &Section,
    structure: &BodyStructure,
    header_len: u64,
    size: u64,
) -> Option<Source> {
    let whole = 0..size;
    let header = 0..header_len.min(size);
    let (header, text, all, mime) = if section.part.is_empty() {
        (Some(header.clone()), Some(header.end..size), whole, None)
    } else {
        let part = structure.part(&section.part)?;
        let fields = part.fields();
        let span = |from: u32, to: u32| {
            let to = u64::from(to).min(size);
            u64::from(from).min(to)..to
        };
        let (header, text) = match part {
            // RFC 3501 section 6.4.5: HEADER and TEXT of a part are those of the message inside it.
            BodyStructure::Message { body, .. } => {
                let inner = body.fields();
                (
                    Some(span(inner.header, inner.body)),
                    Some(span(inner.body, fields.end)),
                )
            }
            _ => (None, None),
        };
        (
            header,
            text,
            span(fields.body, fields.end),
            Some(span(fields.header, fields.body)),
        )
    };
    let lower = |names: &[Vec<u8>]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
    match &section.text {
        None => Some(Source::Range(all)),
        Some(SectionText::Header) => header.map(Source::Range),
        Some(SectionText::Text) => text.map(Source::Range),
        Some(SectionText::Mime) => mime.map(Source::Range),
        Some(SectionText::HeaderFields(names)) => header.map(|header| Source::Fields {
            header,
            names: lower(names),
            which: Which::Named,
        }),
        Some(SectionText::HeaderFieldsNot(names)) => header.map(|header| Source::Fields {
            header,
            names: lower(names),
            which: Which::Others,
        }),
    }
}

/// The part of a range that `<offset.length>` names; empty behind the end.
pub(super) fn cut(range: &Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { offset, length }) = partial else {
        return range.clone();
    };
    let start = range.start.saturating_add(offset.into()).min(range.end);
    start..start.saturating_add(length.into()).min(range.end)
}

/// The chosen fields as they stand, folded lines included, and the blank line behind them, which is always
/// there (RFC 3501 section 6.4.5).
pub(super) fn select_fields(header: &[u8], names: &[Vec<u8>], which: Which) -> Vec<u8> {
    let mut out = Vec::new();
    let mut wanted = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            wanted = match line.iter().position(|byte| *byte == b':') {
                Some(colon) => {
                    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
                    names.iter().any(|known| name.eq_ignore_ascii_case(known)) == (which == Which::Named)
                }
                None => which == Which::Others,
            };
        }
        if wanted {
            out.extend_from_slice(line);
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BodyFields, Envelope};

    fn fields(header: u32, body: u32, end: u32) -> BodyFields {
        BodyFields {
            params: vec![],
            id: None,
            description: None,
            encoding: b"7bit".to_vec(),
            md5: None,
            disposition: None,
            language: vec![],
            location: None,
            header,
            body,
            end,
        }
    }

    fn text(header: u32, body: u32, end: u32) -> BodyStructure {
        BodyStructure::Text {
            subtype: b"plain".to_vec(),
            fields: fields(header, body, end),
            lines: 1,
        }
    }

    fn section(part: &[u32], text: Option<SectionText>) -> Section {
        Section {
            part: part.to_vec(),
            text,
        }
    }

    // A multipart of a text and a message that holds a text.
    fn message() -> BodyStructure {
        BodyStructure::Multipart {
            subtype: b"mixed".to_vec(),
            parts: vec![
                text(120, 140, 180),
                BodyStructure::Message {
                    subtype: b"rfc822".to_vec(),
                    fields: fields(190, 200, 290),
                    envelope: Box::new(Envelope::default()),
                    body: Box::new(text(200, 230, 290)),
                    lines: 4,
                },
            ],
            fields: fields(0, 100, 300),
        }
    }

    #[test]
    fn ranges() {
        let structure = message();
        for (part, what, want) in [
            (&[][..], None, Some(0..300)),
            (&[], Some(SectionText::Header), Some(0..100)),
            (&[], Some(SectionText::Text), Some(100..300)),
            (&[1], None, Some(140..180)),
            (&[1], Some(SectionText::Mime), Some(120..140)),
            (&[1], Some(SectionText::Header), None),
            (&[2], None, Some(200..290)),
            (&[2], Some(SectionText::Header), Some(200..230)),
            (&[2], Some(SectionText::Text), Some(230..290)),
            (&[2, 1], None, Some(230..290)),
            (&[2, 1], Some(SectionText::Mime), Some(200..230)),
            (&[3], None, None),
            (&[1, 1], None, None),
        ] {
            let found = locate(&section(part, what.clone()), &structure, 100, 300);
            assert_eq!(found, want.map(Source::Range), "{part:?} {what:?}");
        }
        let single = text(0, 50, 80);
        assert_eq!(
            locate(&section(&[1], None), &single, 50, 80),
            Some(Source::Range(50..80))
        );
    }

    // RFC 3501 section 6.4.5: a partial beyond the end is empty.
    #[test]
    fn partials() {
        let cut = |offset, length| cut(&(10..20), Some(Partial { offset, length }));
        assert_eq!(cut(0, 5), 10..15);
        assert_eq!(cut(8, 100), 18..20);
        assert_eq!(cut(10, 1), 20..20);
        assert_eq!(cut(u32::MAX, u32::MAX), 20..20);
    }

    #[test]
    fn header_fields() {
        let header = b"From: a\r\nTO: b,\r\n c\r\nX : y\r\nSubject: s\r\n\r\n";
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            select_fields(header, &names(&["to", "subject"]), Which::Named),
            b"TO: b,\r\n c\r\nSubject: s\r\n\r\n"
        );
        assert_eq!(
            select_fields(header, &names(&["to", "subject"]), Which::Others),
            b"From: a\r\nX : y\r\n\r\n"
        );
        assert_eq!(select_fields(header, &names(&["none"]), Which::Named), b"\r\n");
        assert_eq!(
            select_fields(b"A: b", &names(&["a"]), Which::Named),
            b"A: b\r\n\r\n"
        );
    }
}
