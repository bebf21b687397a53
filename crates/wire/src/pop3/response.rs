//! Status lines (RFC 1939 section 3) with response codes (RFC 2449 section 8, RFC 3206), and continuations
//! (RFC 5034 section 4).

use std::borrow::Cow;

/// RFC 2449 section 4: a status line has 512 octets at most, its line end included.
const MAX_TEXT: usize = 480;

/// Why a command was refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseCode {
    /// `[AUTH]`: the credentials are wrong (RFC 3206 section 5).
    Auth,
    /// `[SYS/TEMP]`: not the user's fault, and it will pass (RFC 3206 section 4).
    SysTemp,
    /// `[SYS/PERM]`: not the user's fault, and somebody must act (RFC 3206 section 4).
    SysPerm,
    /// `[IN-USE]`: another session holds the maildrop (RFC 2449 section 8.1.2).
    InUse,
    /// `[LOGIN-DELAY]`: too soon after the last login (RFC 2449 section 8.1.1).
    LoginDelay,
}

impl ResponseCode {
    const TABLE: [(&'static str, Self); 5] = [
        ("AUTH", Self::Auth),
        ("SYS/TEMP", Self::SysTemp),
        ("SYS/PERM", Self::SysPerm),
        ("IN-USE", Self::InUse),
        ("LOGIN-DELAY", Self::LoginDelay),
    ];

    fn name(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(_, code)| *code == self)
            .map_or("", |(name, _)| name)
    }

    /// Splits a leading `[CODE]` from the text. A code that is not known stays part of the text.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (name, rest) = text.strip_prefix('[')?.split_once(']')?;
        let (_, code) = Self::TABLE
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some((*code, rest.strip_prefix(' ').unwrap_or(rest)))
    }
}

/// One line of a server, other than the lines of a multi-line response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `+OK text`
    Ok(Cow<'static, str>),
    /// `-ERR [CODE] text`
    Err(Option<ResponseCode>, Cow<'static, str>),
    /// `+ challenge` of an AUTH exchange, in base64
    Continue(String),
}

/// A line that no POP3 server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is not a POP3 response")]
pub struct ResponseError;

impl Response {
    /// Reads a line, without its line end.
    pub fn parse(line: &[u8]) -> Result<Self, ResponseError> {
        let line: String = line
            .iter()
            .take(4096)
            .map(|byte| char::from(printable(*byte)))
            .collect();
        let (status, text) = line.split_once(' ').unwrap_or((&line, ""));
        match status {
            "+" => Ok(Self::Continue(text.trim_end().to_owned())),
            _ if status.eq_ignore_ascii_case("+OK") => Ok(Self::Ok(Cow::Owned(text.to_owned()))),
            _ if status.eq_ignore_ascii_case("-ERR") => Ok(match ResponseCode::split(text) {
                Some((code, rest)) => Self::Err(Some(code), Cow::Owned(rest.to_owned())),
                None => Self::Err(None, Cow::Owned(text.to_owned())),
            }),
            _ => Err(ResponseError),
        }
    }

    /// Appends the wire form, with CRLF. Everything but printable ASCII becomes `?`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Ok(text) => {
                out.extend_from_slice(b"+OK");
                text
            }
            Self::Err(code, text) => {
                out.extend_from_slice(b"-ERR");
                if let Some(code) = code {
                    out.extend_from_slice(format!(" [{}]", code.name()).as_bytes());
                }
                text
            }
            Self::Continue(challenge) => {
                // RFC 5034 section 4: an empty challenge is a plus sign and a space.
                out.extend_from_slice(b"+ ");
                out.extend(challenge.bytes().map(printable));
                out.extend_from_slice(b"\r\n");
                return;
            }
        };
        if !text.is_empty() {
            out.push(b' ');
            out.extend(text.bytes().take(MAX_TEXT).map(printable));
        }
        out.extend_from_slice(b"\r\n");
    }
}

const fn printable(byte: u8) -> u8 {
    match byte {
        b' '..=b'~' => byte,
        _ => b'?',
    }
}
