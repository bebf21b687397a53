//! Section 4.1.4: the order of commands.

use crate::smtp::{expect, refused, smtp, until_data};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: out_of_order_is_503, ehlo_begins_anew, a_lost_connection_leaves_nothing);

fn out_of_order_is_503(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 503)?;
    expect(&mut client, "DATA", 503)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 503)?;
    // The error has not touched the transaction.
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    refused(&mut client, "MAIL FROM:<frank@example.test>")?;
    expect(&mut client, "DATA", 354)?;
    client.send_message(b"Subject: x\r\n\r\nx\r\n")?;
    ensure!(client.reply()?.code == 250, "the message was refused");
    // And after the message there is none.
    expect(&mut client, "DATA", 503)?;
    Ok(())
}

fn ehlo_begins_anew(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    expect(&mut client, "EHLO client.example.test", 250)?;
    expect(&mut client, "DATA", 503)?;
    Ok(())
}

fn a_lost_connection_leaves_nothing(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    until_data(&mut client)?;
    client.dialogue.send(b"Subject: half\r\n\r\nhalf a mess")?;
    drop(client);
    let mut client = smtp(server)?;
    let (_, last) = client.deliver(
        "erika@example.test",
        &[ALICE.address],
        b"Subject: whole\r\n\r\nx\r\n",
    )?;
    ensure!(last.code == 250, "{last:?}");
    let found = server.messages(ALICE, 1)?;
    ensure!(
        found.len() == 1 && found[0].contains("Subject: whole"),
        "{found:?}"
    );
    Ok(())
}
