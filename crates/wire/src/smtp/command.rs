//! Commands (RFC 5321 section 4.1.1), read by servers and written by clients.

use super::claims::{ClaimVerb, ClientClaims};
use super::extensions::Extensions;
use super::parameters::{MailParameters, RcptParameters};
use super::path::{ForwardPath, PathError, forward_path, reverse_path};
use model::{ReversePath, Secret, TraceId};
use std::fmt;

/// The longest name in EHLO, HELO and LHLO that is taken.
const MAX_NAME: usize = 255;

/// One command.
#[derive(Debug, Clone)]
pub enum Command {
    /// `EHLO name`
    Ehlo(String),
    /// `HELO name`
    Helo(String),
    /// `LHLO name` (RFC 2033 section 4.1)
    Lhlo(String),
    /// `MAIL FROM:<path> parameters`
    Mail {
        /// Who gets the DSN.
        from: ReversePath,
        /// What the client declares about the message.
        parameters: MailParameters,
    },
    /// `RCPT TO:<path> parameters`
    Rcpt {
        /// Who gets the message.
        to: ForwardPath,
        /// What the sender wants to hear about this recipient.
        parameters: RcptParameters,
    },
    /// `DATA`
    Data,
    /// `BDAT size LAST` (RFC 3030 section 2); so many octets of the message follow the line.
    Bdat {
        /// Octets of this chunk.
        size: u64,
        /// Whether the message ends with it.
        last: bool,
    },
    /// `RSET`
    Rset,
    /// `NOOP`, with or without a text
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY text`
    Vrfy,
    /// `EXPN text`
    Expn,
    /// `HELP`, with or without a text
    Help,
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `AUTH mechanism initial-response` (RFC 4954)
    Auth {
        /// The mechanism's name, as the client wrote it.
        mechanism: String,
        /// The initial response in base64, or `=`.
        initial: Option<Secret>,
    },
    /// `XCLIENT attributes`
    Xclient(ClientClaims),
    /// `XFORWARD attributes`
    Xforward(ClientClaims),
    /// `XTRACE session`, 16 hexadecimal digits: the first session of those that wait for one another.
    Xtrace(TraceId),
}

/// Why a line is not a command that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such verb.
    #[error("the command is not recognised")]
    UnknownVerb,
    /// The verb exists, and is not announced here.
    #[error("the command is not implemented here")]
    NotImplemented,
    /// A bare CR, LF, NUL or other control character in the line.
    #[error("the line has a control character")]
    ControlCharacter,
    /// The arguments do not follow the grammar.
    #[error("the arguments do not follow the grammar")]
    Syntax,
    /// The reverse-path of MAIL.
    #[error("reverse-path: {0}")]
    ReversePath(PathError),
    /// The forward-path of RCPT.
    #[error("forward-path: {0}")]
    ForwardPath(PathError),
    /// A parameter of MAIL or RCPT that is not announced.
    #[error("the parameter is not known")]
    UnknownParameter,
    /// A known parameter with a wrong value, or given twice.
    #[error("the parameter has a wrong value")]
    BadParameter,
    /// A BDAT whose size cannot be read: where its data ends and commands go on is not known, so the session
    /// must end.
    #[error("the size of the chunk cannot be read")]
    ChunkSize,
}

impl Command {
    /// Reads a line, without its CRLF. `extensions` are those that this session has announced.
    pub fn parse(line: &[u8], extensions: Extensions) -> Result<Self, CommandError> {
        let chunk = extensions.has(Extensions::CHUNKING)
            && line
                .get(..4)
                .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
        Self::read(line, extensions).map_err(|error| match chunk {
            true => CommandError::ChunkSize,
            false => error,
        })
    }

    fn read(line: &[u8], extensions: Extensions) -> Result<Self, CommandError> {
        // RFC 5321 section 2.3.8: a bare CR or LF is never part of a command.
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(CommandError::ControlCharacter);
        }
        let line = line.trim_ascii_end();
        let end = line
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t'))
            .unwrap_or(line.len());
        let (verb, arguments) = line.split_at_checked(end).unwrap_or((line, &[]));
        let arguments = arguments.trim_ascii_start();
        let bare = |command| {
            if arguments.is_empty() {
                Ok(command)
            } else {
                Err(CommandError::Syntax)
            }
        };
        let when = |bit| {
            if extensions.has(bit) {
                Ok(())
            } else {
                Err(CommandError::NotImplemented)
            }
        };
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => name(arguments).map(Self::Ehlo),
            b"HELO" => name(arguments).map(Self::Helo),
            b"LHLO" => name(arguments).map(Self::Lhlo),
            b"MAIL" => mail(arguments, extensions),
            b"RCPT" => rcpt(arguments, extensions),
            b"DATA" => bare(Self::Data),
            b"RSET" => bare(Self::Rset),
            b"NOOP" => Ok(Self::Noop),
            b"QUIT" => bare(Self::Quit),
            b"VRFY" if !arguments.is_empty() => Ok(Self::Vrfy),
            b"EXPN" if !arguments.is_empty() => Ok(Self::Expn),
            b"VRFY" | b"EXPN" => Err(CommandError::Syntax),
            b"HELP" => Ok(Self::Help),
            b"STARTTLS" => when(Extensions::STARTTLS).and_then(|()| bare(Self::StartTls)),
            b"AUTH" => when(Extensions::AUTH).and_then(|()| auth(arguments)),
            b"XCLIENT" => when(Extensions::XCLIENT)
                .and_then(|()| ClientClaims::parse(ClaimVerb::Xclient, arguments).map(Self::Xclient)),
            b"XFORWARD" => when(Extensions::XFORWARD)
                .and_then(|()| ClientClaims::parse(ClaimVerb::Xforward, arguments).map(Self::Xforward)),
            b"XTRACE" => when(Extensions::XTRACE).and_then(|()| trace(arguments).map(Self::Xtrace)),
            b"BDAT" => when(Extensions::CHUNKING).and_then(|()| bdat(arguments)),
            b"ETRN" | b"TURN" | b"SEND" | b"SOML" | b"SAML" => Err(CommandError::NotImplemented),
            _ => Err(CommandError::UnknownVerb),
        }
    }

    /// Appends the wire form, with CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Auth {
                mechanism,
                initial: Some(initial),
            } => {
                out.extend_from_slice(format!("AUTH {mechanism} ").as_bytes());
                out.extend_from_slice(initial.expose());
            }
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Display for Command {
    /// The line without CRLF; the proof of AUTH is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ehlo(name) => write!(f, "EHLO {name}"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Lhlo(name) => write!(f, "LHLO {name}"),
            Self::Mail { from, parameters } => write!(f, "MAIL FROM:<{from}>{parameters}"),
            Self::Rcpt { to, parameters } => write!(f, "RCPT TO:<{to}>{parameters}"),
            Self::Data => f.write_str("DATA"),
            Self::Bdat { size, last: false } => write!(f, "BDAT {size}"),
            Self::Bdat { size, last: true } => write!(f, "BDAT {size} LAST"),
            Self::Rset => f.write_str("RSET"),
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
            Self::Vrfy => f.write_str("VRFY"),
            Self::Expn => f.write_str("EXPN"),
            Self::Help => f.write_str("HELP"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Auth { mechanism, .. } => write!(f, "AUTH {mechanism}"),
            Self::Xclient(claims) => write!(f, "XCLIENT{claims}"),
            Self::Xforward(claims) => write!(f, "XFORWARD{claims}"),
            Self::Xtrace(trace) => write!(f, "XTRACE {trace}"),
        }
    }
}

/// The client's name: a domain or an address literal. RFC 5321 section 4.1.4 forbids refusing a name for what
/// it says, so only what could break a log line or a Received field is refused.
fn name(arguments: &[u8]) -> Result<String, CommandError> {
    let word = arguments
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    if word.is_empty() || word.len() > MAX_NAME || !word.iter().all(u8::is_ascii_graphic) {
        return Err(CommandError::Syntax);
    }
    Ok(String::from_utf8_lossy(word).into_owned())
}

/// What follows a keyword such as `FROM:`. RFC 5321 has no space there; too many clients write one.
fn after<'a>(keyword: &[u8], arguments: &'a [u8]) -> Result<&'a [u8], CommandError> {
    match arguments.split_at_checked(keyword.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(keyword) => Ok(rest.trim_ascii_start()),
        _ => Err(CommandError::Syntax),
    }
}

fn mail(arguments: &[u8], extensions: Extensions) -> Result<Command, CommandError> {
    let (from, rest) =
        reverse_path(after(b"FROM:", arguments)?, extensions).map_err(CommandError::ReversePath)?;
    let parameters = MailParameters::parse(rest, extensions)?;
    Ok(Command::Mail { from, parameters })
}

fn rcpt(arguments: &[u8], extensions: Extensions) -> Result<Command, CommandError> {
    let (to, rest) =
        forward_path(after(b"TO:", arguments)?, extensions).map_err(CommandError::ForwardPath)?;
    let parameters = RcptParameters::parse(rest, extensions)?;
    Ok(Command::Rcpt { to, parameters })
}

// RFC 3030 section 2.
fn trace(arguments: &[u8]) -> Result<TraceId, CommandError> {
    let text = std::str::from_utf8(arguments).map_err(|_| CommandError::Syntax)?;
    TraceId::parse(text).ok_or(CommandError::Syntax)
}

fn bdat(arguments: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(arguments).map_err(|_| CommandError::ChunkSize)?;
    let mut words = text.split_ascii_whitespace();
    let size = words
        .next()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let size = size.and_then(|digits| digits.parse().ok());
    let last = words.next().map(|word| word.eq_ignore_ascii_case("LAST"));
    match (size, last, words.next()) {
        (Some(size), None | Some(true), None) => Ok(Command::Bdat {
            size,
            last: last.is_some(),
        }),
        _ => Err(CommandError::ChunkSize),
    }
}

fn auth(arguments: &[u8]) -> Result<Command, CommandError> {
    let mut words = arguments
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(CommandError::Syntax)?;
    let initial = words.next().map(Secret::new);
    if words.next().is_some()
        || !mechanism
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
    {
        return Err(CommandError::Syntax);
    }
    let mechanism = String::from_utf8_lossy(mechanism).into_owned();
    Ok(Command::Auth { mechanism, initial })
}
