//! What FETCH can ask for (RFC 3501 section 6.4.5).

use super::scan::{Malformed, Scanner};

/// One data item of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the RFC's.
pub enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    Rfc822Size,
    Envelope,
    /// `BODY` without a section: the structure without extension data.
    Body,
    BodyStructure,
    /// `BODY[section]<partial>` and its `.PEEK`.
    Section {
        section: Section,
        partial: Option<Partial>,
        seen: Seen,
    },
    /// `BODY[]` under its old name.
    Rfc822,
    /// `BODY.PEEK[HEADER]` under its old name.
    Rfc822Header,
    /// `BODY[TEXT]` under its old name.
    Rfc822Text,
}

/// Whether fetching sets `\Seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It does.
    Set,
    /// `.PEEK`: it does not.
    Keep,
}

/// `<offset.length>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First octet.
    pub offset: u32,
    /// At most so many octets; above zero.
    pub length: u32,
}

/// `section-spec`: a part, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Part numbers; empty for the message itself.
    pub part: Vec<u32>,
    /// What of it; none for all of it.
    pub text: Option<SectionText>,
}

/// `section-text`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`: of the message, or of a message/rfc822 part.
    Header,
    /// `HEADER.FIELDS`
    HeaderFields(Vec<Vec<u8>>),
    /// `HEADER.FIELDS.NOT`
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// `TEXT`
    Text,
    /// `MIME`: the part's own header; only with a part number.
    Mime,
}

/// Deeper part numbers than this are refused; no message that the store accepts is nested deeper.
const MAX_PART_DEPTH: usize = 64;
/// More items than this in one FETCH are refused, and more field names in one item: each is looked for in every
/// message that is asked for.
const MAX_ITEMS: usize = 100;

/// The items of a FETCH: a macro, one item, or a list.
pub(super) fn scan_items(scanner: &mut Scanner<'_>) -> Result<Vec<FetchItem>, Malformed> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    if scanner.peek() == Some(b'(') {
        let items = scanner.list(scan_item)?;
        return if items.is_empty() {
            scanner.fail("a data item")
        } else if items.len() > MAX_ITEMS {
            scanner.fail("fewer data items")
        } else {
            Ok(items)
        };
    }
    // RFC 3501 section 6.4.5: a macro stands alone.
    for (name, items) in [
        ("ALL", vec![Flags, InternalDate, Rfc822Size, Envelope]),
        ("FAST", vec![Flags, InternalDate, Rfc822Size]),
        ("FULL", vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
    ] {
        if scanner.eat_text(name) {
            return Ok(items);
        }
    }
    scan_item(scanner).map(|item| vec![item])
}

fn scan_item(scanner: &mut Scanner<'_>) -> Result<FetchItem, Malformed> {
    let start = scanner.clone();
    let name = scanner.word(|byte| byte.is_ascii_alphanumeric() || byte == b'.', "a data item")?;
    let seen = match name.to_ascii_uppercase().as_str() {
        "UID" => return Ok(FetchItem::Uid),
        "FLAGS" => return Ok(FetchItem::Flags),
        "INTERNALDATE" => return Ok(FetchItem::InternalDate),
        "ENVELOPE" => return Ok(FetchItem::Envelope),
        "BODYSTRUCTURE" => return Ok(FetchItem::BodyStructure),
        "RFC822" => return Ok(FetchItem::Rfc822),
        "RFC822.SIZE" => return Ok(FetchItem::Rfc822Size),
        "RFC822.HEADER" => return Ok(FetchItem::Rfc822Header),
        "RFC822.TEXT" => return Ok(FetchItem::Rfc822Text),
        "BODY" if scanner.peek() != Some(b'[') => return Ok(FetchItem::Body),
        "BODY" => Seen::Set,
        "BODY.PEEK" => Seen::Keep,
        _ => return start.fail("a data item"),
    };
    let section = scan_section(scanner)?;
    let partial = if scanner.peek() == Some(b'<') {
        Some(scan_partial(scanner)?)
    } else {
        None
    };
    Ok(FetchItem::Section {
        section,
        partial,
        seen,
    })
}

fn scan_partial(scanner: &mut Scanner<'_>) -> Result<Partial, Malformed> {
    scanner.expect(b'<', "<")?;
    let offset = scanner.number()?;
    scanner.expect(b'.', "a dot")?;
    let length = scanner.nz_number()?;
    scanner.expect(b'>', ">")?;
    Ok(Partial { offset, length })
}

fn scan_section(scanner: &mut Scanner<'_>) -> Result<Section, Malformed> {
    scanner.expect(b'[', "a section")?;
    let mut section = Section::default();
    while scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        section.part.push(scanner.nz_number()?);
        if section.part.len() > MAX_PART_DEPTH {
            return scanner.fail("a section that is less deep");
        }
        if !scanner.eat(b'.') {
            scanner.expect(b']', "the end of the section")?;
            return Ok(section);
        }
    }
    if !section.part.is_empty() || scanner.peek() != Some(b']') {
        section.text = Some(scan_section_text(scanner, &section.part)?);
    }
    scanner.expect(b']', "the end of the section")?;
    Ok(section)
}

fn scan_section_text(scanner: &mut Scanner<'_>, part: &[u32]) -> Result<SectionText, Malformed> {
    let start = scanner.clone();
    let name = scanner.word(|byte| byte.is_ascii_alphabetic() || byte == b'.', "a section")?;
    let fields = |scanner: &mut Scanner<'_>| {
        scanner.space()?;
        let fields = scanner.list(|scanner| scanner.astring().map(|name| name.into_owned()))?;
        if fields.is_empty() {
            scanner.fail("a header field name")
        } else if fields.len() > MAX_ITEMS {
            scanner.fail("fewer header field names")
        } else {
            Ok(fields)
        }
    };
    match name.to_ascii_uppercase().as_str() {
        "HEADER" => Ok(SectionText::Header),
        "HEADER.FIELDS" => fields(scanner).map(SectionText::HeaderFields),
        "HEADER.FIELDS.NOT" => fields(scanner).map(SectionText::HeaderFieldsNot),
        "TEXT" => Ok(SectionText::Text),
        "MIME" if !part.is_empty() => Ok(SectionText::Mime),
        _ => start.fail("a section"),
    }
}

impl FetchItem {
    /// The item as a client asks for it and, with the origin in place of the partial, as a server names it.
    fn name(&self) -> &'static str {
        match self {
            Self::Uid => "UID",
            Self::Flags => "FLAGS",
            Self::InternalDate => "INTERNALDATE",
            Self::Rfc822Size => "RFC822.SIZE",
            Self::Envelope => "ENVELOPE",
            Self::Body => "BODY",
            Self::BodyStructure => "BODYSTRUCTURE",
            Self::Section { seen: Seen::Set, .. } => "BODY",
            Self::Section { seen: Seen::Keep, .. } => "BODY.PEEK",
            Self::Rfc822 => "RFC822",
            Self::Rfc822Header => "RFC822.HEADER",
            Self::Rfc822Text => "RFC822.TEXT",
        }
    }

    /// The form in a command.
    pub(super) fn write_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name().as_bytes());
        if let Self::Section { section, partial, .. } = self {
            section.write(out);
            if let Some(Partial { offset, length }) = partial {
                out.extend_from_slice(format!("<{offset}.{length}>").as_bytes());
            }
        }
    }

    /// The form in a FETCH response: without `.PEEK`, and with the origin alone (RFC 3501 section 7.4.2).
    pub fn write_response_name(&self, out: &mut Vec<u8>) {
        match self {
            Self::Section { section, partial, .. } => {
                out.extend_from_slice(b"BODY");
                section.write(out);
                if let Some(partial) = partial {
                    out.extend_from_slice(format!("<{}>", partial.offset).as_bytes());
                }
            }
            other => out.extend_from_slice(other.name().as_bytes()),
        }
    }
}

impl Section {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        let part: Vec<String> = self.part.iter().map(u32::to_string).collect();
        out.extend_from_slice(part.join(".").as_bytes());
        if let Some(text) = &self.text {
            if !part.is_empty() {
                out.push(b'.');
            }
            let (name, fields) = match text {
                SectionText::Header => ("HEADER", None),
                SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
                SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
                SectionText::Text => ("TEXT", None),
                SectionText::Mime => ("MIME", None),
            };
            out.extend_from_slice(name.as_bytes());
            if let Some(fields) = fields {
                out.extend_from_slice(b" (");
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    super::write::astring(out, field);
                }
                out.push(b')');
            }
        }
        out.push(b']');
    }
}
