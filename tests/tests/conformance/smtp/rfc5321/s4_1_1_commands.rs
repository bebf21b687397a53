//! Section 4.1.1: commands and their syntax.

use crate::smtp::{expect, refused, smtp};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(
    Smtp: hello_in_both_forms, mail_and_rcpt_syntax, the_null_reverse_path, noop_vrfy_help_rset,
    commands_have_no_case,
);

fn hello_in_both_forms(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    ensure!(client.greeting.code == 220, "{:?}", client.greeting);
    let reply = expect(&mut client, "HELO client.example.test", 250)?;
    ensure!(reply.lines.len() == 1, "HELO announces nothing: {reply:?}");
    let reply = expect(&mut client, "EHLO client.example.test", 250)?;
    ensure!(reply.lines.len() > 1, "{reply:?}");
    expect(&mut client, "EHLO [127.0.0.1]", 250)?;
    refused(&mut client, "EHLO")?;
    Ok(())
}

fn mail_and_rcpt_syntax(server: &Server) -> Result<()> {
    for command in [
        "MAIL",
        "MAIL FROM:",
        "MAIL TO:<erika@example.test>",
        "MAIL FROM:<erika@example.test> NOSUCHPARAMETER=1",
    ] {
        refused(&mut smtp(server)?, command)?;
    }
    for command in [
        "RCPT",
        "RCPT TO:",
        "RCPT TO:<>",
        "RCPT TO:<alice@example.test> NOSUCHPARAMETER=1",
    ] {
        let mut client = smtp(server)?;
        expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
        refused(&mut client, command)?;
        expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    }
    // A quoted local-part, the case of the domain, and a source route, which is to be ignored.
    let mut client = smtp(server)?;
    expect(&mut client, "MAIL FROM:<\"e. m.\"@example.test>", 250)?;
    expect(&mut client, "RCPT TO:<alice@EXAMPLE.test>", 250)?;
    expect(&mut client, "RCPT TO:<\"alice\"@example.test>", 250)?;
    Ok(())
}

fn the_null_reverse_path(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    let (_, last) = client.deliver("", &[ALICE.address], b"Subject: bounce\r\n\r\nx\r\n")?;
    ensure!(last.code == 250, "{last:?}");
    let found = server.messages(ALICE, 1)?;
    ensure!(
        found.len() == 1 && found[0].contains("Return-Path: <>\r\n"),
        "{found:?}"
    );
    Ok(())
}

fn noop_vrfy_help_rset(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    expect(&mut client, "NOOP", 250)?;
    expect(&mut client, "NOOP with words", 250)?;
    // Section 3.5.3: 250, 251, 252, or 5yz when it is known to be wrong or switched off.
    let reply = client.command("VRFY alice@example.test")?;
    ensure!(matches!(reply.code, 250..=252 | 500..=559), "{reply:?}");
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    expect(&mut client, "NOOP", 250)?;
    expect(&mut client, "RSET", 250)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 503)?;
    expect(&mut client, "RSET", 250)?;
    refused(&mut client, "FROBNICATE")?;
    Ok(())
}

fn commands_have_no_case(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    expect(&mut client, "ehlo client.example.test", 250)?;
    expect(
        &mut client,
        "mail from:<erika@example.test> size=100 body=7bit",
        250,
    )?;
    expect(&mut client, "Rcpt To:<alice@example.test>", 250)?;
    expect(&mut client, "data", 354)?;
    client.send_message(b"Subject: x\r\n\r\n")?;
    ensure!(client.reply()?.code == 250, "the message was refused");
    expect(&mut client, "quit", 221)?;
    Ok(())
}
