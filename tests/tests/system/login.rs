//! Logging in by every way there is.

use anyhow::Result;
use base64::Engine;
use testkit::{ImapClient, Pop3Client};

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ImapLogin,
    ImapPlain,
    Pop3Pass,
    Pop3Plain,
}

/// All of them.
pub(crate) const WAYS: [Way; 4] = [Way::ImapLogin, Way::ImapPlain, Way::Pop3Pass, Way::Pop3Plain];

/// What the server said to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// In.
    Accepted,
    /// `NO [AUTHENTICATIONFAILED]` or `-ERR [AUTH]`: wrong, once and for all.
    Refused,
    /// `NO [UNAVAILABLE]`, `NO [LIMIT]` or `-ERR [SYS/TEMP]`: try later.
    Later,
}

/// The ports of a server for reading mail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadPorts {
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
}

fn plain(login: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"))
}

impl Way {
    /// The reply as it came, without its tag.
    pub(crate) fn reply(self, ports: ReadPorts, login: &str, password: &str) -> Result<String> {
        match self {
            Self::ImapLogin => ImapClient::connect(ports.imap)?.login(login, password),
            Self::ImapPlain => {
                let command = format!("AUTHENTICATE PLAIN {}", plain(login, password));
                Ok(ImapClient::connect(ports.imap)?.command(&command)?.1)
            }
            Self::Pop3Pass => {
                let mut client = Pop3Client::connect(ports.pop3)?;
                let user = client.command(&format!("USER {login}"))?;
                // A server may refuse a name that can be none.
                if user.starts_with("-ERR") {
                    return Ok(user);
                }
                client.command(&format!("PASS {password}"))
            }
            Self::Pop3Plain => {
                let command = format!("AUTH PLAIN {}", plain(login, password));
                Pop3Client::connect(ports.pop3)?.command(&command)
            }
        }
    }

    /// The reply sorted; an error for any other one.
    pub(crate) fn try_login(self, ports: ReadPorts, login: &str, password: &str) -> Result<Answer> {
        let reply = self.reply(ports, login, password)?;
        for (start, answer) in [
            ("OK", Answer::Accepted),
            ("+OK", Answer::Accepted),
            ("NO [AUTHENTICATIONFAILED]", Answer::Refused),
            ("-ERR [AUTH]", Answer::Refused),
            ("NO [UNAVAILABLE]", Answer::Later),
            ("NO [LIMIT]", Answer::Later),
            ("-ERR [SYS/TEMP]", Answer::Later),
        ] {
            if reply.starts_with(start) {
                return Ok(answer);
            }
        }
        anyhow::bail!("{self:?} of {login} with {password:?}: {reply}")
    }
}

/// Every way must lead to the same answer.
pub(crate) fn expect(ports: ReadPorts, login: &str, password: &str, expected: Answer) -> Result<()> {
    for way in WAYS {
        let answer = way.try_login(ports, login, password)?;
        anyhow::ensure!(
            answer == expected,
            "{way:?} of {login} with {password:?}: {answer:?}, not {expected:?}"
        );
    }
    Ok(())
}
