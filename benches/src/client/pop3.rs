//! A POP3 client (RFC 1939).

use super::{Conn, Login, Target, shown};
use anyhow::{Result, bail};

/// One POP3 session.
#[derive(Debug)]
pub(crate) struct Pop3 {
    conn: Conn,
}

impl Pop3 {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(target: &Target) -> Result<Self> {
        let mut pop3 = Self {
            conn: Conn::open(target).await?,
        };
        pop3.reply("greeting").await?;
        Ok(pop3)
    }

    /// USER and PASS.
    pub(crate) async fn login(&mut self, login: &Login) -> Result<()> {
        self.conn
            .send(format!("USER {}\r\n", login.address).as_bytes())
            .await?;
        self.reply("USER").await?;
        self.conn
            .send(format!("PASS {}\r\n", login.password).as_bytes())
            .await?;
        self.reply("PASS").await
    }

    /// RETR, to the end of the message.
    pub(crate) async fn retrieve(&mut self, number: u64) -> Result<()> {
        self.conn.send(format!("RETR {number}\r\n").as_bytes()).await?;
        self.reply("RETR").await?;
        while self.conn.line().await?.as_ref() != b".\r\n" {}
        Ok(())
    }

    /// QUIT.
    pub(crate) async fn quit(mut self) -> Result<()> {
        self.conn.send(b"QUIT\r\n").await?;
        self.reply("QUIT").await
    }

    async fn reply(&mut self, command: &str) -> Result<()> {
        let line = self.conn.line().await?;
        if !line.starts_with(b"+OK") {
            bail!("POP3 {command}: {}", shown(&line));
        }
        Ok(())
    }
}
