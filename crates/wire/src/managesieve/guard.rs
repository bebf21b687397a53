//! What of a client's words its home may hear after a login that somebody else has checked.
//!
//! UNAUTHENTICATE (RFC 5804 section 2.14.1) would let the client log in again, past whoever checks logins before the
//! home; in its place stands a verb that no home knows. Where a home goes on after what it does not understand is not known:
//! Cyrus takes the next word of the same line for a command, and a literal of a command that it has given up for lines. So
//! the word arrives nowhere else either; there the session ends, because nobody may change a script.

use crate::imap::LiteralKind;
use crate::imap::guard::{Breach, Cut, Cutter, announced};

/// What may not be said. After a STARTTLS nobody between could read on.
const FORBIDDEN: [&[u8]; 3] = [b"UNAUTHENTICATE", b"STARTTLS", b"AUTHENTICATE"];
/// Of these, what may not be said in any place. A home refuses to log in twice.
const NOWHERE: [&[u8]; 2] = [b"UNAUTHENTICATE", b"STARTTLS"];
/// What stands in the place of a command that may not be said.
const INSTEAD: &[u8] = b"NOT-HERE\r\n";
/// As long as the longest of those.
const LONGEST: usize = b"UNAUTHENTICATE".len();

/// Between one client and its home.
#[derive(Debug, Default)]
pub struct Guard {
    cutter: Cutter,
    refused: bool,
    /// The command has had a literal.
    inside: bool,
    /// What the home has heard last, in capitals.
    last: [u8; LONGEST],
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
            let start = line.trim_ascii_start();
            let end = start.iter().position(|byte| !byte.is_ascii_alphabetic());
            let (verb, _) = start.split_at(end.unwrap_or(start.len()));
            self.refused = FORBIDDEN.iter().any(|known| verb.eq_ignore_ascii_case(known));
        }
        if !self.refused {
            self.look_at(line)?;
            self.look_at(b"\r\n")?;
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

    /// Whatever the home hears.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        for byte in bytes {
            self.last.rotate_left(1);
            if let Some(end) = self.last.last_mut() {
                *end = byte.to_ascii_uppercase();
            }
            if NOWHERE.iter().any(|word| self.last.ends_with(word)) {
                return Err(Breach(
                    "a script or a line with a command in it that may not be said",
                ));
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
        let script = "PUTSCRIPT \"x\" {28+}\r\n# AUTHENTICATED!\r\nkeep;\r\nx\r\n\r\nNOOP\r\n";
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
            // It goes on with the next word of the line.
            "LISTSCRIPTS UNAUTHENTICATE\r\n",
            "1UNAUTHENTICATE\r\n",
            "NOOP {3+}\r\nabc UNAUTHENTICATE\r\n",
            "FOO {27+}\r\nLISTSCRIPTS UNAUTHENTICATE\r\n\r\n",
            "NOOP \"x\" startTLS\r\n",
            "NOOP {4}\r\n",
            "NOOP {4 }\r\n",
            "NOOP {4294967300+}\r\n",
            "NOOP\rUNAUTHENTICATE\r\n",
        ] {
            assert!(pass(said).is_err(), "{said:?}");
        }
    }
}
