//! Section 6.3.8: LIST.

use crate::imap::{alice, delimiter, listed, names};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: wildcards_and_references, the_root_tells_the_delimiter);

fn wildcards_and_references(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let d = delimiter(&mut client)?;
    for name in [
        "la".to_owned(),
        format!("la{d}x"),
        format!("la{d}x{d}y"),
        "lb".to_owned(),
    ] {
        client.ok(&format!("CREATE {name}"))?;
    }
    let (ax, axy) = (format!("la{d}x"), format!("la{d}x{d}y"));
    for (arguments, expected) in [
        ("\"\" l%".to_owned(), vec!["la", "lb"]),
        ("\"\" l*".to_owned(), vec!["la", &ax, &axy, "lb"]),
        (format!("\"\" la{d}%"), vec![ax.as_str()]),
        (format!("\"\" la{d}*"), vec![ax.as_str(), &axy]),
        ("\"\" \"la*y\"".to_owned(), vec![axy.as_str()]),
        (format!("\"\" la{d}%{d}%"), vec![axy.as_str()]),
        (format!("la{d} %"), vec![ax.as_str()]),
        (format!("la{d}x {d}y"), vec![axy.as_str()]),
        ("\"\" lz*".to_owned(), vec![]),
    ] {
        let mut found = names(&mut client, &format!("LIST {arguments}"))?;
        // Where a reference and a pattern both bear a delimiter, servers may read the pattern as absolute.
        if arguments.starts_with(&format!("la{d}x ")) && found.is_empty() {
            found = vec![axy.clone()];
        }
        ensure!(found == expected, "LIST {arguments}: {found:?}, not {expected:?}");
    }
    let all = listed(&mut client, "LIST \"\" *")?;
    ensure!(
        all.iter()
            .any(|(name, attributes)| name == "INBOX" && !attributes.contains("\\noselect")),
        "{all:?}"
    );
    Ok(())
}

fn the_root_tells_the_delimiter(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let root = listed(&mut client, "LIST \"\" \"\"")?;
    ensure!(root.len() == 1, "{root:?}");
    ensure!(
        root.iter()
            .all(|(_, attributes)| attributes.contains("\\noselect")),
        "{root:?}"
    );
    Ok(())
}
