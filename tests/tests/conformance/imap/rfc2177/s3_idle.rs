//! Section 3: IDLE.

use crate::imap::{append, ensure_announces, fetched, flags, text, with_messages};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};
use testkit::ImapClient;

against_both!(Imap: idle_tells_what_others_do, idle_ends_with_done);

/// Reads until a response satisfies; every read has the client's deadline.
fn await_response(client: &mut ImapClient, wanted: impl Fn(&str) -> bool) -> Result<String> {
    loop {
        let response = client.response()?;
        ensure!(response.starts_with("* "), "not untagged: {response}");
        if wanted(&response) {
            return Ok(response);
        }
    }
}

fn idle_tells_what_others_do(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 2)?;
    ensure_announces(&mut client, "IDLE")?;
    let mut other = with_messages(server, 0)?;
    client.dialogue.send_line("i IDLE")?;
    let go_on = client.response()?;
    ensure!(go_on.starts_with('+'), "{go_on}");

    append(&mut other, "INBOX", &text("three"))?;
    await_response(&mut client, |line| line == "* 3 EXISTS")?;
    server.deliver(ALICE, &text("four"))?;
    await_response(&mut client, |line| line == "* 4 EXISTS")?;
    other.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")?;
    let line = await_response(&mut client, |line| line.starts_with("* 2 FETCH "))?;
    ensure!(flags(fetched(&[line], 2)?)? == ["\\Flagged"]);
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")?;
    other.ok("EXPUNGE")?;
    await_response(&mut client, |line| line == "* 1 EXPUNGE")?;

    client.dialogue.send_line("DONE")?;
    let (_, tagged) = client.until_tagged("i")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    let untagged = client.ok("FETCH 1:* (FLAGS)")?;
    ensure!(
        untagged.iter().filter(|line| line.contains(" FETCH ")).count() == 3,
        "{untagged:?}"
    );
    Ok(())
}

fn idle_ends_with_done(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 0)?;
    client.dialogue.send_line("i idle")?;
    client.response()?;
    client.dialogue.send_line("done")?;
    let (_, tagged) = client.until_tagged("i")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    // Anything else than DONE is an error; the session may end or go on, but runs no command.
    client.dialogue.send_line("j IDLE")?;
    client.response()?;
    client.dialogue.send_line("k CREATE sneaked")?;
    let (_, tagged) = client.until_tagged("j")?;
    ensure!(tagged.starts_with("BAD"), "{tagged}");
    Ok(())
}
