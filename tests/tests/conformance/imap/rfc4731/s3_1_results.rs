//! Section 3.1: result options.

use crate::imap::{ensure_announces, item, uids, with_messages};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};
use testkit::ImapClient;

against_both!(Imap: min_max_count_all);

fn esearch(client: &mut ImapClient, tag: &str, command: &str) -> Result<String> {
    client.dialogue.send_line(&format!("{tag} {command}"))?;
    let (untagged, tagged) = client.until_tagged(tag)?;
    ensure!(tagged.starts_with("OK"), "{command}: {tagged}");
    let line = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* ESEARCH"))
        .with_context(|| format!("{command}: {untagged:?}"))?;
    // The response names the command that it belongs to.
    let rest = line
        .trim_start()
        .strip_prefix(&format!("(TAG \"{tag}\")"))
        .with_context(|| format!("no tag in {line}"))?;
    Ok(rest.trim_start().to_owned())
}

fn min_max_count_all(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 6)?;
    ensure_announces(&mut client, "ESEARCH")?;
    client.ok("STORE 2,3,5 +FLAGS.SILENT (\\Flagged)")?;
    let found = esearch(&mut client, "e1", "SEARCH RETURN (MIN MAX COUNT ALL) FLAGGED")?;
    for (name, value) in [("MIN", "2"), ("MAX", "5"), ("COUNT", "3"), ("ALL", "2:3,5")] {
        let told = item(&found, name)?;
        ensure!(
            told == value || (name == "ALL" && told == "2,3,5"),
            "{name} {told} in {found}"
        );
    }
    ensure!(esearch(&mut client, "e2", "SEARCH RETURN () FLAGGED")?.starts_with("ALL "));
    ensure!(esearch(&mut client, "e3", "SEARCH RETURN (COUNT) SUBJECT subject")? == "COUNT 6");
    ensure!(esearch(&mut client, "e4", "SEARCH RETURN (MIN) UNFLAGGED")? == "MIN 1");
    // Nothing found: no MIN, no MAX, no ALL; COUNT is always told.
    let found = esearch(&mut client, "e5", "SEARCH RETURN (MIN MAX COUNT ALL) DELETED")?;
    ensure!(found == "COUNT 0", "{found}");
    let all = uids(&mut client)?;
    let found = esearch(&mut client, "e6", "UID SEARCH RETURN (MAX) FLAGGED")?;
    ensure!(found == format!("UID MAX {}", all[4]), "{found}");
    Ok(())
}
