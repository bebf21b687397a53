//! Section 4.4: trace information.

use crate::smtp::smtp;
use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};

against_both!(Smtp: return_path_and_received_come_first);

fn return_path_and_received_come_first(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    let message =
        b"Received: from older.example.test by other.example.test; Mon, 1 Jan 2024 12:00:00 +0000\r\n\
                    Subject: trace\r\n\r\nx\r\n";
    let (_, last) = client.deliver("erika@example.test", &[ALICE.address], message)?;
    ensure!(last.code == 250, "{last:?}");
    let found = server.messages(ALICE, 1)?;
    let text = found.first().context("nothing")?;
    ensure!(
        text.matches("Return-Path: <erika@example.test>\r\n").count() == 1,
        "{text}"
    );
    let new = text
        .find("Received: from client.example.test")
        .context("no Received of this server")?;
    let old = text
        .find("Received: from older.example.test")
        .context("the older Received is gone")?;
    ensure!(new < old, "{text}");
    // The date of the new one ends it (section 4.4: "from ... by ... ; date-time").
    let line = text.get(new..old).unwrap_or_default();
    let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        line.contains(" by mail.example.test") && line.contains("; "),
        "{line}"
    );
    Ok(())
}
