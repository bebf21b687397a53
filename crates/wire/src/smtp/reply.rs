//! Replies (RFC 5321 section 4.2) with enhanced status codes (RFC 3463, RFC 2034), written and read.

use std::borrow::Cow;
use std::fmt;

/// More lines than this in one reply are not read.
const MAX_LINES: usize = 128;
/// The text of one line is cut here when read or written: RFC 5321 section 4.5.3.1.5 allows 512 octets a line.
const MAX_TEXT: usize = 480;

/// An enhanced status code, `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Reads the code that opens a reply's text; it is followed by a space or by nothing.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = code.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") || !digits(subject) || !digits(detail)
        {
            return None;
        }
        Some((
            Self(class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?),
            rest,
        ))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a reply code means for the command (RFC 5321 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 2xx: done.
    Completed,
    /// 3xx: go on.
    Intermediate,
    /// 4xx: not now.
    Transient,
    /// 5xx: not at all.
    Permanent,
}

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, enhanced: Option<EnhancedCode>, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            enhanced,
            lines: vec![text.into()],
        }
    }

    /// A reply of several lines; at least one is written even when there are none.
    #[must_use]
    pub fn multi(code: u16, enhanced: Option<EnhancedCode>, lines: Vec<String>) -> Self {
        let mut lines: Vec<_> = lines.into_iter().map(Cow::Owned).collect();
        if lines.is_empty() {
            lines.push(Cow::Borrowed(""));
        }
        Self {
            code,
            enhanced,
            lines,
        }
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, when there is one.
    #[must_use]
    pub const fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text of each line, without codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| &**line)
    }

    /// What the code means for the command.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Completed,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    /// True for 2xx.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.severity() == Severity::Completed
    }

    /// Appends the wire form. The text may come from another server or from a client's command, so
    /// everything but printable ASCII becomes `?`: a reply can never hold a second reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if index == last { b' ' } else { b'-' });
            if let Some(code) = self.enhanced {
                out.extend_from_slice(code.to_string().as_bytes());
                out.push(b' ');
            }
            out.extend(line.bytes().take(MAX_TEXT).map(printable));
            out.extend_from_slice(b"\r\n");
        }
    }
}

const fn printable(byte: u8) -> u8 {
    match byte {
        b' '..=b'~' => byte,
        b'\t' => b' ',
        _ => b'?',
    }
}

impl fmt::Display for Reply {
    /// One line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(code) = self.enhanced {
            write!(f, " {code}")?;
        }
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

/// Why the other side's lines are not a reply. The session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with a reply code and a space or hyphen.
    #[error("the line is not a reply")]
    Malformed,
    /// The lines of one reply have different codes.
    #[error("the reply changes its code between lines")]
    CodeChanged,
    /// Too many lines.
    #[error("the reply has too many lines")]
    TooLong,
}

/// Puts replies together from lines: the client's side.
#[derive(Debug, Default)]
pub struct ReplyReader {
    partial: Option<Reply>,
}

impl ReplyReader {
    /// A reader between two replies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a line without its CRLF; gives the reply when this was its last line.
    pub fn push_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
        let &[first @ b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] = digits else {
            return Err(ReplyError::Malformed);
        };
        let code = digits
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let (more, text) = match rest.split_first() {
            // RFC 5321 section 4.2: a code alone, without a space, is to be taken too.
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return Err(ReplyError::Malformed),
        };
        let text: String = text
            .iter()
            .take(MAX_TEXT)
            .map(|byte| char::from(printable(*byte)))
            .collect();
        let (enhanced, text) = match EnhancedCode::split(&text) {
            Some((code, rest)) if code.0 == first - b'0' => (Some(code), rest.to_owned()),
            _ => (None, text),
        };
        match &mut self.partial {
            None => {
                self.partial = Some(Reply {
                    code,
                    enhanced,
                    lines: vec![Cow::Owned(text)],
                });
            }
            Some(partial) => {
                if partial.code != code {
                    return Err(ReplyError::CodeChanged);
                }
                if partial.lines.len() >= MAX_LINES {
                    return Err(ReplyError::TooLong);
                }
                partial.lines.push(Cow::Owned(text));
            }
        }
        Ok(if more { None } else { self.partial.take() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(wire: &str) -> Result<Option<Reply>, ReplyError> {
        let mut reader = ReplyReader::new();
        let mut last = Ok(None);
        for line in wire.split_terminator("\r\n") {
            last = Ok(reader.push_line(line.as_bytes())?);
        }
        last
    }

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn reads_what_servers_send() {
        let reply = read("550-5.1.1 no such\r\n550 5.1.1 user\r\n")
            .expect("valid")
            .expect("whole");
        assert_eq!(reply.enhanced(), Some(EnhancedCode(5, 1, 1)));
        assert_eq!(reply.lines().collect::<Vec<_>>(), ["no such", "user"]);
        assert_eq!(reply.severity(), Severity::Permanent);
        let bare = read("250\r\n").expect("valid").expect("whole");
        assert_eq!(
            (bare.code(), bare.enhanced(), bare.is_completed()),
            (250, None, true)
        );
        // The class disagrees with the code: it is text.
        let odd = read("250 5.1.1 fine\r\n").expect("valid").expect("whole");
        assert_eq!((odd.enhanced(), odd.lines().next()), (None, Some("5.1.1 fine")));
        assert_eq!(read("250-more\r\n"), Ok(None));
    }

    #[test]
    fn refuses_garbage() {
        for (line, error) in [
            ("", ReplyError::Malformed),
            ("25", ReplyError::Malformed),
            ("950 x", ReplyError::Malformed),
            ("2x0 x", ReplyError::Malformed),
            ("250x", ReplyError::Malformed),
            ("\u{fc}50 x", ReplyError::Malformed),
            ("250-a\r\n550 b", ReplyError::CodeChanged),
        ] {
            assert_eq!(read(&format!("{line}\r\n")), Err(error), "{line:?}");
        }
        assert_eq!(read(&"250-x\r\n".repeat(200)), Err(ReplyError::TooLong));
    }

    #[test]
    fn a_reply_never_holds_another() {
        let reply = Reply::new(550, Some(EnhancedCode(5, 1, 1)), "no\r\n250 yes\u{fc}");
        assert_eq!(wire(&reply), "550 5.1.1 no??250 yes??\r\n");
    }

    proptest! {
        #[test]
        fn round_trip(code in 200u16..600, subject in 0u16..1000, lines in proptest::collection::vec("[a-z ]{1,20}", 1..5)) {
            let class = u8::try_from(code / 100).unwrap_or(0);
            let enhanced = (class != 3).then_some(EnhancedCode(class, subject, 1));
            let reply = Reply::multi(code, enhanced, lines);
            prop_assert_eq!(read(&wire(&reply)), Ok(Some(reply)));
        }

        #[test]
        fn never_panics(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..5)) {
            let mut reader = ReplyReader::new();
            for line in lines {
                let _ = reader.push_line(&line);
            }
        }
    }
}
