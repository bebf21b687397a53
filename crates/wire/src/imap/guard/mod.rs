//! What of a client's words its home may hear after a login that somebody else has checked.
//!
//! A home that knows UNAUTHENTICATE (RFC 8437) lets its client log in again on the same connection, past whoever checks
//! logins before it. So this command, and those that would blind the guard (COMPRESS, STARTTLS), never arrive there: in
//! their place stands a verb that no home knows, with the client's tag, and the home refuses it in turn.
//!
//! That is only worth something if the home takes no octets for a command that were data here. So nothing is taken for
//! data before the home has said "+" to the announcement: `{n+}` reaches it as `{n}`, and the "+" that the client does not
//! wait for is kept from it. Whose "+" it is, is certain because nothing else that a "+" answers is under way meanwhile.
//! What a home might read in another way ends the session. All else is the home's to judge.

mod cut;
mod replies;
#[cfg(test)]
mod tests;
mod verbs;

pub use cut::Breach;
pub(crate) use cut::{Cut, Cutter, announced};

use super::literal::LiteralKind;
use replies::{Replies, Said};
use std::borrow::Cow;
use std::collections::VecDeque;
use verbs::{has_another_command, is_said_of_uids, may_be_said};

/// The longest tag.
const MAX_TAG: usize = 128;
/// Commands whose results may be owed at once. A client that sends more waits.
const MAX_OWED: usize = 100;
/// What stands in the place of a command that may not be said.
const INSTEAD: &[u8] = b" NOT-HERE\r\n";
/// What becomes of the command that is being read.
#[derive(Debug, Default)]
enum Mode {
    /// It goes to the home.
    #[default]
    Pass,
    /// None of it does. At its end another stands in its place, with its tag if that is one.
    Refuse(Option<Box<[u8]>>),
    /// The home has refused it at a literal, and the client sends the rest all the same.
    Drop,
}

/// What a home has to answer before the client's next octet means anything.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Idle,
    Literal { size: u64, kind: LiteralKind },
}

/// Between one client and its home.
#[derive(Debug, Default)]
pub struct Guard {
    cutter: Cutter,
    mode: Mode,
    /// The command has had a literal.
    inside: bool,
    /// The home has answered the command before its end.
    answered: bool,
    wait: Option<Wait>,
    /// What the client has said and must wait with.
    held: Vec<u8>,
    /// Tags of commands that the home has not answered; the one that is being read is the last.
    owed: VecDeque<Box<[u8]>>,
    replies: Replies,
    /// Inside a "+" that the client does not hear.
    swallowing: bool,
}

impl Guard {
    /// Whether the client may be heard now.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wait.is_some() || self.owed.len() >= MAX_OWED
    }

    /// Takes what the client says; what the home is to hear of it is appended. What comes while [`Guard::waits`] is kept
    /// until the next call after that.
    pub fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Breach> {
        let mut held = std::mem::take(&mut self.held);
        let mut input = bytes;
        if !held.is_empty() {
            held.extend_from_slice(bytes);
            input = &held;
        }
        while !self.waits() {
            match self.cutter.next(&mut input)? {
                None => return Ok(()),
                Some(Cut::Line(line)) => self.line(&line, out)?,
                Some(Cut::Data(data)) if matches!(self.mode, Mode::Pass) => out.extend_from_slice(data),
                Some(Cut::Data(_)) => {}
            }
        }
        self.held = input.to_vec();
        Ok(())
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Breach> {
        let literal = announced(line)?;
        let mut idle = false;
        if self.inside && has_another_command(line) {
            return Err(Breach("words behind a literal that may not be said"));
        }
        if !self.inside {
            idle = self.begin(line);
        } else if !matches!(line.first(), None | Some(b' ' | b')')) {
            // RFC 3501 section 9: nothing else follows a literal. A home that has given up the command could take it for one.
            return Err(Breach("words right behind a literal"));
        }
        match (std::mem::take(&mut self.mode), literal) {
            (Mode::Pass, Some(_)) if self.answered => {
                return Err(Breach("a literal of a command that is answered"));
            }
            (Mode::Pass, Some(literal)) => {
                let head = line.iter().rposition(|byte| *byte == b'{');
                out.extend_from_slice(line.get(..head.unwrap_or_default()).unwrap_or_default());
                out.extend_from_slice(format!("{{{}}}\r\n", literal.size).as_bytes());
                self.inside = true;
                self.wait = Some(Wait::Literal {
                    size: literal.size,
                    kind: literal.kind,
                });
            }
            (Mode::Pass, None) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
                self.end();
                self.wait = idle.then_some(Wait::Idle);
            }
            // RFC 7888 section 4: what is refused comes all the same.
            (mode, Some(literal)) if literal.kind == LiteralKind::NonSynchronizing => {
                self.mode = mode;
                self.inside = true;
                self.cutter.expect(literal.size);
            }
            (Mode::Refuse(tag), _) => {
                match tag {
                    Some(tag) => {
                        out.extend_from_slice(&tag);
                        out.extend_from_slice(INSTEAD);
                        self.owed.push_back(tag);
                    }
                    // Homes say that there is no tag.
                    None => out.extend_from_slice(b"\r\n"),
                }
                self.end();
            }
            (Mode::Drop, _) => self.end(),
        }
        Ok(())
    }

    /// The first line of a command. True for IDLE, to which the home says "+".
    fn begin(&mut self, line: &[u8]) -> bool {
        let mut words = line.split(|byte| *byte == b' ');
        let tag = words.next().unwrap_or_default();
        let mut words = words.flat_map(|word| word.split(|byte| *byte == b'\t'));
        let verb = words.find(|word| !word.is_empty());
        let is_done = tag.eq_ignore_ascii_case(b"DONE");
        // RFC 2177 section 3: DONE has no tag, and no result of its own.
        if line.is_empty() || (is_done && verb.is_none()) {
            return false;
        }
        // Whoever had this tag would be answered by a DONE that comes too late.
        if is_done || !is_tag(tag) || has_another_command(tag) {
            self.mode = Mode::Refuse(None);
            return false;
        }
        let verb = verb.unwrap_or_default();
        let is = |known: &[u8]| verb.eq_ignore_ascii_case(known);
        let idle = is(b"IDLE");
        let plain = verb
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        // The "+" to an IDLE with a literal could be said to either.
        let next = words.next();
        let known = may_be_said(verb) && (!is(b"UID") || next.is_some_and(is_said_of_uids));
        let odd = !known || !plain || (idle && next.is_some()) || has_another_command(line);
        if odd {
            self.mode = Mode::Refuse(Some(tag.into()));
            return false;
        }
        self.owed.push_back(tag.into());
        idle
    }

    fn end(&mut self) {
        self.mode = Mode::Pass;
        self.inside = false;
        self.answered = false;
    }

    /// Takes what the home says; what the client is to hear of it, nearly always all.
    pub fn down<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut kept: Option<Vec<u8>> = self.swallowing.then(Vec::new);
        // What is neither kept nor swallowed yet begins here.
        let mut fresh = bytes;
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let skipped = self.replies.skip(rest.len());
            if skipped > 0 {
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            if *first == b'+' && self.replies.at_start() && self.is_for_us() {
                let before = fresh.len() - rest.len();
                kept.get_or_insert_default()
                    .extend_from_slice(fresh.get(..before).unwrap_or_default());
                self.swallowing = true;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = behind;
            if self.swallowing {
                fresh = rest;
                self.swallowing = end.is_none();
            }
            match self.replies.line(piece) {
                Said::GoOn => self.go_on(),
                Said::Result(tag) => self.result(&tag),
                Said::Other => {}
            }
        }
        match kept {
            None => Cow::Borrowed(bytes),
            Some(mut kept) => {
                kept.extend_from_slice(fresh);
                Cow::Owned(kept)
            }
        }
    }

    /// Whether a "+" is the answer to what only the home takes for a question.
    fn is_for_us(&self) -> bool {
        matches!(
            self.wait,
            Some(Wait::Literal {
                kind: LiteralKind::NonSynchronizing,
                ..
            })
        )
    }

    fn go_on(&mut self) {
        if let Some(Wait::Literal { size, .. }) = self.wait.take() {
            self.cutter.expect(size);
        }
    }

    fn result(&mut self, tag: &[u8]) {
        let Some(at) = self.owed.iter().position(|owed| **owed == *tag) else {
            return;
        };
        self.owed.remove(at);
        // Only the last one may be waiting for a "+".
        if at < self.owed.len() {
            return;
        }
        match self.wait.take() {
            Some(Wait::Literal {
                size,
                kind: LiteralKind::NonSynchronizing,
            }) => {
                self.mode = Mode::Drop;
                self.cutter.expect(size);
            }
            // The client has heard it, and does not send it.
            Some(Wait::Literal { .. }) => self.end(),
            Some(Wait::Idle) | None => self.answered = self.inside,
        }
    }
}

/// RFC 3501 section 9: what a tag consists of.
fn is_tag(word: &[u8]) -> bool {
    !word.is_empty()
        && word.len() <= MAX_TAG
        && word
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte))
}
