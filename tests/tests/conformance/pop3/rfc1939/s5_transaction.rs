//! Section 5: the TRANSACTION state.

use crate::pop3::{alice, err, lines, ok, text};
use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};

against_both!(Pop3: stat_and_list_agree, dele_hides_and_rset_shows, retr_gives_the_message);

/// Number and octets of a line of LIST.
fn pair(line: &str) -> Result<(u32, usize)> {
    let mut words = line.split(' ');
    let mut next = || words.next().with_context(|| format!("two numbers: {line:?}"));
    Ok((next()?.parse()?, next()?.parse()?))
}

fn stat_and_list_agree(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    ensure!(pair(&ok(&mut client, "STAT")?)? == (0, 0), "an empty maildrop");
    ensure!(lines(&mut client, "LIST")?.is_empty(), "an empty maildrop");
    err(&mut client, "LIST 1")?;
    ok(&mut client, "QUIT")?;
    for number in 1..=3 {
        server.deliver(ALICE, &text("x", &"line\r\n".repeat(number)))?;
    }
    let mut client = alice(server)?;
    let (count, total) = pair(&ok(&mut client, "STAT")?)?;
    let listed = lines(&mut client, "LIST")?;
    let listed: Result<Vec<_>> = listed.iter().map(|line| pair(line)).collect();
    let listed = listed?;
    ensure!(
        count == 3 && listed.iter().map(|row| row.0).eq(1..=3),
        "{listed:?}"
    );
    ensure!(
        listed.iter().map(|row| row.1).sum::<usize>() == total,
        "{total}: {listed:?}"
    );
    ensure!(pair(&ok(&mut client, "LIST 2")?)? == listed[1], "LIST 2");
    err(&mut client, "LIST 4")?;
    err(&mut client, "LIST 0")?;
    Ok(())
}

fn retr_gives_the_message(server: &Server) -> Result<()> {
    let message = text("whole", &format!("one\r\n\r\n{}\r\nlast\r\n", "x".repeat(900)));
    server.deliver(ALICE, &message)?;
    let mut client = alice(server)?;
    let (_, size) = pair(&ok(&mut client, "LIST 1")?)?;
    let retrieved = lines(&mut client, "RETR 1")?;
    let retrieved: String = retrieved.iter().map(|line| format!("{line}\r\n")).collect();
    ensure!(retrieved.ends_with(&message), "{retrieved}");
    // Section 11: the size counts each line end as two octets.
    ensure!(
        size == retrieved.len(),
        "LIST says {size}, RETR gave {}",
        retrieved.len()
    );
    err(&mut client, "RETR 2")?;
    Ok(())
}

fn dele_hides_and_rset_shows(server: &Server) -> Result<()> {
    for number in 1..=3 {
        server.deliver(ALICE, &text(&number.to_string(), "x\r\n"))?;
    }
    let mut client = alice(server)?;
    ok(&mut client, "DELE 2")?;
    for command in ["DELE 2", "RETR 2", "LIST 2"] {
        err(&mut client, command)?;
    }
    ensure!(pair(&ok(&mut client, "STAT")?)?.0 == 2, "STAT after DELE");
    // The others keep their numbers.
    let listed = lines(&mut client, "LIST")?;
    ensure!(
        listed.len() == 2 && pair(&listed[0])?.0 == 1 && pair(&listed[1])?.0 == 3,
        "{listed:?}"
    );
    ok(&mut client, "RSET")?;
    ensure!(pair(&ok(&mut client, "STAT")?)?.0 == 3, "STAT after RSET");
    ok(&mut client, "RETR 2")?;
    Ok(())
}
