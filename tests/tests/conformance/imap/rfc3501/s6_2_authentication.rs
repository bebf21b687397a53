//! Section 6.2: AUTHENTICATE and LOGIN.

use crate::imap::{alice, bad};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(
    Imap: login_right_and_wrong, authenticate_plain, authenticate_can_be_cancelled,
    nothing_is_reached_without_login,
);

fn login_right_and_wrong(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    for (login, password) in [(ALICE.address, "wrong"), ("nobody@example.test", "x")] {
        let reply = client.login(login, password)?;
        ensure!(reply.starts_with("NO"), "{login} with {password:?}: {reply}");
    }
    // A failure leaves the connection where it was.
    let reply = client.login(ALICE.address, ALICE.password)?;
    ensure!(reply.starts_with("OK"), "{reply}");
    // Section 6.2: not in the authenticated state.
    bad(
        &mut client,
        &format!("LOGIN {} {}", ALICE.address, ALICE.password),
    )?;
    client.ok("SELECT INBOX")?;
    Ok(())
}

/// `NUL alice NUL password` in base64.
pub(in crate::imap) fn plain(password: &str) -> String {
    use base64::Engine;
    let message = format!("\0{}\0{password}", ALICE.address);
    base64::engine::general_purpose::STANDARD.encode(message)
}

fn authenticate_plain(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    for (answer, expected) in [(plain("wrong"), "NO"), (plain(ALICE.password), "OK")] {
        client.dialogue.send_line("a AUTHENTICATE PLAIN")?;
        let go_on = client.response()?;
        ensure!(go_on.starts_with('+'), "{go_on}");
        client.dialogue.send_line(&answer)?;
        let (_, tagged) = client.until_tagged("a")?;
        ensure!(tagged.starts_with(expected), "{tagged}, not {expected}");
    }
    client.ok("SELECT INBOX")?;
    let mut client = server.imap()?;
    let (_, tagged) = client.command("AUTHENTICATE NO-SUCH-MECHANISM")?;
    ensure!(!tagged.starts_with("OK"), "{tagged}");
    Ok(())
}

fn authenticate_can_be_cancelled(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    client.dialogue.send_line("a authenticate plain")?;
    let go_on = client.response()?;
    ensure!(go_on.starts_with('+'), "{go_on}");
    client.dialogue.send_line("*")?;
    let (_, tagged) = client.until_tagged("a")?;
    ensure!(tagged.starts_with("BAD"), "cancelled: {tagged}");

    // Not base64: an error, never a login, and the connection goes on.
    client.dialogue.send_line("b AUTHENTICATE PLAIN")?;
    client.response()?;
    client.dialogue.send_line("!!!")?;
    let (_, tagged) = client.until_tagged("b")?;
    ensure!(!tagged.starts_with("OK"), "{tagged}");
    let reply = client.login(ALICE.address, ALICE.password)?;
    ensure!(reply.starts_with("OK"), "{reply}");
    Ok(())
}

fn nothing_is_reached_without_login(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    for command in [
        "SELECT INBOX",
        "LIST \"\" *",
        "STATUS INBOX (MESSAGES)",
        "CREATE x",
        "FETCH 1 FLAGS",
        "IDLE",
    ] {
        let (untagged, tagged) = client.command(command)?;
        ensure!(!tagged.starts_with("OK"), "{command}: {tagged}");
        ensure!(untagged.is_empty(), "{command}: {untagged:?}");
        // Servers count such errors and end a session of many.
        client = server.imap()?;
    }
    // The selected state is one further.
    let mut client = alice(server)?;
    for command in [
        "FETCH 1 FLAGS",
        "EXPUNGE",
        "CLOSE",
        "SEARCH ALL",
        "UID FETCH 1 FLAGS",
    ] {
        let (_, tagged) = client.command(command)?;
        ensure!(!tagged.starts_with("OK"), "{command} without SELECT: {tagged}");
    }
    Ok(())
}
