//! Section 4.5.2: transparency.

use crate::smtp::smtp;
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Smtp: leading_dots_are_taken_off_once);

fn leading_dots_are_taken_off_once(server: &Server) -> Result<()> {
    let body = ".\r\n..\r\n...dots\r\n.end\r\n";
    let mut client = smtp(server)?;
    let message = format!("Subject: dots\r\n\r\n{body}");
    let (_, last) = client.deliver("erika@example.test", &[ALICE.address], message.as_bytes())?;
    ensure!(last.code == 250, "{last:?}");
    let found = server.messages(ALICE, 1)?;
    ensure!(
        found.len() == 1 && found[0].ends_with(&format!("\r\n\r\n{body}")),
        "{found:?}"
    );
    Ok(())
}
