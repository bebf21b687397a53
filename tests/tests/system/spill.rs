//! A home is lost between RCPT and the final dot: a real Postfix takes its recipients, and nobody loses a
//! message or gets it twice.

use crate::local::{
    ALICE, BOB, CAROL, FrontParts, LocalFront, Someone, home_entry, inbox, listeners, log, start_home,
};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, Postfix, SmtpClient, SmtpReply};

/// Postfix believes XFORWARD of whom it is told to.
const BELIEVES: &str = "smtpd_authorized_xforward_hosts = 127.0.0.0/8\nsmtpd_error_sleep_time = 0\n";
const SENDER: &str = "erika@sender.example";

/// alice on the first home, bob and carol on the second, Postfix behind both.
struct Site {
    homes: Vec<Homing>,
    ports: Vec<Ports>,
    postfix: Postfix,
    front: LocalFront,
    smtp: u16,
}

impl Site {
    fn start(spill_takes: &[&str], spill_settings: &str) -> Result<Self> {
        let trusted = "trusted_networks = [\"127.0.0.0/8\"]";
        let (mut homes, mut ports) = (Vec::new(), Vec::new());
        let mut sections = String::new();
        for (name, people) in [("one", &[ALICE][..]), ("two", &[BOB, CAROL])] {
            let home = Ports::free()?;
            homes.push(start_home(&listeners("", home, trusted), people)?);
            sections.push_str(&home_entry(name, home, "", ""));
            ports.push(home);
        }
        let postfix = Postfix::start(spill_takes, &format!("{BELIEVES}{spill_settings}"))?;
        let spill = Ports {
            smtp: postfix.smtp,
            ..Ports::free()?
        };
        sections.push_str(&home_entry("spill", spill, "", ""));
        let front = Ports::free()?;
        sections.push_str(&listeners("_proxy", front, ""));
        let parts = FrontParts {
            sections: &sections,
            reading: "",
            receiving: "multi_home = \"parallel\"\nspill_home = \"spill\"\nhome_timeout = 4\nhome_data_timeout = 8",
        };
        let rules = [(ALICE, "one"), (BOB, "two"), (CAROL, "two")];
        Ok(Self {
            homes,
            ports,
            postfix,
            front: LocalFront::start(&rules, parts)?,
            smtp: front.smtp,
        })
    }

    /// Sends to everybody; `loss` happens to the second home when half of the message is on its way.
    fn send_with_loss(&mut self, subject: &str, loss: fn(&mut Homing) -> Result<()>) -> Result<SmtpReply> {
        let mut client = SmtpClient::connect(self.smtp)?;
        client.command("EHLO client.example.test")?;
        client.command(&format!("MAIL FROM:<{SENDER}>"))?;
        for someone in [ALICE, BOB, CAROL] {
            let reply = client.command(&format!("RCPT TO:<{}>", someone.mail))?;
            ensure!(reply.code == 250, "{}: {reply:?}", someone.mail);
        }
        ensure!(client.command("DATA")?.code == 354, "DATA");
        let message = message(subject);
        let (first, second) = message.split_at(message.len() / 2);
        client.dialogue.send(first.as_bytes())?;
        loss(&mut self.homes[1])?;
        client.dialogue.send(second.as_bytes())?;
        client.dialogue.send(b".\r\n")?;
        client.reply()
    }

    /// Subjects in an INBOX of a home, where `home` is 0 or 1.
    fn at_home(&self, home: usize, someone: Someone, subject: &str) -> Result<usize> {
        let wanted = format!("Subject: {subject}\n");
        let messages = inbox(self.ports[home].pop3, someone)?;
        Ok(messages
            .iter()
            .filter(|message| message.contains(&wanted))
            .count())
    }

    fn explain(&self) -> String {
        let front = log(&self.front.server).unwrap_or_default();
        format!("the front end:\n{front}\nPostfix:\n{}", self.postfix.log())
    }
}

fn message(subject: &str) -> String {
    let body = "0123456789abcde\r\n".repeat(4_000);
    format!(
        "From: {SENDER}\r\nTo: everybody\r\nSubject: {subject}\r\nMessage-ID: <{subject}@sender.example>\r\n\r\n{body}"
    )
}

fn run(takes: &[&str], settings: &str, test: fn(&mut Site) -> Result<()>) -> Result<()> {
    let mut site = Site::start(takes, settings)?;
    test(&mut site).with_context(|| site.explain())
}

fn kill(home: &mut Homing) -> Result<()> {
    home.kill()
}

fn freeze(home: &mut Homing) -> Result<()> {
    home.child().context("it runs")?.freeze();
    Ok(())
}

/// Everybody has the message once: alice at home, the others at the spill home, and nobody at both.
fn spilled(site: &Site, subject: &str) -> Result<()> {
    for someone in [BOB, CAROL] {
        eventually("the spill home delivers", || {
            Ok(site.postfix.delivered(someone.mail) > 0)
        })?;
        let messages = site.postfix.messages(someone.mail)?;
        ensure!(messages.len() == 1, "{}: {} copies", someone.mail, messages.len());
        let text = String::from_utf8_lossy(&messages[0]).into_owned();
        let sent = message(subject).replace("\r\n", "\n");
        ensure!(
            text.ends_with(&sent),
            "{}: changed on its way: {text}",
            someone.mail
        );
        ensure!(
            text.contains(&format!("Return-Path: <{SENDER}>")),
            "another sender: {text}"
        );
    }
    let found = site.postfix.delivered(ALICE.mail);
    ensure!(found == 0, "alice has {found} copies at the spill home");
    let found = site.at_home(0, ALICE, subject)?;
    ensure!(found == 1, "alice has {found} copies at home");
    for someone in [BOB, CAROL] {
        let found = site.at_home(1, someone, subject)?;
        ensure!(found == 0, "{} has {found} more at home", someone.mail);
    }
    Ok(())
}

const EVERYBODY: [&str; 3] = [ALICE.mail, BOB.mail, CAROL.mail];

#[test]
fn a_home_that_is_killed_in_the_middle_is_replaced_by_the_spill_home() -> Result<()> {
    run(&EVERYBODY, "", |site| {
        let reply = site.send_with_loss("killed", kill)?;
        ensure!(reply.code == 250, "{reply:?}");
        site.homes[1].restart()?;
        spilled(site, "killed")
    })
}

#[test]
fn a_home_that_freezes_in_the_middle_is_replaced_by_the_spill_home() -> Result<()> {
    run(&EVERYBODY, "", |site| {
        let reply = site.send_with_loss("frozen", freeze)?;
        ensure!(reply.code == 250, "{reply:?}");
        // When it wakes up it finds a transaction without an end, which is nothing.
        site.homes[1].child().context("it runs")?.thaw();
        spilled(site, "frozen")
    })
}

#[test]
fn a_spill_home_that_refuses_a_recipient_is_try_later() -> Result<()> {
    // It knows bob, and not carol: it gets neither.
    run(&[ALICE.mail, BOB.mail], "", retried)
}

#[test]
fn a_spill_home_that_refuses_the_message_is_try_later() -> Result<()> {
    run(&EVERYBODY, "smtpd_end_of_data_restrictions = defer\n", retried)
}

/// One home has taken the message, nobody takes the rest: "try later", and the retry gives each one copy.
fn retried(site: &mut Site) -> Result<()> {
    let reply = site.send_with_loss("retried", kill)?;
    ensure!((400..500).contains(&reply.code), "{reply:?}");
    let found = site.at_home(0, ALICE, "retried")?;
    ensure!(found == 1, "alice has {found} copies after the first try");
    site.homes[1].restart()?;
    // The client comes again with the whole message until all of it is taken, as every client does.
    eventually("the retry is taken", || {
        let mut client = SmtpClient::connect(site.smtp)?;
        client.command("EHLO client.example.test")?;
        let (recipients, last) = client.deliver(SENDER, &EVERYBODY, message("retried").as_bytes())?;
        Ok(recipients.len() == 3 && recipients.iter().chain([&last]).all(|reply| reply.code == 250))
    })?;
    for (home, someone) in [(0, ALICE), (1, BOB), (1, CAROL)] {
        let found = site.at_home(home, someone, "retried")?;
        ensure!(found == 1, "{} has {found} copies", someone.mail);
        let spilled = site.postfix.delivered(someone.mail);
        ensure!(spilled == 0, "{} has {spilled} at the spill home", someone.mail);
    }
    Ok(())
}
