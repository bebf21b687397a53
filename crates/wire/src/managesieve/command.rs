//! Commands (RFC 5804 section 2), as far as they are of use before the login.

use super::scan::{Malformed, Token, tokens, write_string};
use crate::pop3::ClientClaims;
use model::Secret;
use std::fmt;

/// One command.
#[derive(Debug, Clone)]
pub enum Command {
    /// `AUTHENTICATE "mechanism" "initial-response"`
    Authenticate {
        /// The mechanism's name, as the client wrote it.
        mechanism: String,
        /// The initial response in base64; an empty one says an empty response.
        initial: Option<Secret>,
    },
    /// `STARTTLS`
    StartTls,
    /// `LOGOUT`
    Logout,
    /// `CAPABILITY`
    Capability,
    /// `NOOP`, with a string that is given back or without
    Noop(Option<Vec<u8>>),
    /// `XCLIENT attributes` (Dovecot)
    Xclient(ClientClaims),
    /// A command about scripts, which needs a login.
    Script,
}

/// Why a line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("the command is not known")]
    Unknown,
    /// An argument is missing, is too much, or is not what the command takes.
    #[error("the command has wrong arguments")]
    Arguments,
}

impl From<Malformed> for CommandError {
    fn from(_: Malformed) -> Self {
        Self::Arguments
    }
}

/// RFC 5804 sections 2.5 to 2.12 and 2.14.1.
const SCRIPT: [&str; 9] = [
    "HAVESPACE",
    "PUTSCRIPT",
    "LISTSCRIPTS",
    "SETACTIVE",
    "GETSCRIPT",
    "DELETESCRIPT",
    "RENAMESCRIPT",
    "CHECKSCRIPT",
    "UNAUTHENTICATE",
];

impl Command {
    /// Reads a whole command, with its literals spliced in and without its last CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let end = line.iter().position(|byte| !byte.is_ascii_graphic());
        let (verb, rest) = line.split_at(end.unwrap_or(line.len()));
        let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
        if SCRIPT.contains(&verb.as_str()) {
            return Ok(Self::Script);
        }
        let bare = |command| match tokens(rest)?.as_slice() {
            [] => Ok(command),
            _ => Err(CommandError::Arguments),
        };
        match verb.as_str() {
            "STARTTLS" => bare(Self::StartTls),
            "LOGOUT" => bare(Self::Logout),
            "CAPABILITY" => bare(Self::Capability),
            "AUTHENTICATE" => authenticate(&tokens(rest)?),
            "NOOP" => match tokens(rest)?.as_mut_slice() {
                [] => Ok(Self::Noop(None)),
                [Token::Text(text)] => Ok(Self::Noop(Some(std::mem::take(text)))),
                _ => Err(CommandError::Arguments),
            },
            "XCLIENT" => {
                let text = std::str::from_utf8(rest).map_err(|_| CommandError::Arguments)?;
                let words: Vec<&str> = text.split_ascii_whitespace().collect();
                let claims = ClientClaims::parse(&words);
                claims.map(Self::Xclient).map_err(|_| CommandError::Arguments)
            }
            _ => Err(CommandError::Unknown),
        }
    }

    /// Appends the wire form, with CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
        match self {
            Self::Authenticate {
                initial: Some(initial),
                ..
            } => {
                out.push(b' ');
                write_string(out, initial.expose(), "+");
            }
            Self::Noop(Some(text)) => {
                out.push(b' ');
                write_string(out, text, "+");
            }
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Display for Command {
    /// The command; proofs and strings that are given back are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticate { mechanism, .. } => write!(f, "AUTHENTICATE \"{mechanism}\""),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Logout => f.write_str("LOGOUT"),
            Self::Capability => f.write_str("CAPABILITY"),
            Self::Noop(_) => f.write_str("NOOP"),
            Self::Xclient(claims) => write!(f, "XCLIENT{claims}"),
            Self::Script => f.write_str("LISTSCRIPTS"),
        }
    }
}

fn authenticate(arguments: &[Token]) -> Result<Command, CommandError> {
    let (mechanism, initial) = match arguments {
        [Token::Text(mechanism)] => (mechanism, None),
        [Token::Text(mechanism), Token::Text(initial)] => (mechanism, Some(initial)),
        _ => return Err(CommandError::Arguments),
    };
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    if mechanism.is_empty() || !mechanism.iter().all(legal) {
        return Err(CommandError::Arguments);
    }
    Ok(Command::Authenticate {
        mechanism: String::from_utf8_lossy(mechanism).into_owned(),
        initial: initial.map(|initial| Secret::new(initial.as_slice())),
    })
}

/// A line that is one string: a response of the client in a SASL exchange (RFC 5804 section 2.1).
#[must_use]
pub fn parse_string(line: &[u8]) -> Option<Secret> {
    match tokens(line).ok()?.as_slice() {
        [Token::Text(text)] => Some(Secret::new(text.as_slice())),
        _ => None,
    }
}

/// Appends a string as clients write it.
pub fn write_client_string(out: &mut Vec<u8>, text: &[u8]) {
    write_string(out, text, "+");
}
