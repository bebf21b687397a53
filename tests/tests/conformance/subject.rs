//! The servers that the tests are held against, each with the same two accounts and empty mailboxes.

use anyhow::{Context, Result, bail, ensure};
use std::time::Duration;
use testkit::{
    Dovecot, Homing, HomingBinary, ImapClient, Pop3Client, Postfix, SmtpClient, SmtpReply, free_port,
};

/// Somebody with a mailbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// The address, which is the login too.
    pub(crate) address: &'static str,
    /// The password.
    pub(crate) password: &'static str,
}

/// The first account of every subject.
pub(crate) const ALICE: Account = Account {
    address: "alice@example.test",
    password: "alice-secret",
};
/// The second account of every subject.
pub(crate) const BOB: Account = Account {
    address: "bob@example.test",
    password: "bob-secret",
};

/// Who is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The product.
    Homing,
    /// The server that many have tested before us.
    Peer,
}

/// What is spoken, which decides the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Pop3,
    Smtp,
    Lmtp,
}

/// Two tests for each function: one against the product, one against the peer.
macro_rules! against_both {
    ($protocol:ident: $($test:ident),+ $(,)?) => { $(
        mod $test {
            use crate::subject::{Protocol, Which, run};

            #[test]
            fn homing() -> anyhow::Result<()> {
                run(Which::Homing, Protocol::$protocol, super::$test)
            }

            #[test]
            fn peer() -> anyhow::Result<()> {
                run(Which::Peer, Protocol::$protocol, super::$test)
            }
        }
    )+ };
}

/// Starts the subject and runs a test against it. On failure the subject's log is shown.
pub(crate) fn run(which: Which, protocol: Protocol, test: fn(&Server) -> Result<()>) -> Result<()> {
    let wanted = match std::env::var("CONFORMANCE_SUBJECT").as_deref() {
        Err(_) | Ok("") => which,
        Ok("homing") => Which::Homing,
        Ok("peer") => Which::Peer,
        Ok(other) => bail!("CONFORMANCE_SUBJECT={other}: it can be \"homing\" or \"peer\""),
    };
    if wanted != which {
        return Ok(());
    }
    let server = match (which, protocol) {
        (Which::Homing, _) => homing()?,
        (Which::Peer, Protocol::Smtp) => postfix()?,
        (Which::Peer, _) => dovecot()?,
    };
    test(&server).with_context(|| format!("the log of the subject:\n{}", server.log()))
}

/// A running subject.
pub(crate) struct Server {
    kept: Kept,
    imap: u16,
    pop3: u16,
    smtp: u16,
    lmtp: u16,
}

/// Ends when it is dropped.
enum Kept {
    Homing(Homing),
    Dovecot(Dovecot),
    Postfix(Postfix),
}

fn homing() -> Result<Server> {
    let (imap, pop3, smtp, lmtp) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let mut config = "server_name = \"mail.example.test\"\n".to_owned();
    for (service, port) in [("imap", imap), ("pop3", pop3), ("smtp", smtp), ("lmtp", lmtp)] {
        config.push_str(&format!(
            "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n"
        ));
    }
    let homing = Homing::start(&HomingBinary::find()?, &config)?;
    homing.command(&["domain", "create", "example.test"])?;
    for account in [ALICE, BOB] {
        let args = ["account", "create", account.address, "--password-stdin"];
        homing.command_with_input(&args, account.password.as_bytes())?;
    }
    Ok(Server {
        kept: Kept::Homing(homing),
        imap,
        pop3,
        smtp,
        lmtp,
    })
}

fn dovecot() -> Result<Server> {
    let users = [ALICE, BOB].map(|account| (account.address, account.password));
    // Wrong passwords are a part of some tests, and Dovecot's penalty for them only costs time.
    let settings = "auth_failure_delay = 0\nnamespace inbox {\n  mailbox Sent {\n    auto = create\n    special_use = \\Sent\n  }\n}\n";
    let dovecot = Dovecot::start(&users, settings)?;
    Ok(Server {
        imap: dovecot.imap,
        pop3: dovecot.pop3,
        lmtp: dovecot.lmtp,
        smtp: 0,
        kept: Kept::Dovecot(dovecot),
    })
}

fn postfix() -> Result<Server> {
    let addresses = [ALICE, BOB].map(|account| account.address);
    let settings = "smtpd_forbid_bare_newline = normalize\nmessage_size_limit = 10240000\n\
                    smtpd_error_sleep_time = 0\nlocal_header_rewrite_clients =\n";
    let postfix = Postfix::start(&addresses, settings)?;
    Ok(Server {
        smtp: postfix.smtp,
        imap: 0,
        pop3: 0,
        lmtp: 0,
        kept: Kept::Postfix(postfix),
    })
}

impl Server {
    /// A new IMAP connection, greeting read.
    pub(crate) fn imap(&self) -> Result<ImapClient> {
        ImapClient::connect(self.imap)
    }

    /// A new POP3 connection, greeting read.
    pub(crate) fn pop3(&self) -> Result<Pop3Client> {
        Pop3Client::connect(self.pop3)
    }

    /// A new SMTP connection, greeting read.
    pub(crate) fn smtp(&self) -> Result<SmtpClient> {
        SmtpClient::connect(self.smtp)
    }

    /// A new LMTP connection, greeting read.
    pub(crate) fn lmtp(&self) -> Result<SmtpClient> {
        SmtpClient::connect(self.lmtp)
    }

    /// Puts a message into an INBOX, over LMTP.
    pub(crate) fn deliver(&self, to: Account, message: &str) -> Result<()> {
        let mut client = self.lmtp()?;
        let hello: SmtpReply = client.command("LHLO client.example.test")?;
        ensure!(hello.code == 250, "LHLO: {hello:?}");
        let (recipients, last) = client.deliver("erika@example.test", &[to.address], message.as_bytes())?;
        ensure!(last.code == 250, "LMTP: {recipients:?} {last:?}");
        Ok(())
    }

    /// The messages of an account, oldest first, with CRLF line ends, once there are at least `least`.
    pub(crate) fn messages(&self, of: Account, least: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        // The peer answers before it puts a message into the mailbox; 20 seconds are more than enough.
        for _ in 0..400 {
            found = self.messages_now(of)?;
            if found.len() >= least {
                return Ok(found);
            }
            pause();
        }
        bail!("{} has {} messages, not {least}", of.address, found.len())
    }

    fn messages_now(&self, of: Account) -> Result<Vec<String>> {
        if let Kept::Postfix(postfix) = &self.kept {
            let texts = postfix.messages(of.address)?;
            return Ok(texts
                .iter()
                .map(|text| String::from_utf8_lossy(text).replace('\n', "\r\n"))
                .collect());
        }
        let mut client = self.pop3()?;
        let reply = client.login(of.address, of.password)?;
        ensure!(reply.starts_with("+OK"), "PASS: {reply}");
        let (_, listed) = client.multi_line("LIST")?;
        let mut texts = Vec::new();
        for line in listed {
            let number = line.split(' ').next().context("LIST")?;
            let (_, lines) = client.multi_line(&format!("RETR {number}"))?;
            texts.push(lines.iter().map(|line| format!("{line}\r\n")).collect());
        }
        client.command("QUIT")?;
        Ok(texts)
    }

    fn log(&self) -> String {
        match &self.kept {
            Kept::Homing(homing) => std::fs::read_to_string(homing.log()).unwrap_or_default(),
            Kept::Dovecot(dovecot) => dovecot.log(),
            Kept::Postfix(postfix) => postfix.log(),
        }
    }
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
