//! Line clients that see the wire: what a test sends and what it gets, byte for byte.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to a server that speaks in lines.
#[derive(Debug)]
pub struct Dialogue {
    stream: BufReader<TcpStream>,
}

impl Dialogue {
    /// Connects to a port of 127.0.0.1; every later read and write has 20 seconds.
    pub fn connect(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("{address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(bytes)
            .context("the server does not read")
    }

    /// Sends a line and its CRLF.
    pub fn send_line(&mut self, line: &str) -> Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// The next line without its CRLF; an error at the end of the stream.
    pub fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        self.stream
            .read_until(b'\n', &mut bytes)
            .context("no line within 20 seconds")?;
        ensure!(!bytes.is_empty(), "the server closed the connection");
        ensure!(
            bytes.ends_with(b"\r\n"),
            "a line without CRLF: {:?}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.truncate(bytes.len() - 2);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Exactly `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream
            .read_exact(&mut bytes)
            .context("the literal is cut off")?;
        Ok(bytes)
    }

    /// Whether the server has closed, or closes within the time limit.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }
}

/// An SMTP or LMTP reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The three digits.
    pub code: u16,
    /// The text of each line.
    pub lines: Vec<String>,
}

impl SmtpReply {
    /// The enhanced status code of the last line, if there is one.
    #[must_use]
    pub fn enhanced(&self) -> Option<&str> {
        let first = self.lines.last()?.split(' ').next()?;
        (first.split('.').count() == 3).then_some(first)
    }
}

/// An SMTP or LMTP client.
#[derive(Debug)]
pub struct SmtpClient {
    /// The wire, for what the methods do not say.
    pub dialogue: Dialogue,
    /// The greeting.
    pub greeting: SmtpReply,
}

impl SmtpClient {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> Result<Self> {
        let mut dialogue = Dialogue::connect(port)?;
        let greeting = read_reply(&mut dialogue)?;
        Ok(Self { dialogue, greeting })
    }

    /// Sends a command and reads its reply.
    pub fn command(&mut self, line: &str) -> Result<SmtpReply> {
        self.dialogue.send_line(line)?;
        self.reply()
    }

    /// Reads a reply.
    pub fn reply(&mut self) -> Result<SmtpReply> {
        read_reply(&mut self.dialogue)
    }

    /// Sends a message after `354`: dots doubled, line ends made CRLF, the final dot. The reply is not read.
    pub fn send_message(&mut self, message: &[u8]) -> Result<()> {
        let mut out = Vec::with_capacity(message.len() + 16);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        self.dialogue.send(&out)
    }

    /// One whole transaction; the replies to each RCPT, and the last one (of DATA, or of the final dot).
    pub fn deliver(
        &mut self,
        from: &str,
        to: &[&str],
        message: &[u8],
    ) -> Result<(Vec<SmtpReply>, SmtpReply)> {
        let mail = self.command(&format!("MAIL FROM:<{from}>"))?;
        if mail.code != 250 {
            return Ok((Vec::new(), mail));
        }
        let mut recipients = Vec::new();
        for address in to {
            recipients.push(self.command(&format!("RCPT TO:<{address}>"))?);
        }
        let data = self.command("DATA")?;
        if data.code != 354 {
            return Ok((recipients, data));
        }
        self.send_message(message)?;
        let last = self.reply()?;
        Ok((recipients, last))
    }
}

fn read_reply(dialogue: &mut Dialogue) -> Result<SmtpReply> {
    let mut lines = Vec::new();
    loop {
        let line = dialogue.line()?;
        let (code, rest) = line
            .split_at_checked(3)
            .with_context(|| format!("not a reply: {line:?}"))?;
        let code: u16 = code.parse().with_context(|| format!("not a reply: {line:?}"))?;
        lines.push(rest.get(1..).unwrap_or_default().to_owned());
        match rest.as_bytes().first() {
            Some(b'-') => {}
            None | Some(b' ') => return Ok(SmtpReply { code, lines }),
            Some(_) => bail!("not a reply: {line:?}"),
        }
    }
}

/// A POP3 client.
#[derive(Debug)]
pub struct Pop3Client {
    /// The wire, for what the methods do not say.
    pub dialogue: Dialogue,
    /// The greeting.
    pub greeting: String,
}

impl Pop3Client {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> Result<Self> {
        let mut dialogue = Dialogue::connect(port)?;
        let greeting = dialogue.line()?;
        Ok(Self { dialogue, greeting })
    }

    /// Sends a command and reads the status line.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.dialogue.send_line(line)?;
        self.dialogue.line()
    }

    /// Sends a command whose `+OK` is followed by lines up to the dot; the status and the lines, dots undone.
    pub fn multi_line(&mut self, line: &str) -> Result<(String, Vec<String>)> {
        let status = self.command(line)?;
        let mut lines = Vec::new();
        if status.starts_with("+OK") {
            loop {
                let line = self.dialogue.line()?;
                if line == "." {
                    break;
                }
                lines.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
            }
        }
        Ok((status, lines))
    }

    /// USER and PASS; the reply to PASS.
    pub fn login(&mut self, login: &str, password: &str) -> Result<String> {
        let user = self.command(&format!("USER {login}"))?;
        ensure!(user.starts_with("+OK"), "USER: {user}");
        self.command(&format!("PASS {password}"))
    }
}

/// An IMAP client.
#[derive(Debug)]
pub struct ImapClient {
    /// The wire, for what the methods do not say.
    pub dialogue: Dialogue,
    /// The greeting.
    pub greeting: String,
    tag: u32,
}

impl ImapClient {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> Result<Self> {
        let mut dialogue = Dialogue::connect(port)?;
        let greeting = dialogue.line()?;
        Ok(Self {
            dialogue,
            greeting,
            tag: 0,
        })
    }

    /// Sends a command and reads up to its tagged reply: the untagged responses (literals inlined), and the
    /// tagged reply without its tag.
    pub fn command(&mut self, command: &str) -> Result<(Vec<String>, String)> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.dialogue.send_line(&format!("{tag} {command}"))?;
        self.until_tagged(&tag)
    }

    /// Sends a command that must succeed; its untagged responses.
    pub fn ok(&mut self, command: &str) -> Result<Vec<String>> {
        let (untagged, tagged) = self.command(command)?;
        ensure!(tagged.starts_with("OK"), "{command}: {tagged}");
        Ok(untagged)
    }

    /// LOGIN with quoted strings; the tagged reply.
    pub fn login(&mut self, login: &str, password: &str) -> Result<String> {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        Ok(self
            .command(&format!("LOGIN {} {}", quote(login), quote(password)))?
            .1)
    }

    /// APPEND with a synchronising literal; the tagged reply.
    pub fn append(&mut self, mailbox: &str, message: &[u8]) -> Result<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.dialogue
            .send_line(&format!("{tag} APPEND {mailbox} {{{}}}", message.len()))?;
        let go_on = self.response()?;
        ensure!(go_on.starts_with('+'), "APPEND: {go_on}");
        self.dialogue.send(message)?;
        self.dialogue.send(b"\r\n")?;
        Ok(self.until_tagged(&tag)?.1)
    }

    /// Reads up to the reply with this tag: the untagged responses, and the tagged reply without its tag.
    pub fn until_tagged(&mut self, tag: &str) -> Result<(Vec<String>, String)> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            match response.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(rest) => return Ok((untagged, rest.to_owned())),
                None => untagged.push(response),
            }
        }
    }

    /// One response, with the literals it holds put in after their CRLF.
    pub fn response(&mut self) -> Result<String> {
        let mut response = self.dialogue.line()?;
        while let Some(len) = literal_length(&response) {
            let literal = self.dialogue.bytes(len)?;
            response.push_str("\r\n");
            response.push_str(&String::from_utf8_lossy(&literal));
            response.push_str(&self.dialogue.line()?);
        }
        Ok(response)
    }
}

/// The length of the literal that a line announces at its end.
fn literal_length(line: &str) -> Option<usize> {
    let line = line.rsplit("\r\n").next()?;
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
