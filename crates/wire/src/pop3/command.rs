//! Commands (RFC 1939 sections 5 to 7, RFC 2449, RFC 2595, RFC 5034).

use super::claims::ClientClaims;
use model::Secret;
use std::fmt;

/// One command. Message numbers are never zero.
#[derive(Debug, Clone)]
pub enum Command {
    /// `USER name`
    User(String),
    /// `PASS string`
    Pass(Secret),
    /// `AUTH mechanism initial-response`; without a mechanism, the list of them (as before RFC 5034)
    Auth {
        /// The mechanism's name, as the client wrote it.
        mechanism: Option<String>,
        /// The initial response in base64, or `=`.
        initial: Option<Secret>,
    },
    /// `STAT`
    Stat,
    /// `LIST`, or `LIST msg`
    List(Option<u32>),
    /// `RETR msg`
    Retr(u32),
    /// `DELE msg`
    Dele(u32),
    /// `TOP msg n`
    Top {
        /// Which message.
        message: u32,
        /// How many lines of its body.
        lines: u32,
    },
    /// `UIDL`, or `UIDL msg`
    Uidl(Option<u32>),
    /// `NOOP`
    Noop,
    /// `RSET`
    Rset,
    /// `QUIT`
    Quit,
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `XCLIENT attributes` (Dovecot)
    Xclient(ClientClaims),
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

impl Command {
    /// Reads a line, without its line end.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (keyword, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
        // Exactly one space: what follows it may be a password that begins with a space.
        let rest = rest.strip_prefix(b" ").unwrap_or_default();
        let keyword = keyword.trim_ascii_end().to_ascii_uppercase();
        let number = || match words(rest)?.as_slice() {
            [one] => message(one),
            _ => Err(CommandError::Arguments),
        };
        let optional = || match words(rest)?.as_slice() {
            [] => Ok(None),
            [one] => message(one).map(Some),
            _ => Err(CommandError::Arguments),
        };
        let bare = |command| {
            if rest.trim_ascii().is_empty() {
                Ok(command)
            } else {
                Err(CommandError::Arguments)
            }
        };
        match keyword.as_slice() {
            b"USER" => user(rest),
            // RFC 1939 section 7: the rest of the line, spaces and all, is the password.
            b"PASS" if !rest.contains(&0) => Ok(Self::Pass(Secret::new(rest))),
            b"PASS" => Err(CommandError::Arguments),
            b"AUTH" => auth(rest),
            b"STAT" => bare(Self::Stat),
            b"LIST" => optional().map(Self::List),
            b"RETR" => number().map(Self::Retr),
            b"DELE" => number().map(Self::Dele),
            b"UIDL" => optional().map(Self::Uidl),
            b"TOP" => match words(rest)?.as_slice() {
                [one, count] => Ok(Self::Top {
                    message: message(one)?,
                    lines: digits(count).ok_or(CommandError::Arguments)?,
                }),
                _ => Err(CommandError::Arguments),
            },
            b"NOOP" => bare(Self::Noop),
            b"RSET" => bare(Self::Rset),
            b"QUIT" => bare(Self::Quit),
            b"CAPA" => bare(Self::Capa),
            b"STLS" => bare(Self::Stls),
            b"XCLIENT" => ClientClaims::parse(&words(rest)?).map(Self::Xclient),
            _ => Err(CommandError::Unknown),
        }
    }

    /// Appends the wire form, with CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
        match self {
            Self::Pass(secret)
            | Self::Auth {
                initial: Some(secret),
                ..
            } => {
                out.push(b' ');
                out.extend_from_slice(secret.expose());
            }
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Display for Command {
    /// The line without CRLF; passwords and proofs are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "USER {name}"),
            Self::Pass(_) => f.write_str("PASS"),
            Self::Auth { mechanism: None, .. } => f.write_str("AUTH"),
            Self::Auth {
                mechanism: Some(name),
                ..
            } => write!(f, "AUTH {name}"),
            Self::Stat => f.write_str("STAT"),
            Self::List(None) => f.write_str("LIST"),
            Self::List(Some(number)) => write!(f, "LIST {number}"),
            Self::Retr(number) => write!(f, "RETR {number}"),
            Self::Dele(number) => write!(f, "DELE {number}"),
            Self::Top { message, lines } => write!(f, "TOP {message} {lines}"),
            Self::Uidl(None) => f.write_str("UIDL"),
            Self::Uidl(Some(number)) => write!(f, "UIDL {number}"),
            Self::Noop => f.write_str("NOOP"),
            Self::Rset => f.write_str("RSET"),
            Self::Quit => f.write_str("QUIT"),
            Self::Capa => f.write_str("CAPA"),
            Self::Stls => f.write_str("STLS"),
            Self::Xclient(claims) => write!(f, "XCLIENT{claims}"),
        }
    }
}

fn words(rest: &[u8]) -> Result<Vec<&str>, CommandError> {
    let text = std::str::from_utf8(rest).map_err(|_| CommandError::Arguments)?;
    Ok(text.split(' ').filter(|word| !word.is_empty()).collect())
}

fn digits(word: &str) -> Option<u32> {
    let decimal = word.bytes().all(|byte| byte.is_ascii_digit());
    if decimal { word.parse().ok() } else { None }
}

fn message(word: &str) -> Result<u32, CommandError> {
    digits(word)
        .filter(|number| *number > 0)
        .ok_or(CommandError::Arguments)
}

/// A name is the rest of the line: logins with a space in them exist.
fn user(rest: &[u8]) -> Result<Command, CommandError> {
    let name = std::str::from_utf8(rest)
        .map_err(|_| CommandError::Arguments)?
        .trim();
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(CommandError::Arguments);
    }
    Ok(Command::User(name.to_owned()))
}

fn auth(rest: &[u8]) -> Result<Command, CommandError> {
    let words = words(rest)?;
    let name = |word: &&str| {
        word.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !words.iter().take(1).all(name) {
        return Err(CommandError::Arguments);
    }
    match words.as_slice() {
        [] => Ok(Command::Auth {
            mechanism: None,
            initial: None,
        }),
        [mechanism] => Ok(Command::Auth {
            mechanism: Some((*mechanism).to_owned()),
            initial: None,
        }),
        [mechanism, initial] => Ok(Command::Auth {
            mechanism: Some((*mechanism).to_owned()),
            initial: Some(Secret::from(*initial)),
        }),
        _ => Err(CommandError::Arguments),
    }
}
