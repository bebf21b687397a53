//! Section 5: NAMESPACE.

use crate::imap::{alice, delimiter, ensure_announces};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(Imap: the_personal_namespace_has_the_delimiter);

fn the_personal_namespace_has_the_delimiter(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    ensure_announces(&mut client, "NAMESPACE")?;
    let d = delimiter(&mut client)?;
    let untagged = client.ok("NAMESPACE")?;
    let line = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* NAMESPACE "))
        .context("no NAMESPACE response")?;
    ensure!(line.starts_with(&format!("((\"\" \"{d}\")")), "{line}");
    Ok(())
}
