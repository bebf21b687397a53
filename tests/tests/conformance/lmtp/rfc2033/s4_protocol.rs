//! Section 4: what LMTP changes in SMTP.

use crate::subject::{ALICE, BOB, Server};
use anyhow::{Result, ensure};
use testkit::SmtpClient;

against_both!(
    Lmtp: lhlo_takes_the_place_of_ehlo, each_accepted_recipient_has_a_reply, data_without_recipients,
    the_message_arrives_with_its_trace,
);

/// A session after LHLO.
fn lmtp(server: &Server) -> Result<SmtpClient> {
    let mut client = server.lmtp()?;
    let reply = client.command("LHLO client.example.test")?;
    ensure!(reply.code == 250, "LHLO: {reply:?}");
    Ok(client)
}

fn lhlo_takes_the_place_of_ehlo(server: &Server) -> Result<()> {
    let mut client = server.lmtp()?;
    ensure!(client.greeting.code == 220, "{:?}", client.greeting);
    for command in ["HELO x.example.test", "EHLO x.example.test"] {
        let reply = client.command(command)?;
        ensure!(reply.code >= 500, "{command}: {reply:?}");
    }
    let reply = client.command("LHLO x.example.test")?;
    ensure!(reply.code == 250, "{reply:?}");
    // Section 5: both are a MUST.
    for keyword in ["PIPELINING", "ENHANCEDSTATUSCODES"] {
        ensure!(
            reply.lines.iter().any(|line| line == keyword),
            "{keyword} is not in {reply:?}"
        );
    }
    let reply = client.command("NOOP")?;
    ensure!(reply.code == 250, "{reply:?}");
    let reply = client.command("QUIT")?;
    ensure!(reply.code == 221 && client.dialogue.is_closed(), "{reply:?}");
    Ok(())
}

fn each_accepted_recipient_has_a_reply(server: &Server) -> Result<()> {
    let mut client = lmtp(server)?;
    let mut codes = Vec::new();
    client.command("MAIL FROM:<erika@example.test>")?;
    for to in [ALICE.address, "nobody@example.test", BOB.address] {
        codes.push(client.command(&format!("RCPT TO:<{to}>"))?.code);
    }
    ensure!(codes[0] == 250 && codes[1] >= 500 && codes[2] == 250, "{codes:?}");
    ensure!(client.command("DATA")?.code == 354, "DATA");
    client.send_message(b"Subject: two\r\n\r\nx\r\n")?;
    // Section 4.2: two were accepted, so two replies come, in their order, and no more.
    for to in ["alice", "bob"] {
        let reply = client.reply()?;
        ensure!(reply.code == 250, "{to}: {reply:?}");
    }
    let reply = client.command("NOOP")?;
    ensure!(reply.code == 250, "{reply:?}");
    for account in [ALICE, BOB] {
        ensure!(server.messages(account, 1)?.len() == 1, "{}", account.address);
    }
    Ok(())
}

fn data_without_recipients(server: &Server) -> Result<()> {
    let mut client = lmtp(server)?;
    ensure!(client.command("DATA")?.code == 503, "DATA without MAIL");
    client.command("MAIL FROM:<erika@example.test>")?;
    client.command("RCPT TO:<nobody@example.test>")?;
    // Section 4.2: 503 when no RCPT was accepted.
    let reply = client.command("DATA")?;
    ensure!(reply.code == 503, "{reply:?}");
    let reply = client.command("RSET")?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

fn the_message_arrives_with_its_trace(server: &Server) -> Result<()> {
    let message = "Subject: trace\r\n\r\n.\r\n..two\r\nend\r\n";
    server.deliver(ALICE, message)?;
    let found = server.messages(ALICE, 1)?;
    ensure!(found.len() == 1 && found[0].ends_with(message), "{found:?}");
    let trace = found[0].strip_suffix(message).unwrap_or_default();
    // RFC 5321 section 4.4: the last server writes the reverse-path and a trace line.
    ensure!(trace.contains("Return-Path: <erika@example.test>\r\n"), "{trace}");
    ensure!(trace.contains("Received: "), "{trace}");
    Ok(())
}
