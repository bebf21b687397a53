//! Section 2: the attributes in LIST, and section 3: CREATE-SPECIAL-USE, of servers that announce them.

use crate::imap::{alice, announces, listed};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: attributes_tell_the_use);

const USES: [&str; 7] = [
    "\\all",
    "\\archive",
    "\\drafts",
    "\\flagged",
    "\\junk",
    "\\sent",
    "\\trash",
];

fn attributes_tell_the_use(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    ensure!(
        announces(&mut client, "SPECIAL-USE")?,
        "SPECIAL-USE is not announced"
    );
    if announces(&mut client, "CREATE-SPECIAL-USE")? {
        let (_, tagged) = client.command("CREATE Letters (USE (\\Sent))")?;
        // A server may refuse a second mailbox of one use, and then makes none.
        ensure!(
            tagged.starts_with("OK") || tagged.starts_with("NO [USEATTR]"),
            "{tagged}"
        );
        let all = listed(&mut client, "LIST \"\" Letters")?;
        let expected = if tagged.starts_with("OK") { 1 } else { 0 };
        let made = all
            .iter()
            .filter(|(_, attributes)| attributes.contains("\\sent"))
            .count();
        ensure!(
            all.len() == expected && made == expected,
            "{tagged}, then {all:?}"
        );
        let (_, tagged) = client.command("CREATE Odd (USE (\\NoSuchUse))")?;
        ensure!(!tagged.starts_with("OK"), "{tagged}");
    }
    // Whoever asks for special mailboxes only gets no others (section 2, with LIST-EXTENDED's grammar).
    let special = listed(&mut client, "LIST (SPECIAL-USE) \"\" *")?;
    for (name, attributes) in &special {
        ensure!(
            USES.iter().any(|word| attributes.contains(word)),
            "{name} has {attributes}"
        );
    }
    Ok(())
}
