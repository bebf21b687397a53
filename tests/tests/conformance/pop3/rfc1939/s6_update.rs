//! Section 6: the UPDATE state.

use crate::pop3::{alice, lines, ok, text};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Pop3: only_quit_removes);

fn only_quit_removes(server: &Server) -> Result<()> {
    for subject in ["one", "two", "three"] {
        server.deliver(ALICE, &text(subject, "x\r\n"))?;
    }
    let mut client = alice(server)?;
    ok(&mut client, "DELE 1")?;
    ok(&mut client, "DELE 2")?;
    // A connection that ends without QUIT removes nothing.
    drop(client);
    ensure!(
        server.messages(ALICE, 3)?.len() == 3,
        "mail was lost without QUIT"
    );
    let mut client = alice(server)?;
    ok(&mut client, "DELE 1")?;
    ok(&mut client, "DELE 3")?;
    ok(&mut client, "QUIT")?;
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    let left = server.messages(ALICE, 1)?;
    ensure!(
        left.len() == 1 && left[0].contains("Subject: two\r\n"),
        "{left:?}"
    );
    let mut client = alice(server)?;
    ensure!(lines(&mut client, "LIST")?.len() == 1, "LIST");
    Ok(())
}
