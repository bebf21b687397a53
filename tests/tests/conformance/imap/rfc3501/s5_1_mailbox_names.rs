//! Section 5.1: mailbox names.

use crate::imap::{alice, append, bad, names, number_of, text};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: inbox_has_no_case, names_are_in_modified_utf7);

fn inbox_has_no_case(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(&mut client, "inbox", &text("one"))?;
    for name in ["INBOX", "inbox", "InBoX", "\"Inbox\""] {
        let selected = client.ok(&format!("SELECT {name}"))?;
        ensure!(number_of(&selected, "EXISTS") == Some(1), "{name}: {selected:?}");
    }
    let listed = names(&mut client, "LIST \"\" inbox")?;
    ensure!(
        listed.len() == 1 && listed[0].eq_ignore_ascii_case("INBOX"),
        "{listed:?}"
    );
    Ok(())
}

fn names_are_in_modified_utf7(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    // "Entwürfe & mehr", and the example of section 5.1.3.
    for name in ["Entw&APw-rfe &- mehr", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"] {
        // Not every server has "/" as its delimiter or takes "~" at the start.
        let name = name.rsplit('/').next().unwrap_or(name);
        client.ok(&format!("CREATE \"{name}\""))?;
        ensure!(
            names(&mut client, &format!("LIST \"\" \"{name}\""))? == [name],
            "{name} is not listed as it was created"
        );
        client.ok(&format!("SELECT \"{name}\""))?;
    }
    // "&" begins a shift that never ends; the server need not take it but must go on.
    let (_, tagged) = client.command("CREATE \"a&b\"")?;
    ensure!(!tagged.is_empty());
    bad(&mut client, "CREATE")?;
    Ok(())
}
