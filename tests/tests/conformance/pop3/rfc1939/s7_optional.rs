//! Section 7: TOP and UIDL.

use crate::pop3::{alice, err, lines, ok, text};
use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};

against_both!(Pop3: top_gives_the_header_and_some_lines, uidl_is_stable_and_unique);

fn top_gives_the_header_and_some_lines(server: &Server) -> Result<()> {
    server.deliver(ALICE, &text("top", "one\r\n.two\r\nthree\r\n"))?;
    let mut client = alice(server)?;
    for (number, expected) in [
        (0, &[][..]),
        (2, &["one", ".two"]),
        (99, &["one", ".two", "three"]),
    ] {
        let found = lines(&mut client, &format!("TOP 1 {number}"))?;
        let end = found.iter().position(String::is_empty).context("no empty line")?;
        ensure!(found[..end].contains(&"Subject: top".to_owned()), "{found:?}");
        ensure!(found[end + 1..] == *expected, "TOP 1 {number}: {found:?}");
    }
    err(&mut client, "TOP 2 0")?;
    err(&mut client, "TOP 1 -1")?;
    Ok(())
}

fn uidl_is_stable_and_unique(server: &Server) -> Result<()> {
    for subject in ["one", "two", "two", "three"] {
        server.deliver(ALICE, &text(subject, "x\r\n"))?;
    }
    let mut client = alice(server)?;
    let first = lines(&mut client, "UIDL")?;
    let ids: Vec<String> = first
        .iter()
        .map(|line| {
            line.split_once(' ')
                .map(|(_, id)| id.to_owned())
                .unwrap_or_default()
        })
        .collect();
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    ensure!(distinct.len() == 4, "{first:?}");
    for id in &ids {
        // Section 7: 1 to 70 characters from 0x21 to 0x7E.
        ensure!(
            (1..=70).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "{id:?}"
        );
    }
    ensure!(ok(&mut client, "UIDL 2")? == format!("2 {}", ids[1]), "UIDL 2");
    ok(&mut client, "DELE 1")?;
    err(&mut client, "UIDL 1")?;
    ok(&mut client, "QUIT")?;
    let mut client = alice(server)?;
    let second = lines(&mut client, "UIDL")?;
    let expected: Vec<String> = (1..)
        .zip(&ids[1..])
        .map(|(number, id)| format!("{number} {id}"))
        .collect();
    ensure!(second == expected, "{second:?}, not {expected:?}");
    Ok(())
}
