//! The launchers themselves.

use testkit::{Dovecot, ImapClient, Pop3Client, Postfix, Samba, SmtpClient, run_with_input};

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

#[test]
fn samba_answers_on_all_its_ports_and_comes_back() -> anyhow::Result<()> {
    let mut samba = Samba::start("")?;
    samba.add(&samba.user_ldif("alice", "alice@example.test", "alice-secret", ""))?;
    let password = tempfile_with("alice-secret")?;
    let path = password.path().display().to_string();
    let find = |uri: &str, start_tls: &str| {
        let ca = samba.certificate().certificate.display().to_string();
        // The file would be a variable of the process, which every thread shares; an argument is not.
        let args = [
            &format!("LDAPTLS_CACERT={ca}"),
            "ldapsearch",
            start_tls,
            "-LLL",
            "-x",
            "-H",
            uri,
            "-D",
            "alice@example.test",
            "-y",
            &path,
            "-b",
            &samba.people_dn(),
            "(sAMAccountName=alice)",
            "userPrincipalName",
        ];
        run_with_input("env", &args, b"")
    };
    for (uri, start_tls) in [
        (samba.uri(), "-v"),
        (samba.uri(), "-ZZ"),
        (samba.tls_uri(), "-v"),
        (samba.ldapi_uri(), "-v"),
    ] {
        let said = find(&uri, start_tls)?;
        assert!(
            said.contains("userPrincipalName: alice@example.test"),
            "{uri} {start_tls}: {said}"
        );
    }
    samba.kill()?;
    assert!(samba.search(&samba.suffix, "(cn=alice)", &["mail"]).is_err());
    assert!(std::net::TcpStream::connect(("127.0.0.1", samba.port)).is_err());
    samba.restart()?;
    let found = samba.search(&samba.suffix, "(cn=alice)", &["mail"])?;
    assert!(found.contains("mail: alice@example.test"), "{found}");
    Ok(())
}

fn tempfile_with(text: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    Ok(file)
}
