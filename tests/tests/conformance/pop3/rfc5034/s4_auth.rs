//! Section 4: the AUTH command.

use crate::pop3::{err, ok};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Pop3: auth_plain);

/// `NUL alice NUL password` in base64.
fn plain(password: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("\0{}\0{password}", ALICE.address))
}

fn auth_plain(server: &Server) -> Result<()> {
    // With an initial response, right and wrong.
    let mut client = server.pop3()?;
    err(&mut client, &format!("AUTH PLAIN {}", plain("wrong")))?;
    ok(&mut client, &format!("AUTH PLAIN {}", plain(ALICE.password)))?;
    ok(&mut client, "STAT")?;
    // After a challenge; cancelled first.
    let mut client = server.pop3()?;
    let challenge = client.command("AUTH PLAIN")?;
    ensure!(
        challenge.starts_with('+') && !challenge.starts_with("+OK"),
        "{challenge}"
    );
    err(&mut client, "*")?;
    client.command("auth plain")?;
    ok(&mut client, &plain(ALICE.password))?;
    ok(&mut client, "STAT")?;
    let mut client = server.pop3()?;
    err(&mut client, "AUTH NO-SUCH-MECHANISM")?;
    Ok(())
}
