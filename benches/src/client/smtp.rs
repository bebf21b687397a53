//! An SMTP and LMTP client (RFC 5321, RFC 2033).

use super::{Conn, Target, shown};
use anyhow::{Result, bail};

/// Which of the two is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Smtp,
    Lmtp,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Smtp {
    conn: Conn,
}

impl Smtp {
    /// Connects, reads the greeting and says who it is.
    pub(crate) async fn connect(target: &Target, dialect: Dialect) -> Result<Self> {
        let mut smtp = Self {
            conn: Conn::open(target).await?,
        };
        smtp.expect("greeting", b'2').await?;
        let hello: &[u8] = match dialect {
            Dialect::Smtp => b"EHLO load.bench.test\r\n",
            Dialect::Lmtp => b"LHLO load.bench.test\r\n",
        };
        smtp.conn.send(hello).await?;
        smtp.expect("EHLO", b'2').await?;
        Ok(smtp)
    }

    /// One transaction with one recipient; the envelope is pipelined (RFC 2920). `message` holds no line that
    /// begins with a dot and ends with CRLF.
    pub(crate) async fn deliver(&mut self, recipient: &str, message: &[u8]) -> Result<()> {
        let envelope = format!("MAIL FROM:<load@bench.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n");
        self.conn.send(envelope.as_bytes()).await?;
        self.expect("MAIL", b'2').await?;
        self.expect("RCPT", b'2').await?;
        self.expect("DATA", b'3').await?;
        let mut bytes = Vec::with_capacity(message.len() + 3);
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b".\r\n");
        self.conn.send(&bytes).await?;
        self.expect("the message", b'2').await
    }

    /// QUIT.
    pub(crate) async fn quit(mut self) -> Result<()> {
        self.conn.send(b"QUIT\r\n").await?;
        self.expect("QUIT", b'2').await
    }

    /// Reads one reply of any number of lines, RFC 5321 section 4.2.1.
    async fn expect(&mut self, command: &str, class: u8) -> Result<()> {
        loop {
            let line = self.conn.line().await?;
            if line.first() != Some(&class) {
                bail!("SMTP, {command}: {}", shown(&line));
            }
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
