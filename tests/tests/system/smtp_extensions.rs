//! What a message asks of the servers on its way, through a real front end to real homes; and two front ends that
//! take each other for homes.

use crate::local::{ALICE, BOB, FrontParts, LocalFront, home_entry, inbox, listeners, log, start_home};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use testkit::SmtpClient;

const TRUSTED: &str = "trusted_networks = [\"127.0.0.0/8\"]";

fn replies(client: &mut SmtpClient, codes: &[u16]) -> Result<()> {
    for code in codes {
        let reply = client.reply()?;
        ensure!(reply.code == *code, "{reply:?}, not {code}");
    }
    Ok(())
}

/// Chunks, eight bits and SMTPUTF8 arrive unchanged, and one trace is in the logs of both servers.
#[test]
fn an_internationalised_message_in_chunks() -> Result<()> {
    let (home, front) = (Ports::free()?, Ports::free()?);
    let server = start_home(&listeners("", home, TRUSTED), &[ALICE, BOB])?;
    let sections = home_entry("one", home, "", "") + &listeners("_proxy", front, "");
    let parts = FrontParts {
        sections: &sections,
        ..FrontParts::default()
    };
    let local = LocalFront::start(&[(ALICE, "one"), (BOB, "one")], parts)?;
    let mut client = SmtpClient::connect(front.smtp)?;
    let hello = client.command("EHLO client.example.test")?;
    for keyword in ["SMTPUTF8", "CHUNKING", "8BITMIME", "LIMITS RCPTMAX=100"] {
        ensure!(
            hello.lines.iter().any(|line| line == keyword),
            "{keyword}: {hello:?}"
        );
    }
    let text = "Message-ID: <1@sender.example>\r\nSubject: Grüße\r\n\r\n.\r\n..\r\nKöln\r\n";
    let (first, second) = text.split_at(40);
    client.dialogue.send(
        format!(
            "MAIL FROM:<jörg@sender.example> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<{}>\r\nRCPT TO:<{}>\r\n\
             BDAT {}\r\n{first}BDAT {} LAST\r\n{second}QUIT\r\n",
            ALICE.mail,
            BOB.mail,
            first.len(),
            second.len()
        )
        .as_bytes(),
    )?;
    let explain = || {
        let logs = (
            log(&local.server).unwrap_or_default(),
            log(&server).unwrap_or_default(),
        );
        format!("the front end:\n{}\nthe home:\n{}", logs.0, logs.1)
    };
    replies(&mut client, &[250, 250, 250, 250, 250, 221]).with_context(explain)?;
    for someone in [ALICE, BOB] {
        let found = inbox(home.pop3, someone)?;
        ensure!(found.len() == 1, "{}: {} messages", someone.mail, found.len());
        let sent = text.replace("\r\n", "\n");
        ensure!(
            found[0].ends_with(sent.trim_end()),
            "changed on its way: {}",
            found[0]
        );
        ensure!(
            found[0].contains("Return-Path: <jörg@sender.example>"),
            "{}",
            found[0]
        );
        let hops = found[0].matches("with UTF8SMTP id ").count();
        ensure!(hops == 2, "RFC 6531 section 4.3: {}", found[0]);
    }
    let (first, second) = (log(&local.server)?, log(&server)?);
    let line = first
        .lines()
        .find(|line| line.contains("sender.example") && line.contains("trace"))
        .with_context(explain)?;
    // The sixteen digits of the trace, however the log writes them.
    let trace = line
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 16)
        .with_context(|| line.to_owned())?;
    ensure!(
        second.contains(trace),
        "{trace} is not in the home's log: {}",
        explain()
    );
    let metrics = local.server.command(&["service", "metrics"])?;
    for line in [
        r#"homing_proxy_recipients_total{protocol="smtp",home="one",outcome="ok"} 2"#,
        r#"homing_proxy_deliveries_total{protocol="smtp",home="one",outcome="ok"} 2"#,
        r#"homing_proxy_messages_total{protocol="smtp",outcome="ok"} 1"#,
    ] {
        ensure!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    Ok(())
}

/// Each is the other's home: the count of hops ends it before there is a message.
#[test]
fn two_front_ends_that_send_each_other_in_a_circle() -> Result<()> {
    let (one, two) = (Ports::free()?, Ports::free()?);
    let mut fronts = Vec::new();
    for (own, other) in [(one, two), (two, one)] {
        let sections = home_entry("other", other, "", "") + &listeners("_proxy", own, TRUSTED);
        let parts = FrontParts {
            sections: &sections,
            ..FrontParts::default()
        };
        fronts.push(LocalFront::start(&[(ALICE, "other")], parts)?);
    }
    let mut client = SmtpClient::connect(one.smtp)?;
    client.command("EHLO client.example.test")?;
    client.command("MAIL FROM:<erika@sender.example>")?;
    let reply = client.command(&format!("RCPT TO:<{}>", ALICE.mail))?;
    ensure!(
        reply.code == 554 && reply.enhanced() == Some("5.4.6"),
        "{reply:?}"
    );
    let reply = client.command("NOOP")?;
    ensure!(reply.code == 250, "the session goes on: {reply:?}");
    drop(fronts);
    Ok(())
}
