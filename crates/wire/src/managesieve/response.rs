//! What servers say: status responses with codes (RFC 5804 section 1.3), and lines of strings.

use super::scan::{Token, tokens, write_string};
use std::borrow::Cow;

/// The first word of a status response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is done.
    Ok,
    /// It is not.
    No,
    /// And the server closes.
    Bye,
}

impl Word {
    const TABLE: [(&'static str, Self); 3] = [("OK", Self::Ok), ("NO", Self::No), ("BYE", Self::Bye)];
}

/// Why, for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// `TRYLATER`: it will pass.
    TryLater,
    /// `ENCRYPT-NEEDED`: this mechanism needs TLS.
    EncryptNeeded,
    /// `AUTH-TOO-WEAK`: this mechanism is not allowed for this user.
    AuthTooWeak,
    /// `TRANSITION-NEEDED`: the user must log in by PLAIN once.
    TransitionNeeded,
    /// `SASL "data"`: the last word of an exchange (RFC 5804 section 2.1).
    Sasl(String),
    /// `TAG "text"`: what NOOP was given.
    Tag(Vec<u8>),
    /// Any other, by its name.
    Other(String),
}

impl Code {
    fn name(&self) -> &str {
        match self {
            Self::TryLater => "TRYLATER",
            Self::EncryptNeeded => "ENCRYPT-NEEDED",
            Self::AuthTooWeak => "AUTH-TOO-WEAK",
            Self::TransitionNeeded => "TRANSITION-NEEDED",
            Self::Sasl(_) => "SASL",
            Self::Tag(_) => "TAG",
            Self::Other(name) => name,
        }
    }

    fn of(name: &[u8], argument: Option<&Vec<u8>>) -> Self {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        match (name.as_str(), argument) {
            ("TRYLATER", _) => Self::TryLater,
            ("ENCRYPT-NEEDED", _) => Self::EncryptNeeded,
            ("AUTH-TOO-WEAK", _) => Self::AuthTooWeak,
            ("TRANSITION-NEEDED", _) => Self::TransitionNeeded,
            ("SASL", Some(data)) => Self::Sasl(String::from_utf8_lossy(data).into_owned()),
            ("TAG", Some(text)) => Self::Tag(text.clone()),
            _ => Self::Other(name),
        }
    }
}

/// A status response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How it went.
    pub word: Word,
    /// Why.
    pub code: Option<Code>,
    /// The same for people; may be empty.
    pub text: Cow<'static, str>,
}

impl Status {
    /// Without a code.
    #[must_use]
    pub fn new(word: Word, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            word,
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

    /// Appends the wire form, with CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let word = Word::TABLE.iter().find(|(_, word)| *word == self.word);
        out.extend_from_slice(word.map_or("NO", |(name, _)| name).as_bytes());
        if let Some(code) = &self.code {
            out.extend_from_slice(format!(" ({}", code.name()).as_bytes());
            let argument = match code {
                Code::Sasl(data) => Some(data.as_bytes()),
                Code::Tag(text) => Some(text.as_slice()),
                _ => None,
            };
            if let Some(argument) = argument {
                out.push(b' ');
                write_string(out, argument, "");
            }
            out.push(b')');
        }
        if !self.text.is_empty() {
            out.push(b' ');
            write_string(out, self.text.as_bytes(), "");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// One line of a server, with its literals spliced in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The end of a command.
    Status(Status),
    /// Strings: a capability, or the challenge of an exchange.
    Strings(Vec<Vec<u8>>),
}

/// A line that no ManageSieve server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is not a ManageSieve response")]
pub struct ResponseError;

impl Response {
    /// Reads a whole line.
    pub fn parse(line: &[u8]) -> Result<Self, ResponseError> {
        let tokens = tokens(line).map_err(|_| ResponseError)?;
        let Some((Token::Atom(first), rest)) = tokens.split_first() else {
            return strings(tokens);
        };
        let known = Word::TABLE
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(first));
        let (_, word) = known.ok_or(ResponseError)?;
        let (code, rest) = match rest {
            [Token::Open, Token::Atom(name), inside @ ..] => {
                let end = inside.iter().position(|token| *token == Token::Close);
                let (arguments, rest) = inside.split_at(end.ok_or(ResponseError)?);
                let argument = match arguments {
                    [Token::Text(text)] => Some(text),
                    _ => None,
                };
                (Some(Code::of(name, argument)), rest.get(1..).unwrap_or_default())
            }
            rest => (None, rest),
        };
        let text = match rest {
            [] => Cow::Borrowed(""),
            [Token::Text(text)] => Cow::Owned(String::from_utf8_lossy(text).into_owned()),
            _ => return Err(ResponseError),
        };
        Ok(Self::Status(Status {
            word: *word,
            code,
            text,
        }))
    }
}

/// At least one string, and nothing else.
fn strings(tokens: Vec<Token>) -> Result<Response, ResponseError> {
    let text = |token| match token {
        Token::Text(text) => Ok(text),
        _ => Err(ResponseError),
    };
    let found: Vec<Vec<u8>> = tokens.into_iter().map(text).collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(ResponseError),
        false => Ok(Response::Strings(found)),
    }
}

/// Appends a string as servers write it.
pub fn write_server_string(out: &mut Vec<u8>, text: &[u8]) {
    write_string(out, text, "");
}
