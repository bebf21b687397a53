//! Section 6.1: CAPABILITY, NOOP, LOGOUT.

use crate::imap::{alice, append, ensure_announces, number_of, text};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: greeting_and_capability, noop_tells_of_new_mail, logout_says_bye_first);

fn greeting_and_capability(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    ensure!(client.greeting.starts_with("* OK"), "{}", client.greeting);
    ensure_announces(&mut client, "IMAP4rev1")?;
    // Section 6.1.1: LOGINDISABLED or a way in; section 6.2.2 makes PLAIN that way.
    ensure_announces(&mut client, "AUTH=PLAIN")?;
    let mut client = alice(server)?;
    ensure_announces(&mut client, "IMAP4rev1")
}

fn noop_tells_of_new_mail(server: &Server) -> Result<()> {
    let mut client = server.imap()?;
    client.ok("NOOP")?;
    let mut client = alice(server)?;
    client.ok("NOOP")?;
    client.ok("SELECT INBOX")?;
    let mut other = alice(server)?;
    append(&mut other, "INBOX", &text("new"))?;
    let untagged = client.ok("NOOP")?;
    ensure!(number_of(&untagged, "EXISTS") == Some(1), "{untagged:?}");
    Ok(())
}

fn logout_says_bye_first(server: &Server) -> Result<()> {
    for mut client in [server.imap()?, alice(server)?] {
        let untagged = client.ok("LOGOUT")?;
        ensure!(
            untagged.iter().any(|line| line.starts_with("* BYE")),
            "{untagged:?}"
        );
        ensure!(client.dialogue.is_closed(), "the connection stays open");
    }
    Ok(())
}
