//! Clients: curl and Python through every door, no password in the clear, nothing injected before the handshake.

use super::{Doors, TlsFront, TlsHome, ToHome, python};
use crate::local::{ALICE, BOB};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use system_tests::Ports;
use testkit::{ImapClient, Pop3Client, SmtpClient, curl, run_with_input, self_signed};

/// A home with its certificate, and a front end with the same one before it.
struct Site {
    home: TlsHome,
    front: TlsFront,
}

impl Site {
    fn start() -> Result<Self> {
        let home = TlsHome::start()?;
        let to_home = ToHome {
            ports: home.doors.starttls,
            tls: "starttls",
            ca_file: &home.certificate.certificate,
        };
        let front = TlsFront::start(&home.certificate, to_home)?;
        Ok(Self { home, front })
    }

    fn servers(&self) -> [(&'static str, Doors); 2] {
        [("home", self.home.doors), ("front", self.front.doors)]
    }

    fn ca(&self) -> String {
        self.home.certificate.certificate.display().to_string()
    }

    fn logs(&self) -> String {
        format!(
            "{}\n{}",
            self.home.server.log_tail(),
            self.front.front.server.log_tail()
        )
    }
}

fn run(test: fn(&Site) -> Result<()>) -> Result<()> {
    let site = Site::start()?;
    test(&site).with_context(|| site.logs())
}

/// The ways in: scheme, port, and the option that insists on TLS.
fn ways(scheme: &'static str, starttls: u16, implicit: u16) -> [(String, Option<&'static str>); 2] {
    [
        (format!("{scheme}://127.0.0.1:{starttls}"), Some("--ssl-reqd")),
        (format!("{scheme}s://127.0.0.1:{implicit}"), None),
    ]
}

#[test]
fn curl_sends_and_reads_through_every_door() -> Result<()> {
    run(|site| {
        let ca = site.ca();
        let mut sent = Vec::new();
        for (name, doors) in site.servers() {
            let (starttls, implicit) = (doors.starttls, doors.implicit);
            for (url, option) in ways("smtp", starttls.smtp, implicit.smtp) {
                let subject = format!("{name} {}", sent.len());
                send(&url, option, &ca, &subject).with_context(|| format!("{name} {url}"))?;
                sent.push(subject);
            }
            for (url, option) in ways("imap", starttls.imap, implicit.imap) {
                let mut args = vec!["--cacert", &ca];
                args.extend(option);
                let found = curl(
                    &format!("{url}/INBOX;MAILINDEX=1"),
                    ALICE.mail,
                    ALICE.password,
                    &args,
                )
                .with_context(|| format!("{name} {url}"))?;
                ensure!(found.contains("Subject: home 0"), "{name} {url}: {found}");
            }
            for (url, option) in ways("pop3", starttls.pop3, implicit.pop3) {
                let mut args = vec!["--cacert", &ca];
                args.extend(option);
                let found = curl(&format!("{url}/1"), ALICE.mail, ALICE.password, &args)
                    .with_context(|| format!("{name} {url}"))?;
                ensure!(found.contains("Subject: home 0"), "{name} {url}: {found}");
            }
        }
        // Another authority: the client sees that it is not the one, so the checks above have meant something.
        let other = self_signed(&site.home.folder("other")?)?;
        let args = ["--cacert", &other.certificate.display().to_string()].map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let url = format!("imaps://127.0.0.1:{}", site.front.doors.implicit.imap);
        let refused = curl(&url, ALICE.mail, ALICE.password, &args);
        ensure!(refused.is_err(), "curl accepts any certificate");
        encrypted_all_the_way(site, &sent)
    })
}

/// The trace fields tell TLS on every leg: "with ESMTPS" (RFC 3848).
fn encrypted_all_the_way(site: &Site, sent: &[String]) -> Result<()> {
    let mut client = ImapClient::connect(site.home.doors.starttls.imap)?;
    ensure!(
        client.login(ALICE.mail, ALICE.password)?.starts_with("NO"),
        "in the clear"
    );
    let messages: Vec<String> = (1..=sent.len())
        .map(|number| {
            let url = format!("pop3s://127.0.0.1:{}/{number}", site.home.doors.implicit.pop3);
            curl(&url, ALICE.mail, ALICE.password, &["--cacert", &site.ca()])
        })
        .collect::<Result<_>>()?;
    for (subject, message) in sent.iter().zip(&messages) {
        ensure!(message.contains(&format!("Subject: {subject}\r\n")), "{message}");
        let hops = message.matches("Received: from").count();
        ensure!(
            hops == if subject.starts_with("front") { 2 } else { 1 },
            "{hops} hops: {message}"
        );
        ensure!(
            message.matches("with ESMTPS").count() == hops,
            "a hop in the clear: {message}"
        );
    }
    Ok(())
}

fn send(url: &str, option: Option<&str>, ca: &str, subject: &str) -> Result<()> {
    let url = format!("{url}/client.example.test");
    let mut args = vec![
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        ca,
        &url,
        "--mail-from",
        "erika@sender.example",
        "--mail-rcpt",
        ALICE.mail,
        "--upload-file",
        "-",
    ];
    args.extend(option);
    let message = format!("From: erika@sender.example\r\nSubject: {subject}\r\n\r\nx\r\n");
    run_with_input("curl", &args, message.as_bytes()).map(drop)
}

#[test]
fn python_sees_what_may_be_done_before_and_after_the_handshake() -> Result<()> {
    run(|site| {
        let ca = site.ca();
        for (name, doors) in site.servers() {
            for protocol in ["imap", "pop3", "smtp"] {
                for (mode, ports) in [("starttls", doors.starttls), ("implicit", doors.implicit)] {
                    let port = port(protocol, ports).to_string();
                    let args = ["session", protocol, mode, &port, &ca, BOB.mail];
                    let printed = python(&args, BOB.password).with_context(|| format!("{name} {args:?}"))?;
                    check_capabilities(protocol, mode, &printed)
                        .with_context(|| format!("{name} {args:?}"))?;
                }
            }
        }
        Ok(())
    })
}

fn check_capabilities(protocol: &str, mode: &str, printed: &str) -> Result<()> {
    let told: serde_json::Value = serde_json::from_str(printed)?;
    let words = |key: &str| -> Vec<String> {
        let list = told[key].as_array().cloned().unwrap_or_default();
        list.iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let (before, after) = (words("before"), words("after"));
    ensure!(told["version"] == "TLSv1.3", "{printed}");
    let has = |list: &[String], word: &str| list.iter().any(|found| found == word);
    let (start, only_before, only_after) = match protocol {
        "imap" => ("STARTTLS", Some("LOGINDISABLED"), Some("AUTH=PLAIN")),
        "pop3" => ("STLS", None, Some("USER")),
        _ => ("STARTTLS", None, None),
    };
    ensure!(!has(&after, start), "TLS is offered twice: {printed}");
    ensure!(only_before.is_none_or(|word| !has(&after, word)), "{printed}");
    ensure!(only_after.is_none_or(|word| has(&after, word)), "{printed}");
    if mode == "starttls" {
        ensure!(has(&before, start), "TLS is not offered: {printed}");
        ensure!(only_before.is_none_or(|word| has(&before, word)), "{printed}");
        ensure!(only_after.is_none_or(|word| !has(&before, word)), "{printed}");
    }
    Ok(())
}

fn port(protocol: &str, ports: Ports) -> u16 {
    match protocol {
        "imap" => ports.imap,
        "pop3" => ports.pop3,
        _ => ports.smtp,
    }
}

#[test]
fn no_password_is_taken_in_the_clear() -> Result<()> {
    run(|site| {
        for (name, doors) in site.servers() {
            refused_in_the_clear(doors.starttls).context(name)?;
        }
        Ok(())
    })
}

fn refused_in_the_clear(ports: Ports) -> Result<()> {
    // The right password and a wrong one are told apart by nothing.
    for password in [ALICE.password, "wrong"] {
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{}\0{password}", ALICE.mail));
        let mut client = ImapClient::connect(ports.imap)?;
        ensure!(client.greeting.contains(" LOGINDISABLED"), "{}", client.greeting);
        ensure!(!client.greeting.contains("AUTH="), "{}", client.greeting);
        let reply = client.login(ALICE.mail, password)?;
        ensure!(reply.starts_with("NO [PRIVACYREQUIRED]"), "{reply}");
        let (_, reply) = client.command(&format!("AUTHENTICATE PLAIN {plain}"))?;
        ensure!(reply.starts_with("NO [PRIVACYREQUIRED]"), "{reply}");
        // The server does not even ask for the credentials.
        let (untagged, reply) = client.command("AUTHENTICATE LOGIN")?;
        ensure!(
            reply.starts_with("NO") && untagged.is_empty(),
            "{untagged:?} {reply}"
        );
        let (_, reply) = client.command("SELECT INBOX")?;
        ensure!(!reply.starts_with("OK"), "{reply}");

        let mut client = Pop3Client::connect(ports.pop3)?;
        let (_, capabilities) = client.multi_line("CAPA")?;
        let tells = |word: &str| {
            capabilities
                .iter()
                .any(|line| line.split(' ').next() == Some(word))
        };
        ensure!(
            tells("STLS") && !tells("USER") && !tells("SASL"),
            "{capabilities:?}"
        );
        let plain = format!("AUTH PLAIN {plain}");
        let (user, pass) = (format!("USER {}", ALICE.mail), format!("PASS {password}"));
        for command in [&user, &pass, &plain, "AUTH LOGIN", "STAT"] {
            let reply = client.command(command)?;
            // [AUTH] would say that the password is wrong.
            ensure!(
                reply.starts_with("-ERR") && !reply.contains("[AUTH]"),
                "{command}: {reply}"
            );
        }
    }
    // SMTP takes no passwords at all here, and says so.
    let mut client = SmtpClient::connect(ports.smtp)?;
    let hello = client.command("EHLO client.example.test")?;
    ensure!(hello.lines.iter().any(|line| line == "STARTTLS"), "{hello:?}");
    ensure!(
        !hello.lines.iter().any(|line| line.starts_with("AUTH")),
        "{hello:?}"
    );
    let reply = client.command("AUTH PLAIN AGEAYg==")?;
    ensure!((500..=538).contains(&reply.code), "{reply:?}");
    Ok(())
}

#[test]
fn what_is_sent_before_the_handshake_is_not_heard_after_it() -> Result<()> {
    run(|site| {
        let ca = site.ca();
        for (name, doors) in site.servers() {
            for (protocol, only) in [
                ("imap", &["* BYE", "c OK"][..]),
                ("pop3", &["+OK"]),
                ("smtp", &["221"]),
            ] {
                let port = port(protocol, doors.starttls).to_string();
                let printed = python(&["inject", protocol, &port, &ca], "")
                    .with_context(|| format!("{name} {protocol}"))?;
                let lines: Vec<&str> = printed.lines().collect();
                let expected = lines.len() == only.len()
                    && lines
                        .iter()
                        .zip(only)
                        .all(|(line, start)| line.starts_with(start));
                ensure!(expected, "{name} {protocol}: {lines:?}");
            }
        }
        Ok(())
    })
}
