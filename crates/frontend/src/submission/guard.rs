//! What of a client's words its home may hear after the login.
//!
//! The home takes the front end's word for who the client is, and Postfix takes it at any time. A client that could
//! say XCLIENT itself would be whoever it likes, so only the commands of mail go through. The guard follows the
//! dialogue closely enough to know what is a command and what is a message; all else is the home's to judge.

use std::collections::VecDeque;
use wire::smtp::{BareLineEnds, DotDecoder, DotEncoder, Progress, Reply, ReplyReader};

/// Commands whose replies may be owed at once. A client that sends more waits.
const MAX_OWED: usize = 100;
/// The longest command. RFC 5321 section 4.5.3.1.4 has 512 octets; extensions lengthen MAIL and RCPT.
pub(super) const MAX_COMMAND: usize = 4096;

/// The largest chunk. A home that counts in 32 bits would take the rest of a larger one for commands.
const MAX_CHUNK: u32 = i32::MAX.cast_unsigned();

/// What may be said, besides BDAT.
const COMMANDS: [&str; 11] = [
    "MAIL", "RCPT", "DATA", "EHLO", "HELO", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
];
/// What stands in the place of everything else. The home does not know it, and answers in turn.
const INSTEAD: &[u8] = b"NOT-HERE\r\n";
/// Lines of the home's EHLO reply that are not for the client: it is logged in, and TLS ends at the front end.
const NOT_FOR_CLIENTS: [&str; 6] = ["AUTH", "STARTTLS", "XCLIENT", "XFORWARD", "BURL", "ETRN"];

/// What the client says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A command.
    Command,
    /// Nothing, until the home has answered.
    Wait,
    /// A piece of a message after DATA.
    Data,
    /// So many octets of a chunk.
    Chunk(u32),
}

/// Whose reply the home owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Hello,
    Data,
    Other,
}

/// The home said what is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the home does not speak SMTP")]
pub(super) struct NoReply;

/// Between one client and its home.
#[derive(Debug)]
pub(super) struct Guard {
    turn: Turn,
    owed: VecDeque<Owed>,
    reply: ReplyReader,
    /// The message that is being passed on; what the client means by a dot is said again in our words, so that
    /// both ends see the same end.
    message: Option<(DotDecoder, DotEncoder)>,
    /// The home has offered BDAT in its last answer to EHLO; to one that has not, the octets would be commands.
    chunking: bool,
}

impl Guard {
    /// For a home that has said this in its EHLO reply.
    pub(super) fn new(said: &[String]) -> Self {
        Self {
            turn: Turn::Command,
            owed: VecDeque::new(),
            reply: ReplyReader::new(),
            message: None,
            chunking: offers_chunks(said.iter().map(String::as_str)),
        }
    }

    /// What the client may say now.
    pub(super) fn turn(&self) -> Turn {
        match self.turn {
            Turn::Command if self.owed.len() >= MAX_OWED => Turn::Wait,
            turn => turn,
        }
    }

    /// Whether the home owes a reply.
    pub(super) fn is_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Takes a command of the client, without its line end; `None` is one that is too long.
    pub(super) fn command(&mut self, line: Option<&[u8]>, out: &mut Vec<u8>) {
        let line = line.filter(|line| line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
        let line = line.map(<[u8]>::trim_ascii).unwrap_or_default();
        let (verb, arguments) = line.split_at(
            line.iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(line.len()),
        );
        let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
        let owed = match verb.as_str() {
            // RFC 2920 section 3.1: the last of a group. What the home knows is only known again when it has answered.
            "EHLO" => {
                self.turn = Turn::Wait;
                Owed::Hello
            }
            // RFC 5321 section 4.1.1.1: no extension is in force then.
            "HELO" => {
                self.chunking = false;
                Owed::Other
            }
            "DATA" => {
                self.turn = Turn::Wait;
                Owed::Data
            }
            "BDAT" => match chunk(arguments).filter(|_| self.chunking) {
                Some((octets, last)) => {
                    if octets > 0 {
                        self.turn = Turn::Chunk(octets);
                    }
                    self.owed.push_back(Owed::Other);
                    // In our words: a home that could not read the client's would take the octets for commands.
                    let last = if last { " LAST" } else { "" };
                    out.extend_from_slice(format!("BDAT {octets}{last}\r\n").as_bytes());
                    return;
                }
                None => return self.refuse(out),
            },
            known if COMMANDS.contains(&known) => Owed::Other,
            _ => return self.refuse(out),
        };
        self.owed.push_back(owed);
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }

    fn refuse(&mut self, out: &mut Vec<u8>) {
        self.owed.push_back(Owed::Other);
        out.extend_from_slice(INSTEAD);
    }

    /// Takes octets of a message or a chunk; gives how many of them belonged to it.
    pub(super) fn octets(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match (self.turn, &mut self.message) {
            (Turn::Chunk(left), _) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (chunk, _) = input.split_at(taken);
                out.extend_from_slice(chunk);
                let left = left.saturating_sub(u32::try_from(taken).unwrap_or(left));
                self.turn = if left == 0 {
                    Turn::Command
                } else {
                    Turn::Chunk(left)
                };
                taken
            }
            (Turn::Data, Some((decoder, encoder))) => {
                let mut message = Vec::with_capacity(input.len());
                let progress = decoder.decode(input, &mut message);
                encoder.encode(&message, out);
                let Progress::Done { consumed } = progress else {
                    return input.len();
                };
                if let Some((_, encoder)) = self.message.take() {
                    encoder.finish(out);
                }
                self.turn = Turn::Command;
                self.owed.push_back(Owed::Other);
                consumed
            }
            _ => 0,
        }
    }

    /// Takes a line of the home, without its line end; what the client hears of it.
    pub(super) fn home_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), NoReply> {
        let reply = self.reply.push_line(line).map_err(|_| NoReply)?;
        let is_hello = self.owed.front() == Some(&Owed::Hello);
        if !is_hello {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        let Some(reply) = reply else { return Ok(()) };
        match self.owed.pop_front() {
            Some(Owed::Hello) => {
                self.turn = Turn::Command;
                self.chunking = reply.is_completed() && offers_chunks(reply.lines());
                for_clients(&reply).encode(out);
            }
            Some(Owed::Data) if reply.code() == 354 => {
                self.turn = Turn::Data;
                self.message = Some((DotDecoder::new(BareLineEnds::Normalise), DotEncoder::new()));
            }
            Some(Owed::Data) => self.turn = Turn::Command,
            // RFC 5321 section 3.8: 421 may come unasked for.
            Some(Owed::Other) | None => {}
        }
        Ok(())
    }
}

/// RFC 3030 section 2: how many octets follow, and whether they are the last.
fn chunk(arguments: &[u8]) -> Option<(u32, bool)> {
    let text = std::str::from_utf8(arguments).ok()?;
    let mut words = text.split_ascii_whitespace();
    let size = words.next()?;
    let is_last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    let plain = size.bytes().all(|byte| byte.is_ascii_digit()) && words.next().is_none();
    let size: u32 = size.parse().ok().filter(|size| *size <= MAX_CHUNK)?;
    plain.then_some((size, is_last))
}

/// Whether the lines of an EHLO reply name CHUNKING.
fn offers_chunks<'a>(mut lines: impl Iterator<Item = &'a str>) -> bool {
    lines.any(|line| keyword(line).eq_ignore_ascii_case("CHUNKING"))
}

fn keyword(line: &str) -> &str {
    line.split(|c: char| c.is_ascii_whitespace() || c == '=')
        .next()
        .unwrap_or_default()
}

/// An EHLO reply without what only front ends may use.
fn for_clients(reply: &Reply) -> Reply {
    let hidden = |line: &&str| {
        NOT_FOR_CLIENTS
            .iter()
            .any(|name| name.eq_ignore_ascii_case(keyword(line)))
    };
    let lines = reply.lines().enumerate();
    let kept = lines.filter(|(index, line)| *index == 0 || !hidden(line));
    Reply::multi(
        reply.code(),
        reply.enhanced(),
        kept.map(|(_, line)| line.to_owned()).collect(),
    )
}

#[cfg(test)]
mod tests;
