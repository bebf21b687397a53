//! What a server says (RFC 3501 section 7): status responses in both directions, and the parts of the rest
//! that a proxy and our tests need to understand.

use super::code::{Code, words};
use super::command::Tag;
use super::scan::{Malformed, Scanner};
use crate::sasl;
use std::borrow::Cow;

/// How a status response judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Done, or information.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// A greeting that skips the login.
    PreAuth,
    /// The connection closes.
    Bye,
}

impl Condition {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ok, "OK"),
        (Self::No, "NO"),
        (Self::Bad, "BAD"),
        (Self::PreAuth, "PREAUTH"),
        (Self::Bye, "BYE"),
    ];
}

/// A status response without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLine {
    /// The judgement.
    pub condition: Condition,
    /// For programs.
    pub code: Option<Code>,
    /// For people.
    pub text: Cow<'static, str>,
}

impl StatusLine {
    /// A status response without a code.
    pub fn new(condition: Condition, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            condition,
            code: None,
            text: text.into(),
        }
    }

    /// The same with a code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// Writes the whole line: tagged, or untagged for none.
    pub fn write(&self, out: &mut Vec<u8>, tag: Option<&Tag>) {
        out.extend_from_slice(tag.map_or("*", Tag::as_str).as_bytes());
        let name = Condition::ALL
            .iter()
            .find(|(condition, _)| *condition == self.condition);
        out.push(b' ');
        out.extend_from_slice(name.map_or("BAD", |(_, name)| name).as_bytes());
        out.push(b' ');
        if let Some(code) = &self.code {
            out.push(b'[');
            code.write(out);
            out.extend_from_slice(b"] ");
        }
        // A line break inside would forge another response.
        out.extend(
            self.text
                .bytes()
                .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)),
        );
        out.extend_from_slice(b"\r\n");
    }

    fn scan(condition: Condition, scanner: &mut Scanner<'_>) -> Self {
        scanner.eat(b' ');
        let mut code = None;
        let rest = scanner.rest();
        let mut text = rest;
        if let Some(inner) = rest.strip_prefix(b"[")
            && let Some(end) = code_end(inner)
        {
            let (inside, after) = inner.split_at(end);
            code = Some(Code::parse(inside));
            let after = after.get(1..).unwrap_or_default();
            text = after.strip_prefix(b" ").unwrap_or(after);
        }
        Self {
            condition,
            code,
            text: String::from_utf8_lossy(text).into_owned().into(),
        }
    }
}

/// The closing bracket of a response code; a quoted string inside may hold another.
fn code_end(inner: &[u8]) -> Option<usize> {
    let mut in_quotes = false;
    let mut escaped = false;
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b']' if !in_quotes => return Some(at),
            _ => {}
        }
    }
    None
}

/// One response of a server, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `+`: the server waits for the rest of the command. The text is what follows it.
    Continuation(Vec<u8>),
    /// The result of a command.
    Tagged(Tag, StatusLine),
    /// Anything else.
    Untagged(Untagged),
}

/// An untagged response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// Greeting, information, warning, or farewell.
    Status(StatusLine),
    /// CAPABILITY.
    Capability(Vec<String>),
    /// `n EXISTS`
    Exists(u32),
    /// `n EXPUNGE`
    Expunge(u32),
    /// Any other: what follows `* `, literals spliced in.
    Other(Vec<u8>),
}

impl Response {
    /// Parses one assembled response (see [`super::Assembler::response_line`]). Never panics.
    pub fn parse(input: &[u8]) -> Result<Self, Malformed> {
        if let Some(rest) = input.strip_prefix(b"+") {
            return Ok(Self::Continuation(
                rest.strip_prefix(b" ").unwrap_or(rest).to_vec(),
            ));
        }
        let mut scanner = Scanner::new(input);
        let tag = scanner.take_while(|byte| byte != b' ');
        scanner.space()?;
        if tag == b"*" {
            return untagged(&mut scanner).map(Self::Untagged);
        }
        let Some(tag) = Tag::parse(tag) else {
            return Scanner::new(input).fail("a tag");
        };
        match condition(&mut scanner) {
            Some(condition @ (Condition::Ok | Condition::No | Condition::Bad)) => {
                Ok(Self::Tagged(tag, StatusLine::scan(condition, &mut scanner)))
            }
            _ => scanner.fail("OK, NO or BAD"),
        }
    }
}

fn condition(scanner: &mut Scanner<'_>) -> Option<Condition> {
    let before = scanner.clone();
    let word = scanner.take_while(|byte| byte.is_ascii_alphabetic());
    let found = Condition::ALL
        .iter()
        .find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes()));
    match found {
        Some((condition, _)) if scanner.is_end() || scanner.peek() == Some(b' ') => Some(*condition),
        _ => {
            *scanner = before;
            None
        }
    }
}

fn untagged(scanner: &mut Scanner<'_>) -> Result<Untagged, Malformed> {
    if let Some(condition) = condition(scanner) {
        return Ok(Untagged::Status(StatusLine::scan(condition, scanner)));
    }
    let rest = scanner.rest();
    if scanner.eat_text("CAPABILITY ") {
        return words(scanner).map(Untagged::Capability);
    }
    if scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        let number = scanner.number()?;
        let name = scanner.rest();
        if name.eq_ignore_ascii_case(b" EXISTS") {
            return Ok(Untagged::Exists(number));
        }
        if name.eq_ignore_ascii_case(b" EXPUNGE") {
            return Ok(Untagged::Expunge(number));
        }
    }
    Ok(Untagged::Other(rest.to_vec()))
}

/// The continuation of AUTHENTICATE: `+`, and the challenge in base64.
#[must_use]
pub fn challenge(bytes: &[u8]) -> Vec<u8> {
    format!("+ {}\r\n", sasl::encode_base64(bytes)).into_bytes()
}
