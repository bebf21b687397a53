//! Dovecot as a foreign home behind our front end: the login is replayed, and its refusal is told as what it is.

use crate::front::{Front, Home, Options};
use crate::login::{Answer, expect};
use anyhow::{Context, Result, ensure};
use system_tests::steps::eventually;
use system_tests::{DOMAIN, Ports};
use testkit::{Dovecot, HomingBinary, ImapClient, People, Pop3Client, Slapd, SlapdOptions, SmtpClient};

const HOST: &str = "dovecot.localdomain.test";

/// A directory whose people all live on one Dovecot.
struct Site {
    slapd: Slapd,
    people: People,
    dovecot: Dovecot,
}

impl Site {
    fn start() -> Result<Self> {
        let people = People::generate(DOMAIN, 4, &[HOST]);
        let options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: 0,
        };
        let slapd = Slapd::start(&HomingBinary::find()?, &options, &people.ldif())?;
        // carol's password at home is not the one of the directory.
        let users: Vec<(&str, &str)> = people
            .persons
            .iter()
            .map(|person| match person.uid.as_str() {
                "carol" => (person.mail.as_str(), "another-secret"),
                _ => (person.mail.as_str(), person.password.as_str()),
            })
            .collect();
        let dovecot = Dovecot::start(&users, "auth_failure_delay = 0\n")?;
        Ok(Self {
            slapd,
            people,
            dovecot,
        })
    }

    fn front(&self, authenticate: &'static str) -> Result<Front> {
        let home = Home {
            name: HOST,
            ports: Ports {
                smtp: self.dovecot.lmtp,
                imap: self.dovecot.imap,
                pop3: self.dovecot.pop3,
            },
        };
        let options = Options {
            authenticate,
            home_protocol: "lmtp",
            home_timeout: 20,
        };
        Front::start(&self.slapd, &self.people, &[home], options)
    }
}

#[test]
fn mail_goes_in_by_lmtp_and_out_by_both_proxies() -> Result<()> {
    let site = Site::start()?;
    for (round, authenticate) in ["edge", "home"].into_iter().enumerate() {
        let front = site.front(authenticate)?;
        let alice = site.people.find("alice").context("alice")?;
        let bob = site.people.find("bob").context("bob")?;
        let message = format!("Subject: round {round}\r\n\r\n.dots\r\nby {authenticate}\r\n");
        let mut client = SmtpClient::connect(front.ports.smtp)?;
        client.command("EHLO client.example.test")?;
        // An LMTP home may take a message for one and refuse it for another, so they come one after the other.
        let to = [alice.mail.as_str(), bob.mail.as_str()];
        let (recipients, last) = client.deliver("erika@example.test", &to, message.as_bytes())?;
        let codes: Vec<u16> = recipients.iter().map(|reply| reply.code).collect();
        ensure!(last.code == 250 && codes == [250, 452], "{recipients:?} {last:?}");
        let (recipients, last) = client.deliver("erika@example.test", &to[1..], message.as_bytes())?;
        ensure!(last.code == 250, "{recipients:?} {last:?}");
        for person in [alice, bob] {
            expect(front.read(), &person.mail, &person.password, Answer::Accepted)?;
            read_by_imap(&front, &person.mail, &person.password, &message)?;
            read_by_pop3(&front, &person.mail, &person.password, round + 1, &message)?;
        }
    }
    Ok(())
}

#[test]
fn a_refusal_of_the_home_is_told_by_who_decides() -> Result<()> {
    let site = Site::start()?;
    let carol = site.people.find("carol").context("carol")?;
    // The edge has accepted the password, so the home's "no" is a fault of ours, not of hers.
    let front = site.front("edge")?;
    expect(front.read(), &carol.mail, &carol.password, Answer::Later)?;
    expect(front.read(), &carol.mail, "another-secret", Answer::Refused)?;
    // The home alone decides, so its "no" is a no.
    let front = site.front("home")?;
    expect(front.read(), &carol.mail, &carol.password, Answer::Refused)?;
    expect(front.read(), &carol.mail, "another-secret", Answer::Accepted)?;
    Ok(())
}

#[test]
fn after_login_the_home_speaks_for_itself() -> Result<()> {
    let site = Site::start()?;
    let alice = site.people.find("alice").context("alice")?;
    let front = site.front("edge")?;
    let mut client = ImapClient::connect(front.ports.imap)?;
    let reply = client.login(&alice.mail, &alice.password)?;
    ensure!(reply.starts_with("OK"), "{reply}");
    // What Dovecot can and our servers cannot (yet) is announced and works.
    let capabilities = client.ok("CAPABILITY")?.join(" ");
    ensure!(capabilities.contains(" SORT"), "{capabilities}");
    client.append("INBOX", b"Subject: b\r\n\r\nx\r\n")?;
    client.append("INBOX", b"Subject: a\r\n\r\nx\r\n")?;
    client.ok("SELECT INBOX")?;
    let sorted = client.ok("SORT (SUBJECT) US-ASCII ALL")?;
    ensure!(sorted.iter().any(|line| line == "* SORT 2 1"), "{sorted:?}");
    // IDLE goes through in both directions, and a large literal too.
    client.dialogue.send_line("i IDLE")?;
    ensure!(client.response()?.starts_with('+'), "IDLE");
    let mut other = ImapClient::connect(front.ports.imap)?;
    other.login(&alice.mail, &alice.password)?;
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcde\r\n".repeat(100_000));
    other.append("INBOX", large.as_bytes())?;
    while client.response()? != "* 3 EXISTS" {}
    client.dialogue.send_line("DONE")?;
    client.until_tagged("i")?;
    let fetched = client.ok("FETCH 3 BODY.PEEK[]")?;
    ensure!(
        fetched.iter().any(|line| line.contains(&large)),
        "the large message came back changed"
    );
    // The home hangs up, so the client's connection ends as well.
    client.ok("LOGOUT")?;
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    Ok(())
}

fn read_by_imap(front: &Front, login: &str, password: &str, message: &str) -> Result<()> {
    eventually("the message can be read over IMAP", || {
        let mut client = ImapClient::connect(front.ports.imap)?;
        let reply = client.login(login, password)?;
        ensure!(reply.starts_with("OK"), "{reply}");
        client.ok("SELECT INBOX")?;
        let fetched = client.ok("FETCH * (BODY.PEEK[])")?;
        Ok(fetched.iter().any(|line| line.contains(message)))
    })
}

fn read_by_pop3(front: &Front, login: &str, password: &str, number: usize, message: &str) -> Result<()> {
    let mut client = Pop3Client::connect(front.ports.pop3)?;
    let reply = client.login(login, password)?;
    ensure!(reply.starts_with("+OK"), "{reply}");
    let (status, lines) = client.multi_line(&format!("RETR {number}"))?;
    ensure!(status.starts_with("+OK"), "{status}");
    let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    ensure!(text.ends_with(message), "{text}");
    client.command("QUIT").map(drop)
}
