//! What a search program means (RFC 3501 section 6.4.4): pure, and lazy about what has to be loaded.
//!
//! A program is compiled once, then asked about one message with what is known of it. It answers yes, no, or
//! that it needs to know more; the driver then loads the message's row, its header or all of it.

use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, MessageParser, PartType};
use model::{Envelope, EnvelopeAddress, Flag, Flags, SystemFlag, Timestamp};
use std::ops::RangeInclusive;
use wire::imap::write::Recency;
use wire::imap::{Date, SearchKey};

/// A compiled program.
#[derive(Debug)]
pub(super) enum Test {
    Always(bool),
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Has(Flag),
    Recent,
    Sequence(Vec<RangeInclusive<u32>>),
    Uid(Vec<RangeInclusive<u32>>),
    Size(RangeInclusive<u64>),
    /// Days of INTERNALDATE.
    Received(RangeInclusive<i64>),
    /// Days of the Date field.
    Sent(RangeInclusive<i64>),
    Envelope(Field, String),
    Header(Vec<u8>, String),
    Body(String),
    Text(String),
}

/// Fields that the envelope has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    From,
    To,
    Cc,
    Bcc,
    Subject,
}

/// What is known of a message. What is none has not been loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) seq: u32,
    pub(super) uid: u32,
    pub(super) flags: &'a Flags,
    pub(super) recency: Recency,
    pub(super) row: Option<Row<'a>>,
    pub(super) header: Option<&'a [u8]>,
    /// What the whole message says.
    pub(super) content: Option<&'a Content>,
}

/// What was computed when the message was stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) size: u64,
    pub(super) internal_date: Timestamp,
    pub(super) envelope: &'a Envelope,
}

/// What must be loaded for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Row,
    Header,
    Content,
}

impl Test {
    /// Compiles a program. `*` becomes the largest number of the mailbox as the client knows it.
    pub(super) fn compile(key: &SearchKey, largest_seq: u32, largest_uid: u32) -> Self {
        let inner = |key: &SearchKey| Self::compile(key, largest_seq, largest_uid);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        let until = |date: Date| i64::MIN..=date.days() - 1;
        let on = |date: Date| date.days()..=date.days();
        let since = |date: Date| date.days()..=i64::MAX;
        match key {
            SearchKey::All => Self::Always(true),
            SearchKey::Recent => Self::Recent,
            SearchKey::Old => Self::Not(Box::new(Self::Recent)),
            SearchKey::New => Self::All(vec![
                Self::Recent,
                Self::Not(Box::new(Self::Has(Flag::System(SystemFlag::Seen)))),
            ]),
            SearchKey::And(keys) => Self::All(keys.iter().map(inner).collect()),
            SearchKey::Or(a, b) => Self::Any(vec![inner(a), inner(b)]),
            SearchKey::Not(key) => Self::Not(Box::new(inner(key))),
            SearchKey::Has(flag) => Self::Has(flag.clone()),
            SearchKey::HasNot(flag) => Self::Not(Box::new(Self::Has(flag.clone()))),
            SearchKey::Sequence(set) => Self::Sequence(set.resolve(largest_seq)),
            SearchKey::Uid(set) => Self::Uid(set.resolve(largest_uid)),
            SearchKey::Larger(size) => Self::Size(size.saturating_add(1)..=u64::MAX),
            SearchKey::Smaller(0) => Self::Always(false),
            SearchKey::Smaller(size) => Self::Size(0..=size - 1),
            SearchKey::Before(date) => Self::Received(until(*date)),
            SearchKey::On(date) => Self::Received(on(*date)),
            SearchKey::Since(date) => Self::Received(since(*date)),
            SearchKey::SentBefore(date) => Self::Sent(until(*date)),
            SearchKey::SentOn(date) => Self::Sent(on(*date)),
            SearchKey::SentSince(date) => Self::Sent(since(*date)),
            SearchKey::From(bytes) => Self::Envelope(Field::From, text(bytes)),
            SearchKey::To(bytes) => Self::Envelope(Field::To, text(bytes)),
            SearchKey::Cc(bytes) => Self::Envelope(Field::Cc, text(bytes)),
            SearchKey::Bcc(bytes) => Self::Envelope(Field::Bcc, text(bytes)),
            SearchKey::Subject(bytes) => Self::Envelope(Field::Subject, text(bytes)),
            SearchKey::Header(name, bytes) => Self::Header(name.clone(), text(bytes)),
            SearchKey::Body(bytes) => Self::Body(text(bytes)),
            SearchKey::Text(bytes) => Self::Text(text(bytes)),
        }
    }

    /// Asks about one message. The error says what has to be loaded first. A message that lacks what it is
    /// asked for, such as a Date field, does not match.
    pub(super) fn ask(&self, facts: &Facts<'_>) -> Result<bool, Need> {
        let row = facts.row.ok_or(Need::Row);
        match self {
            Self::Always(answer) => Ok(*answer),
            Self::All(tests) => combine(tests, facts, false),
            Self::Any(tests) => combine(tests, facts, true),
            Self::Not(test) => test.ask(facts).map(|answer| !answer),
            Self::Has(flag) => Ok(facts.flags.contains(flag)),
            Self::Recent => Ok(facts.recency == Recency::Recent),
            Self::Sequence(ranges) => Ok(holds(ranges, facts.seq)),
            Self::Uid(ranges) => Ok(holds(ranges, facts.uid)),
            Self::Size(sizes) => row.map(|row| sizes.contains(&row.size)),
            Self::Received(days) => row.map(|row| days.contains(&Date::of(row.internal_date).days())),
            Self::Sent(days) => row.map(|row| sent(row.envelope).is_some_and(|day| days.contains(&day))),
            Self::Envelope(field, text) => row.map(|row| envelope_has(row.envelope, *field, text)),
            Self::Header(name, text) => match facts.header {
                Some(header) => Ok(header_has(header, name, text)),
                None => Err(Need::Header),
            },
            // Every message has an empty text.
            Self::Body(text) | Self::Text(text) if text.is_empty() => Ok(true),
            Self::Body(text) => facts
                .content
                .ok_or(Need::Content)
                .map(|content| content.body_has(text)),
            Self::Text(text) => facts
                .content
                .ok_or(Need::Content)
                .map(|content| content.header_has(text) || content.body_has(text)),
        }
    }
}

/// AND and OR: the first test that decides spares the loading that others would need.
fn combine(tests: &[Test], facts: &Facts<'_>, decisive: bool) -> Result<bool, Need> {
    let mut need: Option<Need> = None;
    for test in tests {
        match test.ask(facts) {
            Ok(answer) if answer == decisive => return Ok(decisive),
            Ok(_) => {}
            Err(more) => need = Some(need.map_or(more, |known| known.min(more))),
        }
    }
    need.map_or(Ok(!decisive), Err)
}

/// The day that the Date field names, in its own zone (RFC 3501: "disregarding time and timezone"): the
/// first day, month and year that stand side by side, whatever the rest is like.
fn sent(envelope: &Envelope) -> Option<i64> {
    let text = std::str::from_utf8(envelope.date.as_deref()?).ok()?;
    let words: Vec<&str> = text
        .split([' ', '\t', ',', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    words.windows(3).find_map(|words| match words {
        [day, month, year] => Date::from_words(day, month, year).map(Date::days),
        _ => None,
    })
}

fn envelope_has(envelope: &Envelope, field: Field, text: &str) -> bool {
    let list = match field {
        Field::From => &envelope.from,
        Field::To => &envelope.to,
        Field::Cc => &envelope.cc,
        Field::Bcc => &envelope.bcc,
        Field::Subject => {
            return envelope
                .subject
                .as_deref()
                .is_some_and(|subject| decoded(subject).contains(text));
        }
    };
    list.iter().any(|address| address_text(address).contains(text))
}

fn address_text(address: &EnvelopeAddress) -> String {
    let name = address.name.as_deref().map(decoded).unwrap_or_default();
    let part =
        |part: &Option<Vec<u8>>| String::from_utf8_lossy(part.as_deref().unwrap_or_default()).to_lowercase();
    format!("{name} <{}@{}>", part(&address.mailbox), part(&address.host))
}

/// A header field's value with its encoded words decoded (RFC 2047), in lower case.
fn decoded(value: &[u8]) -> String {
    let mut line = Vec::with_capacity(value.len() + 2);
    line.extend_from_slice(value.trim_ascii());
    line.extend_from_slice(b"\r\n");
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.to_lowercase(),
        _ => String::new(),
    }
}

/// The fields of a header: name, and value with its folds.
fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
            return None;
        }
        let mut end = 0;
        loop {
            end += match rest.get(end..)?.iter().position(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None => rest.len() - end,
            };
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, tail) = rest.split_at(end);
        rest = tail;
        let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
        let (name, value) = field.split_at(colon);
        Some((name.trim_ascii_end(), value.get(1..).unwrap_or_default()))
    })
}

fn header_has(header: &[u8], name: &[u8], text: &str) -> bool {
    fields(header).any(|(known, value)| {
        known.eq_ignore_ascii_case(name) && (text.is_empty() || decoded(value).contains(text))
    })
}

/// What a message says, in lower case: worked out once, however many keys of a program ask.
#[derive(Debug)]
pub(super) struct Content {
    /// Names and decoded values of the header's fields.
    header: Vec<String>,
    /// The text parts, transfer encoding and charset undone, and the header fields of messages inside.
    texts: Vec<String>,
}

impl Content {
    /// Reads a message.
    pub(super) fn read(message: &[u8]) -> Self {
        fn gather(message: &mail_parser::Message<'_>, depth: usize, texts: &mut Vec<String>) {
            for part in &message.parts {
                match &part.body {
                    PartType::Text(body) | PartType::Html(body) => texts.push(body.to_lowercase()),
                    PartType::Message(inner) if depth < 10 => {
                        texts.extend(words_of(inner.raw_message()));
                        gather(inner, depth + 1, texts);
                    }
                    _ => {}
                }
            }
        }
        let mut texts = Vec::new();
        if let Some(parsed) = MessageParser::default().parse(message) {
            gather(&parsed, 0, &mut texts);
        }
        Self {
            header: words_of(message).collect(),
            texts,
        }
    }

    fn header_has(&self, text: &str) -> bool {
        self.header.iter().any(|known| known.contains(text))
    }

    fn body_has(&self, text: &str) -> bool {
        self.texts.iter().any(|known| known.contains(text))
    }
}

fn words_of(header: &[u8]) -> impl Iterator<Item = String> {
    fields(header).flat_map(|(name, value)| [String::from_utf8_lossy(name).to_lowercase(), decoded(value)])
}

/// Whether ascending, disjoint ranges hold the number.
fn holds(ranges: &[RangeInclusive<u32>], number: u32) -> bool {
    let at = ranges.partition_point(|range| *range.end() < number);
    ranges.get(at).is_some_and(|range| range.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::imap::{Command, CommandBody};

    const MESSAGE: &[u8] = b"Date: Mon, 1 Feb 1999 23:30:00 -0800\r\nFrom: =?utf-8?q?J=C3=B6rg?= <joerg@example.test>\r\n\
        To: Alice <alice@example.test>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?= an\r\n alle\r\nX-Empty:\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Der Schl=FCssel liegt im Garten.\r\n";

    fn envelope() -> Envelope {
        Envelope {
            date: Some(b"Mon, 1 Feb 1999 23:30:00 -0800".to_vec()),
            subject: Some(b"=?utf-8?b?R3LDvMOfZQ==?= an alle".to_vec()),
            from: vec![EnvelopeAddress {
                name: Some(b"=?utf-8?q?J=C3=B6rg?=".to_vec()),
                mailbox: Some(b"joerg".to_vec()),
                host: Some(b"example.test".to_vec()),
            }],
            ..Envelope::default()
        }
    }

    fn test(program: &str) -> Test {
        let command = Command::parse(format!("a SEARCH {program}").as_bytes()).expect(program);
        let CommandBody::Search(search) = command.body else {
            panic!("{program}")
        };
        Test::compile(&search.key, 10, 100)
    }

    fn ask(program: &str) -> bool {
        let flags = Flags::from_iter(
            [Flag::parse("\\Seen"), Flag::parse("$Work")]
                .into_iter()
                .flatten(),
        );
        let envelope = envelope();
        let row = Row {
            size: MESSAGE.len() as u64,
            // 2 Feb 1999 07:31 UTC.
            internal_date: Timestamp::from_millis(917_940_660_000),
            envelope: &envelope,
        };
        let mut facts = Facts {
            seq: 10,
            uid: 40,
            flags: &flags,
            recency: Recency::Old,
            row: None,
            header: None,
            content: None,
        };
        let (test, content) = (test(program), Content::read(MESSAGE));
        loop {
            match test.ask(&facts) {
                Ok(answer) => return answer,
                Err(Need::Row) if facts.row.is_none() => facts.row = Some(row),
                Err(Need::Header) if facts.header.is_none() => facts.header = Some(MESSAGE),
                Err(Need::Content) if facts.content.is_none() => facts.content = Some(&content),
                Err(need) => panic!("{program} needs {need:?} twice"),
            }
        }
    }

    // RFC 3501 section 6.4.4.
    #[test]
    fn keys() {
        for program in [
            "ALL",
            "SEEN",
            "KEYWORD $work",
            "UNANSWERED",
            "OLD",
            "10",
            "*",
            "1:*",
            "UID 30:50",
            "LARGER 10",
            "SMALLER 100000",
            "ON 2-Feb-1999",
            "SINCE 1-Feb-1999",
            "BEFORE 3-Feb-1999",
            "SENTON 1-Feb-1999",
            "SENTBEFORE 2-Feb-1999",
            "SENTSINCE 1-Jan-1999",
            "FROM {5}\r\nj\u{f6}rg",
            "FROM EXAMPLE.test",
            "SUBJECT {6}\r\ngr\u{fc}\u{df}",
            "SUBJECT \"an alle\"",
            "HEADER to ALICE",
            "HEADER X-Empty \"\"",
            "BODY {5}\r\nhl\u{fc}s",
            "TEXT garten",
            "TEXT alice",
            "NOT DELETED",
            "OR DELETED SEEN",
            "BODY \"\"",
            "(SEEN NOT (FLAGGED))",
        ] {
            assert!(ask(program), "{program}");
        }
        for program in [
            "DELETED",
            "UNSEEN",
            "RECENT",
            "NEW",
            "UNKEYWORD $Work",
            "9",
            "1:9",
            "UID 41",
            "SMALLER 0",
            "LARGER 100000",
            "ON 1-Feb-1999",
            "BEFORE 2-Feb-1999",
            "SENTON 2-Feb-1999",
            "TO alice",
            "CC x",
            "HEADER X-None \"\"",
            "HEADER Subject bob",
            "BODY alice",
            "TEXT bob",
            "OR DELETED FLAGGED",
            "SEEN DELETED",
            "NOT SEEN",
        ] {
            assert!(!ask(program), "{program}");
        }
    }

    // RFC 3501 section 6.4.4: NEW is RECENT UNSEEN, OLD is NOT RECENT.
    #[test]
    fn recent_keys() {
        let ask = |program: &str, recency, flags: &Flags| {
            let facts = Facts {
                seq: 1,
                uid: 1,
                flags,
                recency,
                row: None,
                header: None,
                content: None,
            };
            test(program).ask(&facts) == Ok(true)
        };
        let seen = Flags::from_iter([Flag::System(SystemFlag::Seen)]);
        let none = Flags::EMPTY;
        assert!(ask("RECENT", Recency::Recent, &seen) && ask("NEW", Recency::Recent, &none));
        assert!(!ask("NEW", Recency::Recent, &seen) && !ask("NEW", Recency::Old, &none));
        assert!(ask("OLD", Recency::Old, &none) && !ask("OLD", Recency::Recent, &none));
    }

    // RFC 5322 section 4.3.
    #[test]
    fn old_years() {
        for (date, year) in [
            ("14 Nov 26 09:12 GMT", 2026),
            ("1 Feb 99 09:12 GMT", 1999),
            ("1 Feb 102 09:12 GMT", 2002),
            ("Sun, 07 Sep 2008 (a comment)", 2008),
        ] {
            let envelope = Envelope {
                date: Some(date.into()),
                ..Envelope::default()
            };
            let found = sent(&envelope).map(Date::from_days).map(|date| date.to_string());
            assert!(
                found
                    .as_ref()
                    .is_some_and(|found| found.ends_with(&year.to_string())),
                "{date}: {found:?}"
            );
        }
    }

    #[test]
    fn loads_no_more_than_needed() {
        let flags = Flags::EMPTY;
        let facts = Facts {
            seq: 1,
            uid: 1,
            flags: &flags,
            recency: Recency::Old,
            row: None,
            header: None,
            content: None,
        };
        assert_eq!(test("BODY x DELETED").ask(&facts), Ok(false));
        assert_eq!(test("OR UNSEEN TEXT x").ask(&facts), Ok(true));
        assert_eq!(test("BODY x FROM y").ask(&facts), Err(Need::Row));
        assert_eq!(test("HEADER a b").ask(&facts), Err(Need::Header));
    }
}
