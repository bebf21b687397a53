//! Section 2: eight-bit bodies.

use crate::smtp::{expect, keyword, refused};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: eight_bits_arrive_unchanged);

fn eight_bits_arrive_unchanged(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    ensure!(
        keyword(&mut client, "8BITMIME")?.is_some(),
        "8BITMIME is not announced"
    );
    refused(&mut client, "MAIL FROM:<erika@example.test> BODY=9BIT")?;
    expect(&mut client, "MAIL FROM:<erika@example.test> BODY=8BITMIME", 250)?;
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    expect(&mut client, "DATA", 354)?;
    let body = "Grüße aus Köln: 100 €\r\n";
    client.send_message(
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    ensure!(client.reply()?.code == 250, "the message was refused");
    let found = server.messages(ALICE, 1)?;
    ensure!(found.len() == 1 && found[0].ends_with(body), "{found:?}");
    Ok(())
}
