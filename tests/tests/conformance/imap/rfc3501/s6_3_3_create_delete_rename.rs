//! Sections 6.3.3 to 6.3.5: CREATE, DELETE, RENAME.

use crate::imap::{alice, append, code_number, delimiter, names, no, number_of, text};
use crate::subject::Server;
use anyhow::{Result, ensure};
use testkit::ImapClient;

against_both!(
    Imap: create_makes_mailboxes, delete_keeps_what_is_below, a_recreated_mailbox_is_another_one,
    rename_takes_what_is_below_along, rename_of_inbox_leaves_it_empty,
);

fn count(client: &mut ImapClient, mailbox: &str) -> Result<Option<u32>> {
    Ok(number_of(&client.ok(&format!("EXAMINE {mailbox}"))?, "EXISTS"))
}

fn create_makes_mailboxes(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let d = delimiter(&mut client)?;
    client.ok("CREATE work")?;
    no(&mut client, "CREATE work")?;
    client.ok("SELECT INBOX")?;
    no(&mut client, "CREATE INBOX")?;
    no(&mut client, "CREATE inbox")?;
    // A name that ends in the delimiter announces mailboxes below it.
    client.ok(&format!("CREATE box{d}"))?;
    client.ok(&format!("CREATE box{d}inner"))?;
    // The names above are made as well, or at least listed.
    client.ok(&format!("CREATE a{d}b{d}c"))?;
    let listed = names(&mut client, "LIST \"\" *")?;
    for name in [
        "work".to_owned(),
        "box".to_owned(),
        format!("box{d}inner"),
        format!("a{d}b{d}c"),
    ] {
        ensure!(listed.contains(&name), "{name} is not in {listed:?}");
    }
    client.ok(&format!("SELECT a{d}b{d}c"))?;
    Ok(())
}

fn delete_keeps_what_is_below(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let d = delimiter(&mut client)?;
    no(&mut client, "DELETE INBOX")?;
    no(&mut client, "DELETE nowhere")?;
    client.ok("CREATE top")?;
    client.ok(&format!("CREATE top{d}below"))?;
    append(&mut client, &format!("top{d}below"), &text("kept"))?;
    client.ok("DELETE top")?;
    ensure!(
        count(&mut client, &format!("top{d}below"))? == Some(1),
        "the mailbox below lost its mail"
    );
    // What is left of "top" is at most a name that cannot be selected.
    no(&mut client, "SELECT top")?;
    client.ok(&format!("DELETE top{d}below"))?;
    no(&mut client, &format!("SELECT top{d}below"))?;
    Ok(())
}

fn a_recreated_mailbox_is_another_one(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let mut seen = Vec::new();
    for round in 0..3 {
        client.ok("CREATE again")?;
        append(&mut client, "again", &text("x"))?;
        let selected = client.ok("SELECT again")?;
        let validity = code_number(&selected, "UIDVALIDITY")?;
        let uid = *crate::imap::uids(&mut client)?.first().unwrap_or(&0);
        ensure!(
            !seen.contains(&(validity, uid)),
            "round {round}: UIDVALIDITY {validity} and UID {uid} meant another message before"
        );
        seen.push((validity, uid));
        client.ok("CLOSE")?;
        client.ok("DELETE again")?;
    }
    Ok(())
}

fn rename_takes_what_is_below_along(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let d = delimiter(&mut client)?;
    client.ok("CREATE old")?;
    client.ok(&format!("CREATE old{d}below"))?;
    client.ok("CREATE other")?;
    client.ok("CREATE older")?;
    append(&mut client, "old", &text("one"))?;
    append(&mut client, &format!("old{d}below"), &text("two"))?;
    no(&mut client, "RENAME old other")?;
    no(&mut client, "RENAME nowhere elsewhere")?;
    client.ok("RENAME old new")?;
    ensure!(count(&mut client, "new")? == Some(1), "new");
    ensure!(
        count(&mut client, &format!("new{d}below"))? == Some(1),
        "new{d}below"
    );
    no(&mut client, "SELECT old")?;
    no(&mut client, &format!("SELECT old{d}below"))?;
    // "older" only begins with the same letters.
    ensure!(count(&mut client, "older")? == Some(0), "older");
    // The names above the new one are made where they are missing.
    client.ok(&format!("RENAME new deep{d}er"))?;
    ensure!(
        count(&mut client, &format!("deep{d}er{d}below"))? == Some(1),
        "deep{d}er{d}below"
    );
    Ok(())
}

fn rename_of_inbox_leaves_it_empty(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(&mut client, "INBOX", &text("one"))?;
    let (_, tagged) = client.command("RENAME INBOX archive")?;
    if tagged.starts_with("OK") {
        ensure!(
            count(&mut client, "archive")? == Some(1),
            "the mail is not in archive"
        );
        ensure!(count(&mut client, "INBOX")? == Some(0), "INBOX is not empty");
    } else {
        // Some servers refuse (RFC 9051 section 6.3.6 says so); then nothing may have moved.
        ensure!(tagged.starts_with("NO"), "{tagged}");
        ensure!(count(&mut client, "INBOX")? == Some(1), "INBOX lost its mail");
    }
    Ok(())
}
