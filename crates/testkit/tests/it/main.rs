//! The launchers themselves.

use testkit::{Dovecot, ImapClient, Pop3Client, Postfix, SmtpClient};

#[test]
fn dovecot_takes_and_shows_mail() -> anyhow::Result<()> {
    let dovecot = Dovecot::start(&[("alice@example.test", "secret")], "")?;
    let mut lmtp = SmtpClient::connect(dovecot.lmtp)?;
    assert_eq!(lmtp.command("LHLO client.example.test")?.code, 250);
    let (recipients, last) = lmtp.deliver(
        "a@example.test",
        &["alice@example.test"],
        b"Subject: x\r\n\r\nbody\r\n",
    )?;
    assert_eq!(
        (recipients.len(), last.code),
        (1, 250),
        "{last:?} {}",
        dovecot.log()
    );
    let mut imap = ImapClient::connect(dovecot.imap)?;
    assert!(imap.login("alice@example.test", "secret")?.starts_with("OK"));
    imap.ok("SELECT INBOX")?;
    let fetched = imap.ok("FETCH 1 BODY.PEEK[TEXT]")?;
    assert!(
        fetched.iter().any(|line| line.contains("body\r\n")),
        "{fetched:?}"
    );
    let mut pop3 = Pop3Client::connect(dovecot.pop3)?;
    assert!(pop3.login("alice@example.test", "wrong")?.starts_with("-ERR"));
    Ok(())
}

#[test]
fn postfix_takes_mail() -> anyhow::Result<()> {
    let postfix = Postfix::start(&["alice@example.test"], "")?;
    let mut smtp = SmtpClient::connect(postfix.smtp).map_err(|error| error.context(postfix.log()))?;
    assert_eq!(smtp.command("EHLO client.example.test")?.code, 250);
    let to = ["alice@example.test", "nobody@example.test"];
    let (recipients, last) = smtp
        .deliver("a@example.test", &to, b"Subject: x\r\n\r\nbody\r\n")
        .map_err(|error| error.context(postfix.log()))?;
    let codes: Vec<u16> = recipients.iter().map(|reply| reply.code).collect();
    assert_eq!(
        (codes.as_slice(), last.code),
        ([250, 550].as_slice(), 250),
        "{}",
        postfix.log()
    );
    Ok(())
}
