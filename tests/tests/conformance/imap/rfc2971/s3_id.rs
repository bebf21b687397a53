//! Section 3: ID.

use crate::imap::{alice, ensure_announces};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: both_sides_may_tell_who_they_are);

fn both_sides_may_tell_who_they_are(server: &Server) -> Result<()> {
    for mut client in [server.imap()?, alice(server)?] {
        ensure_announces(&mut client, "ID")?;
        for arguments in [
            "NIL",
            "(\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" NIL)",
            "()",
        ] {
            let untagged = client.ok(&format!("ID {arguments}"))?;
            ensure!(
                untagged
                    .iter()
                    .any(|line| line.starts_with("* ID (") || line == "* ID NIL"),
                "ID {arguments}: {untagged:?}"
            );
        }
    }
    Ok(())
}
