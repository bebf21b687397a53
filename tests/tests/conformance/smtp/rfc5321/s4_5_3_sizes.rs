//! Section 4.5.3.1: sizes that every server must take, and what happens beyond.

use crate::smtp::{expect, smtp};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: the_sizes_that_must_work, endless_lines_end_in_an_error);

fn the_sizes_that_must_work(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    // A command line of 512 octets (4.5.3.1.4), a local-part of 64 (4.5.3.1.1), 100 recipients (4.5.3.1.8).
    expect(&mut client, &format!("NOOP {}", "x".repeat(505)), 250)?;
    expect(
        &mut client,
        &format!("MAIL FROM:<{}@example.test>", "l".repeat(64)),
        250,
    )?;
    for _ in 0..100 {
        expect(&mut client, "RCPT TO:<alice@example.test>", 250)?;
    }
    expect(&mut client, "DATA", 354)?;
    // A text line of 1000 octets (4.5.3.1.6), a message of 64 KiB (4.5.3.1.7).
    let line = format!("{}\r\n", "y".repeat(998));
    client.send_message(format!("Subject: big\r\n\r\n{}", line.repeat(66)).as_bytes())?;
    let reply = client.reply()?;
    ensure!(reply.code == 250, "{reply:?}");
    let found = server.messages(ALICE, 1)?;
    ensure!(
        found[0].matches(line.as_str()).count() == 66,
        "lines were changed"
    );
    Ok(())
}

fn endless_lines_end_in_an_error(server: &Server) -> Result<()> {
    let mut client = smtp(server)?;
    let endless = "z".repeat(1 << 20);
    // The server may answer, and may hang up while we still write; it never takes the line for a command.
    let sent = client.dialogue.send(format!("NOOP {endless}\r\n").as_bytes());
    if let (Ok(()), Ok(reply)) = (sent, client.reply()) {
        // Postfix cuts the line off; others refuse it.
        ensure!(matches!(reply.code, 250 | 421 | 500..=559), "{reply:?}");
    }
    // And others are still served.
    let mut client = smtp(server)?;
    expect(&mut client, "NOOP", 250)?;
    Ok(())
}
