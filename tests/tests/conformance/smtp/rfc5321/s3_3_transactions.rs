//! Section 3.3: mail transactions.

use crate::smtp::{expect, refused, smtp};
use crate::subject::{ALICE, BOB, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: several_transactions_and_recipients, unknown_recipients_and_foreign_domains);

fn several_transactions_and_recipients(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    for (round, to) in [&[ALICE.address][..], &[ALICE.address, BOB.address]]
        .into_iter()
        .enumerate()
    {
        let message = format!("Subject: round {round}\r\n\r\nx\r\n");
        let (recipients, last) = client.deliver("erika@example.test", to, message.as_bytes())?;
        ensure!(recipients.iter().all(|reply| reply.code == 250), "{recipients:?}");
        ensure!(last.code == 250, "{last:?}");
    }
    expect(&mut client, "QUIT", 221)?;
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    ensure!(server.messages(ALICE, 2)?.len() == 2, "alice");
    ensure!(server.messages(BOB, 1)?.len() == 1, "bob");
    Ok(())
}

fn unknown_recipients_and_foreign_domains(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    expect(&mut client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(&mut client, "RCPT TO:<nobody@example.test>", 550)?;
    // Never a relay.
    refused(&mut client, "RCPT TO:<someone@elsewhere.example>")?;
    refused(&mut client, "RCPT TO:<alice%example.test@elsewhere.example>")?;
    // Without a recipient there is nothing to send (section 3.3: 503 or 554).
    let reply = client.command("DATA")?;
    ensure!(matches!(reply.code, 503 | 554), "{reply:?}");
    expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    Ok(())
}
