//! From the front end to a home: both kinds of TLS, and nothing but the right certificate.

use super::TlsHome;
use crate::front::read;
use crate::local::{ALICE, home_entry, inbox, listeners, log};
use crate::local::{FrontParts, LocalFront};
use crate::login::{Answer, expect};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use system_tests::Ports;
use testkit::{SmtpClient, SmtpReply, self_signed};

/// A front end without a certificate of its own, so that a test speaks to it in the clear.
struct Plain {
    front: LocalFront,
    ports: Ports,
}

impl Plain {
    fn start(home: Ports, tls: &str, ca_file: &Path) -> Result<Self> {
        let ports = Ports::free()?;
        let trust = format!("ca_file = \"{}\"", ca_file.display());
        let each = format!("tls = \"{tls}\"");
        let sections = listeners("_proxy", ports, "") + &home_entry("home", home, &trust, &each);
        let parts = FrontParts {
            sections: &sections,
            ..FrontParts::default()
        };
        let front = LocalFront::start(&[(ALICE, "home")], parts)?;
        Ok(Self { front, ports })
    }

    fn send(&self, subject: &str) -> Result<SmtpReply> {
        let mut client = SmtpClient::connect(self.ports.smtp)?;
        client.command("EHLO client.example.test")?;
        let message = format!("Subject: {subject}\r\n\r\nx\r\n");
        let (recipients, last) = client.deliver("erika@sender.example", &[ALICE.mail], message.as_bytes())?;
        Ok(recipients
            .into_iter()
            .find(|reply| reply.code != 250)
            .unwrap_or(last))
    }

    /// Every way is "try later", and the log names the home and the reason.
    fn refuses_the_home(&self, reason: &str) -> Result<()> {
        for password in [ALICE.password, "wrong"] {
            expect(read(self.ports), ALICE.mail, password, Answer::Later)?;
        }
        let reply = self.send("never")?;
        ensure!(
            reply.code == 451 && reply.enhanced() == Some("4.4.1"),
            "{reply:?}"
        );
        let text = log(&self.front.server)?;
        let told = text.lines().any(|line| {
            !line.contains("DEBUG") && line.contains("TLS with home 127.0.0.1:") && line.contains(reason)
        });
        ensure!(told, "no line tells why ({reason}):\n{text}");
        Ok(())
    }
}

#[test]
fn a_home_with_the_right_certificate_is_used_both_ways() -> Result<()> {
    let home = TlsHome::start()?;
    for (tls, ports) in [
        ("starttls", home.doors.starttls),
        ("implicit", home.doors.implicit),
    ] {
        let front = Plain::start(ports, tls, &home.certificate.certificate)?;
        // The home takes no password in the clear, so an accepted login has gone over TLS.
        (|| {
            expect(read(front.ports), ALICE.mail, ALICE.password, Answer::Accepted)?;
            expect(read(front.ports), ALICE.mail, "wrong", Answer::Refused)?;
            let reply = front.send(tls)?;
            ensure!(reply.code == 250, "{reply:?}");
            let found = newest(&front)?;
            ensure!(found.contains(&format!("Subject: {tls}\n")), "{found}");
            // The client came in the clear, and the front end over TLS (RFC 3848).
            ensure!(found.matches("with ESMTPS").count() == 1, "{found}");
            Ok(())
        })()
        .with_context(|| format!("{tls}: {}", front.front.server.log_tail()))?;
    }
    Ok(())
}

fn newest(front: &Plain) -> Result<String> {
    inbox(front.ports.pop3, ALICE)?.pop().context("no message")
}

#[test]
fn a_home_with_another_certificate_gets_no_password_and_no_mail() -> Result<()> {
    let home = TlsHome::start()?;
    let other = self_signed(&home.folder("other")?)?;
    for (tls, ports) in [
        ("starttls", home.doors.starttls),
        ("implicit", home.doors.implicit),
    ] {
        let front = Plain::start(ports, tls, &other.certificate)?;
        front.refuses_the_home("authority").context(tls)?;
    }
    // What the front end would not send, the home did not get.
    let good = Plain::start(home.doors.implicit, "implicit", &home.certificate.certificate)?;
    let found = inbox(good.ports.pop3, ALICE)?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

#[test]
fn a_certificate_for_another_name_is_another_certificate() -> Result<()> {
    let home = TlsHome::start_as(&["other.example.test"])?;
    for (tls, ports) in [
        ("starttls", home.doors.starttls),
        ("implicit", home.doors.implicit),
    ] {
        let front = Plain::start(ports, tls, &home.certificate.certificate)?;
        front.refuses_the_home("name").context(tls)?;
    }
    Ok(())
}

#[test]
fn a_home_that_wants_tls_gets_no_password_without_it() -> Result<()> {
    let home = TlsHome::start()?;
    let front = Plain::start(home.doors.starttls, "none", &home.certificate.certificate)?;
    for password in [ALICE.password, "wrong"] {
        expect(read(front.ports), ALICE.mail, password, Answer::Later)
            .with_context(|| front.front.server.log_tail())?;
    }
    Ok(())
}
