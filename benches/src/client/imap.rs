//! An IMAP client that counts replies instead of keeping them (RFC 3501).

use super::{Conn, Login, Target, shown};
use anyhow::{Result, bail};

/// One IMAP session.
#[derive(Debug)]
pub(crate) struct Imap {
    conn: Conn,
}

/// What a command brought.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Brought {
    /// Untagged lines.
    pub(crate) lines: usize,
    /// Bytes of literals.
    pub(crate) literals: usize,
}

impl Imap {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(target: &Target) -> Result<Self> {
        let mut conn = Conn::open(target).await?;
        let greeting = conn.line().await?;
        if !greeting.starts_with(b"* OK") {
            bail!("IMAP greeting: {}", shown(&greeting));
        }
        Ok(Self { conn })
    }

    /// LOGIN.
    pub(crate) async fn login(&mut self, login: &Login) -> Result<()> {
        let command = format!("LOGIN \"{}\" \"{}\"", login.address, login.password);
        self.command(&command).await.map(drop)
    }

    /// One command that must succeed.
    pub(crate) async fn command(&mut self, command: &str) -> Result<Brought> {
        self.conn.send(format!("a {command}\r\n").as_bytes()).await?;
        self.reply(command).await
    }

    /// APPEND to INBOX with a non-synchronising literal (RFC 7888).
    pub(crate) async fn append(&mut self, message: &[u8]) -> Result<()> {
        let mut bytes = format!("a APPEND INBOX {{{}+}}\r\n", message.len()).into_bytes();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b"\r\n");
        self.conn.send(&bytes).await?;
        self.reply("APPEND").await.map(drop)
    }

    /// IDLE (RFC 2177), without an end.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        self.conn.send(b"a IDLE\r\n").await?;
        let line = self.conn.line().await?;
        if !line.starts_with(b"+") {
            bail!("IMAP IDLE: {}", shown(&line));
        }
        Ok(())
    }

    /// LOGOUT, to the end of the connection's use.
    pub(crate) async fn logout(mut self) -> Result<()> {
        self.command("LOGOUT").await.map(drop)
    }

    async fn reply(&mut self, command: &str) -> Result<Brought> {
        let mut brought = Brought::default();
        loop {
            let line = self.conn.line().await?;
            if line.starts_with(b"a ") {
                if line.starts_with(b"a OK") {
                    return Ok(brought);
                }
                let verb = command.split(' ').next().unwrap_or_default();
                bail!("IMAP {verb}: {}", shown(&line));
            }
            brought.lines += 1;
            if let Some(size) = literal(&line) {
                self.conn.skip(size).await?;
                brought.literals += size;
            }
        }
    }
}

/// The size of the literal that a line announces at its end, RFC 3501 section 4.3.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(line.get(open + 1..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn literals_are_found_at_the_end_only() {
        assert_eq!(literal(b"* 1 FETCH (BODY[] {4096}\r\n"), Some(4096));
        assert_eq!(literal(b"* 1 FETCH (BODY[] {4096} x)\r\n"), None);
        assert_eq!(literal(b"* OK {x}\r\n"), None);
    }
}
