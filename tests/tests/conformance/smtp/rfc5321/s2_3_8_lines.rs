//! Section 2.3.8 and 4.1.1.4: only CRLF ends a line, and only CRLF.CRLF ends a message (SMTP smuggling).

use crate::smtp::{smtp, until_data};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: no_other_line_end_ends_a_message);

fn no_other_line_end_ends_a_message(server: &Server) -> Result<()> {
    let mut expected = 0;
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n\n.\n\n",
        "\r\n\0.\r\n",
        "\r\n.\r\r\n",
    ] {
        let mut client = smtp(server)?;
        until_data(&mut client)?;
        let smuggled = "MAIL FROM:<erika@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\
                        Subject: smuggled\r\n\r\nsmuggled";
        client
            .dialogue
            .send(format!("Subject: outer\r\n\r\nbody{end}{smuggled}\r\n.\r\nNOOP\r\n").as_bytes())?;
        // One reply for one message, taken or refused, and one for NOOP; a server that refuses may also hang up.
        let reply = client.reply()?;
        ensure!(matches!(reply.code, 250 | 421 | 500..600), "{end:?}: {reply:?}");
        expected += usize::from(reply.code == 250);
        if let Ok(next) = client.reply() {
            ensure!(
                matches!(next.code, 250 | 421),
                "{end:?}: a second reply: {next:?}"
            );
            ensure!(
                !next.lines.iter().any(|line| line.contains("queued")),
                "{end:?}: a second message: {next:?}"
            );
        }
    }
    let found = server.messages(ALICE, expected)?;
    ensure!(
        found.len() == expected,
        "{} messages of {expected}: {found:?}",
        found.len()
    );
    for text in &found {
        ensure!(
            text.contains("Subject: outer"),
            "a smuggled message arrived: {text:?}"
        );
    }
    Ok(())
}
