//! Mail in through the SMTP front end, and out through the IMAP and POP3 proxies.

use crate::{Cluster, HOMES, corpus};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use testkit::{ImapClient, Person, Pop3Client, Scratch, SmtpClient, SmtpReply, curl, run_with_input};

/// Opens a session with the SMTP front end and says EHLO.
pub(super) fn smtp(cluster: &Cluster) -> Result<SmtpClient> {
    let mut client = SmtpClient::connect(cluster.front_ports.smtp)?;
    ensure!(client.greeting.code == 220, "greeting: {:?}", client.greeting);
    let ehlo = client.command("EHLO client.example.test")?;
    ensure!(ehlo.code == 250, "EHLO: {ehlo:?}");
    Ok(client)
}

/// Sends one short message; the reply to RCPT, and to the final dot when that was accepted.
pub(super) fn send_note(cluster: &Cluster, to: &str, subject: &str) -> Result<(SmtpReply, SmtpReply)> {
    let message = format!("From: erika@example.test\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{subject}\r\n");
    let (recipients, last) = smtp(cluster)?.deliver("erika@example.test", &[to], message.as_bytes())?;
    Ok((recipients.first().cloned().context("no reply to RCPT")?, last))
}

/// Whether the person's INBOX, read through the proxy, has a message of this subject.
pub(super) fn has_note(cluster: &Cluster, login: &str, password: &str, subject: &str) -> Result<bool> {
    let mut client = ImapClient::connect(cluster.front_ports.imap)?;
    let reply = client.login(login, password)?;
    ensure!(reply.starts_with("OK"), "login of {login}: {reply}");
    client.ok("EXAMINE INBOX")?;
    let found = client.ok(&format!("SEARCH SUBJECT \"{subject}\""))?;
    client.ok("LOGOUT")?;
    Ok(found.iter().any(|line| line.starts_with("* SEARCH ")))
}

pub(super) fn person<'a>(cluster: &'a Cluster, uid: &str) -> Result<&'a Person> {
    cluster
        .people
        .find(uid)
        .with_context(|| format!("nobody is called {uid}"))
}

/// alice lives on the first home and bob on the second.
const READERS: [&str; 2] = ["alice", "bob"];

pub(super) fn send_corpus(cluster: &mut Cluster) -> Result<String> {
    let messages = corpus()?;
    for reader in READERS {
        let to = person(cluster, reader)?.mail.clone();
        let mut client = smtp(cluster)?;
        for message in &messages {
            let (_, last) = client.deliver("erika@example.test", &[&to], &message.bytes)?;
            ensure!(last.code == 250, "{} to {to}: {last:?}", message.name);
        }
        client.command("QUIT")?;
    }
    Ok(format!(
        "{} messages to {} people on two homes, each answered 250",
        messages.len(),
        READERS.len()
    ))
}

/// What a delivered message ends with is what was sent; before it stand the trace headers of the way.
fn ensure_same(read: &str, sent: &[u8], name: &str) -> Result<()> {
    let sent = String::from_utf8_lossy(sent).into_owned();
    ensure!(read.ends_with(&sent), "{name} came back changed:\n{read}");
    let trace = read.get(..read.len() - sent.len()).unwrap_or_default();
    ensure!(
        trace.starts_with("Return-Path: <erika@example.test>\r\n"),
        "{name}: no Return-Path: {trace}"
    );
    ensure!(
        trace.contains("Received: from client.example.test"),
        "{name}: the front end left no Received: {trace}"
    );
    Ok(())
}

pub(super) fn read_by_imap(cluster: &mut Cluster) -> Result<String> {
    let messages = corpus()?;
    for reader in READERS {
        let reader = person(cluster, reader)?;
        for (index, message) in messages.iter().enumerate() {
            let url = format!(
                "imap://127.0.0.1:{}/INBOX;MAILINDEX={}",
                cluster.front_ports.imap,
                index + 1
            );
            ensure_same(
                &curl(&url, &reader.mail, &reader.password, &[])?,
                &message.bytes,
                &message.name,
            )?;
        }
    }
    Ok(format!(
        "{} messages each for {}",
        messages.len(),
        READERS.join(" and ")
    ))
}

pub(super) fn read_by_pop3(cluster: &mut Cluster) -> Result<String> {
    let messages = corpus()?;
    for reader in READERS {
        let reader = person(cluster, reader)?;
        for (index, message) in messages.iter().enumerate() {
            let url = format!("pop3://127.0.0.1:{}/{}", cluster.front_ports.pop3, index + 1);
            ensure_same(
                &curl(&url, &reader.mail, &reader.password, &[])?,
                &message.bytes,
                &message.name,
            )?;
        }
    }
    Ok(format!(
        "{} messages each for {}",
        messages.len(),
        READERS.join(" and ")
    ))
}

pub(super) fn copy_with_mbsync(cluster: &mut Cluster) -> Result<String> {
    let messages = corpus()?;
    let alice = person(cluster, "alice")?;
    let scratch = Scratch::new()?;
    let maildir = scratch.folder("maildir")?.display().to_string();
    let password = scratch.write("password", &alice.password)?.display().to_string();
    let config = format!(
        "IMAPAccount front\nHost 127.0.0.1\nPort {port}\nUser {user}\nPassCmd \"cat {password}\"\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount front\n\n\
         MaildirStore near\nPath {maildir}/\nInbox {maildir}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nSyncState *\n",
        port = cluster.front_ports.imap,
        user = alice.mail,
    );
    let config = scratch.write("mbsyncrc", &config)?.display().to_string();
    run_with_input("mbsync", &["-q", "-c", &config, "all"], b"")?;
    // A second run must find nothing to do, or UIDs are not stable.
    run_with_input("mbsync", &["-q", "-c", &config, "all"], b"")?;
    let count = |part: &str| {
        Ok::<_, std::io::Error>(std::fs::read_dir(scratch.join("maildir/INBOX").join(part))?.count())
    };
    let found = count("new")? + count("cur")?;
    ensure!(
        found == messages.len(),
        "mbsync copied {found} messages of {}",
        messages.len()
    );
    Ok(format!("{found} messages in a Maildir"))
}

pub(super) fn both_homes_at_once(cluster: &mut Cluster) -> Result<String> {
    let recipients: Vec<(String, String)> = HOMES
        .iter()
        .flat_map(|host| cluster.people.on_host(host).skip(2).take(3))
        .map(|person| (person.mail.clone(), person.password.clone()))
        .collect();
    let to: Vec<&str> = recipients.iter().map(|(mail, _)| mail.as_str()).collect();
    let message = b"From: erika@example.test\r\nSubject: both homes\r\n\r\nOne transaction.\r\n";
    let (replies, last) = smtp(cluster)?.deliver("erika@example.test", &to, message)?;
    ensure!(replies.iter().all(|reply| reply.code == 250), "{replies:?}");
    ensure!(last.code == 250, "{last:?}");
    for (mail, password) in &recipients {
        ensure!(
            has_note(cluster, mail, password, "both homes")?,
            "{mail} did not get it"
        );
    }
    Ok(format!(
        "{} recipients, one 250, every copy found",
        recipients.len()
    ))
}

pub(super) fn refusals(cluster: &mut Cluster) -> Result<String> {
    let mut seen = String::new();
    for (address, code, enhanced) in [
        ("nobody.here@localdomain.test", 550, "5.1.1"),
        ("somebody@elsewhere.example", 550, "5.7.1"),
    ] {
        let mut client = smtp(cluster)?;
        client.command("MAIL FROM:<erika@example.test>")?;
        let reply = client.command(&format!("RCPT TO:<{address}>"))?;
        ensure!(
            reply.code == code && reply.enhanced() == Some(enhanced),
            "{address}: {reply:?}"
        );
        let _ = write!(seen, "{address} {code} {enhanced}; ");
    }
    Ok(seen.trim_end_matches("; ").to_owned())
}

pub(super) fn wrong_passwords(cluster: &mut Cluster) -> Result<String> {
    let alice = person(cluster, "alice")?.mail.clone();
    for password in ["wrong", ""] {
        let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&alice, password)?;
        ensure!(
            reply.starts_with("NO [AUTHENTICATIONFAILED]"),
            "IMAP, password {password:?}: {reply}"
        );
        let reply = Pop3Client::connect(cluster.front_ports.pop3)?.login(&alice, password)?;
        ensure!(reply.starts_with("-ERR"), "POP3, password {password:?}: {reply}");
        ensure!(
            !reply.contains("SYS/TEMP"),
            "POP3, password {password:?}: {reply}"
        );
    }
    // An entry without a password can never log in, whatever is typed.
    cluster.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\ndelete: userPassword\n",
        cluster.people.dn("sven")
    ))?;
    let sven = person(cluster, "sven")?.mail.clone();
    let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&sven, "sven-secret")?;
    ensure!(
        reply.starts_with("NO [AUTHENTICATIONFAILED]"),
        "no password in the entry: {reply}"
    );
    Ok("refused with [AUTHENTICATIONFAILED], and -ERR [AUTH] on POP3".to_owned())
}
