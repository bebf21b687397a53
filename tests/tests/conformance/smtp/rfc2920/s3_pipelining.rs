//! Section 3: groups of commands.

use crate::smtp::keyword;
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: a_group_is_answered_in_order);

fn a_group_is_answered_in_order(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    ensure!(
        keyword(&mut client, "PIPELINING")?.is_some(),
        "PIPELINING is not announced"
    );
    client.dialogue.send(
        b"MAIL FROM:<erika@example.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
    )?;
    for expected in [250, 550, 250, 354] {
        let reply = client.reply()?;
        ensure!(reply.code == expected, "{reply:?}, not {expected}");
    }
    // The message, and the next transaction right behind its dot.
    client.dialogue.send(
        b"Subject: one\r\n\r\nx\r\n.\r\nMAIL FROM:<erika@example.test>\r\nRCPT TO:<alice@example.test>\r\nRSET\r\nQUIT\r\n",
    )?;
    for expected in [250, 250, 250, 250, 221] {
        let reply = client.reply()?;
        ensure!(reply.code == expected, "{reply:?}, not {expected}");
    }
    ensure!(server.messages(ALICE, 1)?.len() == 1, "not one message");
    Ok(())
}
