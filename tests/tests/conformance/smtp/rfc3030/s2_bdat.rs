//! Section 2: messages in chunks.

use crate::smtp::{expect, keyword};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: chunks_are_one_message, a_chunk_out_of_order_is_no_command, chunks_and_data_are_not_mixed);

fn chunks_are_one_message(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    ensure!(
        keyword(&mut client, "CHUNKING")?.is_some(),
        "CHUNKING is not announced"
    );
    // A dot alone on a line ends nothing here, and commands inside of a chunk are none.
    client.dialogue.send(
        b"MAIL FROM:<erika@example.test>\r\nRCPT TO:<alice@example.test>\r\n\
          BDAT 14\r\nSubject: x\r\n\r\nBDAT 9\r\n.\r\nQUIT\r\nBDAT 0 LAST\r\nNOOP\r\n",
    )?;
    for step in ["MAIL", "RCPT", "first", "second", "last", "NOOP"] {
        let reply = client.reply()?;
        ensure!(reply.code == 250, "{step}: {reply:?}");
    }
    let found = server.messages(ALICE, 1)?;
    ensure!(found.len() == 1, "{} messages", found.len());
    ensure!(
        found[0].contains("Subject: x\r\n\r\n.\r\nQUIT\r\n"),
        "changed on its way: {found:?}"
    );
    Ok(())
}

fn a_chunk_out_of_order_is_no_command(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    expect(&mut client, "EHLO client.example.test", 250)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    client.dialogue.send(b"BDAT 6 LAST\r\nQUIT\r\n")?;
    let reply = client.reply()?;
    ensure!((500..600).contains(&reply.code), "without a recipient: {reply:?}");
    expect(&mut client, "NOOP", 250)?;
    Ok(())
}

fn chunks_and_data_are_not_mixed(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    expect(&mut client, "EHLO client.example.test", 250)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    client.dialogue.send(b"BDAT 3\r\nx\r\n")?;
    ensure!(client.reply()?.code == 250, "the first chunk");
    expect(&mut client, "DATA", 503)?;
    expect(&mut client, "RSET", 250)?;
    expect(&mut client, "NOOP", 250)?;
    ensure!(
        server.messages(ALICE, 0)?.is_empty(),
        "half a message was delivered"
    );
    Ok(())
}
