//! Parts of a message, recursively, within limits.

use super::header::{Header, line_end, trim_end_of_line};
use super::{Parsed, address, params};
use model::{BodyFields, BodyStructure, Disposition, Envelope, EnvelopeAddress};
use std::ops::Range;

/// Multiparts and messages within each other: as deep as the part numbers that IMAP takes.
const DEPTH: u32 = 64;
/// Parts of the whole message.
const PARTS: u32 = 1000;
/// RFC 2046 section 5.1.1 allows 70 octets; some senders exceed it.
const BOUNDARY: usize = 256;
/// Octets that may be searched for boundaries in any case: a message of common size may nest as deep as it
/// likes, within [`DEPTH`], and a large one as often as its own size allows.
const SEARCHED: usize = 16 << 20;
/// Octets of header values that are kept of all embedded parts together. Beyond it no part is looked into any
/// more, or one message could make a row, and every reader of it, larger than itself.
const KEPT: usize = 1 << 20;

pub(super) fn parse(message: &[u8]) -> Parsed {
    let mut walk = Walk {
        message,
        parts: 0,
        budget: message.len().saturating_mul(8).max(SEARCHED),
        kept: KEPT,
    };
    let header = Header::read(message, 0..message.len());
    Parsed {
        envelope: envelope(&header),
        body: walk.part(0..message.len(), &header, Default::TextPlain, 0),
        header_len: offset(header.body),
    }
}

/// What a part without Content-Type is.
#[derive(Clone, Copy)]
enum Default {
    TextPlain,
    /// In multipart/digest (RFC 2046 section 5.1.5).
    Message,
}

struct Walk<'a> {
    message: &'a [u8],
    parts: u32,
    /// Octets that may still be searched for boundaries: nesting must not multiply the work.
    budget: usize,
    /// What is left of [`KEPT`].
    kept: usize,
}

fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn envelope(header: &Header<'_>) -> Envelope {
    let list = |name| {
        header
            .get(name)
            .map(|value| address::list(&value))
            .unwrap_or_default()
    };
    let from: Vec<EnvelopeAddress> = list("From");
    // RFC 9051 section 7.5.2: absent or empty, they are taken from From.
    let or_from = |list: Vec<EnvelopeAddress>| if list.is_empty() { from.clone() } else { list };
    Envelope {
        date: header.get("Date"),
        subject: header.get("Subject"),
        sender: or_from(list("Sender")),
        reply_to: or_from(list("Reply-To")),
        to: list("To"),
        cc: list("Cc"),
        bcc: list("Bcc"),
        in_reply_to: header.get("In-Reply-To"),
        message_id: header.get("Message-ID"),
        from,
    }
}

fn fields(header: &Header<'_>, range: &Range<usize>, params: params::Params) -> BodyFields {
    let disposition = header.get("Content-Disposition");
    BodyFields {
        params,
        id: header.get("Content-ID"),
        description: header.get("Content-Description"),
        encoding: header
            .get("Content-Transfer-Encoding")
            .and_then(|value| params::token(&value))
            .unwrap_or_else(|| b"7BIT".to_vec()),
        md5: header.get("Content-MD5"),
        disposition: disposition
            .and_then(|value| params::disposition(&value))
            .map(|(kind, params)| Disposition { kind, params }),
        language: header
            .get("Content-Language")
            .map(|value| params::tokens(&value))
            .unwrap_or_default(),
        location: header.get("Content-Location"),
        header: offset(range.start),
        body: offset(header.body),
        end: offset(range.end),
    }
}

/// Octets that the fields of a part take in a row, and more or less in memory.
fn weight_of_fields(fields: &BodyFields) -> usize {
    let texts = [&fields.id, &fields.description, &fields.md5, &fields.location];
    let disposition = fields.disposition.as_ref();
    let params = fields
        .params
        .iter()
        .chain(disposition.iter().flat_map(|disposition| &disposition.params));
    texts.into_iter().flatten().map(Vec::len).sum::<usize>()
        + params
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
        + fields.language.iter().map(Vec::len).sum::<usize>()
        + fields.encoding.len()
        + disposition.map_or(0, |disposition| disposition.kind.len())
}

/// The same of an envelope. An address of two octets takes a hundred in memory.
fn weight_of_envelope(envelope: &Envelope) -> usize {
    const ADDRESS: usize = 32;
    let texts = [
        &envelope.date,
        &envelope.subject,
        &envelope.in_reply_to,
        &envelope.message_id,
    ];
    let lists = [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    let address = |address: &EnvelopeAddress| {
        let parts = [&address.name, &address.mailbox, &address.host];
        ADDRESS + parts.into_iter().flatten().map(Vec::len).sum::<usize>()
    };
    texts.into_iter().flatten().map(Vec::len).sum::<usize>()
        + lists.into_iter().flatten().map(address).sum::<usize>()
}

impl Walk<'_> {
    fn keep(&mut self, octets: usize) {
        self.kept = self.kept.saturating_sub(octets);
    }

    fn lines(&self, range: Range<usize>) -> u32 {
        let content = self.message.get(range).unwrap_or_default();
        offset(content.iter().filter(|byte| **byte == b'\n').count())
    }

    /// The part whose header and content are `range`.
    fn part(
        &mut self,
        range: Range<usize>,
        header: &Header<'_>,
        default: Default,
        depth: u32,
    ) -> BodyStructure {
        self.parts += 1;
        let declared = header.get("Content-Type");
        let parsed = declared.and_then(|value| params::content_type(&value));
        let (kind, subtype, mut params) = parsed.unwrap_or_else(|| match default {
            Default::TextPlain => (b"text".to_vec(), b"plain".to_vec(), Vec::new()),
            Default::Message => (b"message".to_vec(), b"rfc822".to_vec(), Vec::new()),
        });
        let is = |text: &[u8], wanted: &str| text.eq_ignore_ascii_case(wanted.as_bytes());
        let content = header.body..range.end;
        if is(&kind, "multipart") && depth < DEPTH {
            return self.multipart(&range, header, subtype, params, depth);
        }
        if is(&kind, "text") {
            // RFC 2046 section 4.1.2
            if !params.iter().any(|(name, _)| is(name, "charset")) {
                params.push((b"charset".to_vec(), b"us-ascii".to_vec()));
            }
            return BodyStructure::Text {
                subtype,
                fields: fields(header, &range, params),
                lines: self.lines(content),
            };
        }
        let fields = fields(header, &range, params);
        let embedded = is(&kind, "message") && (is(&subtype, "rfc822") || is(&subtype, "global"));
        // An encoded message (RFC 6532 allows it for message/global) cannot be looked into by position.
        let plain = ["7bit", "8bit", "binary"]
            .iter()
            .any(|plain| is(&fields.encoding, plain));
        if embedded && plain && depth < DEPTH && self.parts < PARTS && self.kept > 0 {
            let inner = Header::read(self.message, content.clone());
            let envelope = envelope(&inner);
            self.keep(weight_of_envelope(&envelope));
            return BodyStructure::Message {
                subtype,
                fields,
                envelope: Box::new(envelope),
                body: Box::new(self.part(content.clone(), &inner, Default::TextPlain, depth + 1)),
                lines: self.lines(content),
            };
        }
        BodyStructure::Basic {
            kind,
            subtype,
            fields,
        }
    }

    fn multipart(
        &mut self,
        range: &Range<usize>,
        header: &Header<'_>,
        subtype: Vec<u8>,
        params: params::Params,
        depth: u32,
    ) -> BodyStructure {
        let content = header.body..range.end;
        let boundary = params
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"))
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty() && value.len() <= BOUNDARY);
        let ranges = boundary
            .map(|boundary| self.split(content.clone(), &boundary))
            .unwrap_or_default();
        let default = if subtype.eq_ignore_ascii_case(b"digest") {
            Default::Message
        } else {
            Default::TextPlain
        };
        let mut parts = Vec::with_capacity(ranges.len());
        for part in ranges {
            if self.parts >= PARTS || self.kept == 0 {
                break;
            }
            let header = Header::read(self.message, part.clone());
            let part = self.part(part, &header, default, depth + 1);
            self.keep(weight_of_fields(part.fields()));
            parts.push(part);
        }
        if parts.is_empty() {
            // IMAP knows no multipart without parts: all of it is one text.
            let empty = Header::read(self.message, content.end..content.end);
            let mut only = fields(
                &empty,
                &content,
                vec![(b"charset".to_vec(), b"us-ascii".to_vec())],
            );
            only.body = offset(content.start);
            parts.push(BodyStructure::Text {
                subtype: b"plain".to_vec(),
                fields: only,
                lines: self.lines(content),
            });
        }
        BodyStructure::Multipart {
            subtype,
            parts,
            fields: fields(header, range, params),
        }
    }

    /// The ranges between delimiter lines. The line break in front of a delimiter belongs to it
    /// (RFC 2046 section 5.1.1).
    fn split(&mut self, content: Range<usize>, boundary: &[u8]) -> Vec<Range<usize>> {
        if self.budget < content.len() {
            return Vec::new();
        }
        self.budget -= content.len();
        let mut ranges = Vec::new();
        let mut start = None;
        let mut at = content.start;
        while at < content.end {
            let end = line_end(self.message, at, content.end);
            let line = self.message.get(at..end).unwrap_or_default();
            if let Some(tail) = delimiter(line, boundary) {
                if let Some(start) = start.take() {
                    ranges.push(start..self.before_break(start, at));
                }
                if tail == Tail::Close || ranges.len() >= PARTS as usize {
                    return ranges;
                }
                start = Some(end);
            }
            at = end;
        }
        // A missing closing delimiter: the last part ends where the content ends.
        ranges.extend(start.map(|start| start..content.end));
        ranges
    }

    fn before_break(&self, start: usize, at: usize) -> usize {
        let part = self.message.get(start..at).unwrap_or_default();
        start + trim_end_of_line(part).len()
    }
}

#[derive(PartialEq, Eq)]
enum Tail {
    Open,
    Close,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Tail> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let rest = trim_end_of_line(rest).trim_ascii_end();
    match rest {
        b"" => Some(Tail::Open),
        b"--" => Some(Tail::Close),
        _ => None,
    }
}
