//! Section 3: the initial response.

use crate::imap::ensure_announces;
use crate::imap::rfc3501::plain;
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Imap: an_initial_response_saves_a_round_trip);

fn an_initial_response_saves_a_round_trip(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    ensure_announces(&mut client, "SASL-IR")?;
    let (_, tagged) = client.command(&format!("AUTHENTICATE PLAIN {}", plain("wrong")))?;
    ensure!(tagged.starts_with("NO"), "{tagged}");
    let (_, tagged) = client.command(&format!("AUTHENTICATE PLAIN {}", plain(ALICE.password)))?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    client.ok("SELECT INBOX")?;
    Ok(())
}
