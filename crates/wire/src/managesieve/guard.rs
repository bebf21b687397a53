//! What of a client's words its home may hear after a login that somebody else has checked.
//!
//! UNAUTHENTICATE (RFC 5804 section 2.14.1) would let the client log in again, past whoever checks logins before the
//! home; in its place stands a verb that no home knows. Here the home says nothing before it takes a literal, so whether it
//! takes it for one is not known: a home that has given up the command (Cyrus does) takes its lines for commands. So a line
//! of a literal that is such a command to the letter does not arrive either; there the session ends, because nobody may
//! change a script.

use crate::imap::LiteralKind;
use crate::imap::guard::{Breach, Cut, Cutter, announced};

/// What may not be said. After a STARTTLS nobody between could read on.
const FORBIDDEN: [&[u8]; 3] = [b"UNAUTHENTICATE", b"STARTTLS", b"AUTHENTICATE"];
/// Of these, what is a whole command by itself.
const BARE: [&[u8]; 2] = [b"UNAUTHENTICATE", b"STARTTLS"];
/// What stands in the place of a command that may not be said.
const INSTEAD: &[u8] = b"NOT-HERE\r\n";
/// What is kept of a line of a literal: more than any of those.
const KEPT: usize = 32;

/// Between one client and its home.
#[derive(Debug, Default)]
pub struct Guard {
    cutter: Cutter,
    refused: bool,
    /// The command has had a literal.
    inside: bool,
    /// The line that a home would see if it took the literal for commands; what is blank at its beginning is left out.
    line: Vec<u8>,
}

impl Guard {
    /// Takes what the client says; what the home is to hear of it is appended.
    pub fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Breach> {
        let mut input = bytes;
        while let Some(cut) = self.cutter.next(&mut input)? {
            match cut {
                Cut::Line(line) => self.line(&line, out)?,
                Cut::Data(_) if self.refused => {}
                Cut::Data(data) => {
                    self.look_at(data)?;
                    out.extend_from_slice(data);
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Breach> {
        let literal = announced(line)?;
        if !self.inside {
            self.line.clear();
            let start = line.trim_ascii_start();
            let end = start.iter().position(|byte| !byte.is_ascii_alphabetic());
            let (verb, _) = start.split_at(end.unwrap_or(start.len()));
            self.refused = FORBIDDEN.iter().any(|known| verb.eq_ignore_ascii_case(known));
        }
        if !self.refused {
            if self.inside {
                self.look_at(line)?;
                self.look_at(b"\r\n")?;
            }
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        match literal {
            // RFC 5804 section 4: a client's literals do not wait.
            Some(literal) if literal.kind != LiteralKind::NonSynchronizing => {
                Err(Breach("a literal of another form"))
            }
            Some(literal) => {
                self.inside = true;
                self.cutter.expect(literal.size);
                Ok(())
            }
            None => {
                if self.refused {
                    out.extend_from_slice(INSTEAD);
                }
                self.inside = false;
                self.refused = false;
                Ok(())
            }
        }
    }

    /// Octets of a literal or behind it, as one who takes them for commands.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        for byte in bytes {
            if matches!(byte, b'\r' | b'\n') {
                let line = std::mem::take(&mut self.line);
                let said = line.trim_ascii_end();
                if BARE.iter().any(|known| said.eq_ignore_ascii_case(known)) {
                    return Err(Breach("a script with a command in it that may not be said"));
                }
            } else if self.line.len() < KEPT && !(self.line.is_empty() && byte.is_ascii_whitespace()) {
                self.line.push(*byte);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(said: &str) -> Result<String, Breach> {
        let mut out = Vec::new();
        Guard::default().up(said.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_client_cannot_log_in_again() {
        let script = "PUTSCRIPT \"x\" {28+}\r\n# UNAUTHENTICATE\r\nkeep;\r\nx\r\n\r\nNOOP\r\n";
        for (said, heard) in [
            ("LISTSCRIPTS\nNOOP\r\n", "LISTSCRIPTS\r\nNOOP\r\n"),
            (script, script),
            ("UNAUTHENTICATE\r\n", "NOT-HERE\r\n"),
            (" unauthenticate \"x\"\r\n", "NOT-HERE\r\n"),
            ("STARTTLS\r\n", "NOT-HERE\r\n"),
            (
                "AUTHENTICATE \"PLAIN\" {4+}\r\nAAAA\r\nNOOP\r\n",
                "NOT-HERE\r\nNOOP\r\n",
            ),
        ] {
            assert_eq!(pass(said).as_deref(), Ok(heard), "{said:?}");
        }
        for said in [
            // Cyrus gives up at the verb, and takes the next line for a command.
            "FOO {18+}\r\nUNAUTHENTICATE\r\n\r\n",
            "FOO {18+}\r\n UnAuthenticate \n \r\n",
            "FOO {4+}\r\n\r\nUNAUTHENTICATE\r\n",
            "FOO {18+}\r\nx\rUNAUTHENTICATE\r\r\n",
            "NOOP {4}\r\n",
            "NOOP {4 }\r\n",
            "NOOP {4294967300+}\r\n",
            "NOOP\rUNAUTHENTICATE\r\n",
        ] {
            assert!(pass(said).is_err(), "{said:?}");
        }
    }
}
