//! Section 3: replies, and lines that begin with a dot.

use crate::pop3::{alice, err, lines, ok, text};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Pop3: lines_of_dots_arrive_whole, unknown_commands_are_refused);

fn lines_of_dots_arrive_whole(server: &Server) -> Result<()> {
    let body = ".\r\n..\r\n.dot\r\nno dot\r\n...\r\n";
    server.deliver(ALICE, &text("dots", body))?;
    let mut client = alice(server)?;
    let retrieved = lines(&mut client, "RETR 1")?;
    let start = retrieved.iter().position(String::is_empty).unwrap_or(0) + 1;
    let found: String = retrieved[start..]
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect();
    ensure!(found == body, "{found:?}");
    // On the wire each of them has one dot more.
    client.dialogue.send_line("RETR 1")?;
    let mut doubled = 0;
    loop {
        match client.dialogue.line()?.as_str() {
            "." => break,
            line => doubled += usize::from(line.starts_with("..")),
        }
    }
    ensure!(doubled == 4, "{doubled} lines with doubled dots");
    Ok(())
}

fn unknown_commands_are_refused(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    for command in ["FROBNICATE", "RETR", "RETR x", "LIST x", "DELE", "TOP 1"] {
        err(&mut client, command)?;
    }
    // Keywords have no case.
    ok(&mut client, "noop")?;
    ok(&mut client, "sTaT")?;
    Ok(())
}
