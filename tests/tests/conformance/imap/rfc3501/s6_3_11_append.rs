//! Section 6.3.11: APPEND.

use crate::imap::{alice, append, fetched, flags, number_of, section, text};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(
    Imap: append_keeps_bytes_flags_and_date, append_to_nowhere_says_trycreate,
    append_to_the_selected_mailbox_shows,
);

/// Seconds since 1970 of an IMAP date-time.
fn seconds(text: &str) -> Result<i64> {
    let (date, rest) = text.trim().split_once(' ').context("no time")?;
    let (time, zone) = rest.split_once(' ').context("no zone")?;
    let mut date = date.split('-');
    let day: i64 = date.next().context("day")?.trim().parse()?;
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = i64::try_from(months.find(date.next().context("month")?).context("month")? / 3 + 1)?;
    let year: i64 = date.next().context("year")?.parse()?;
    let parts: Result<Vec<i64>, _> = time.split(':').map(str::parse).collect();
    let [hours, minutes, seconds] = parts?[..] else {
        anyhow::bail!("time {time}")
    };
    // Days from civil: March is the first month of the year, so that the leap day is the last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let number: i64 = zone.trim_start_matches(['+', '-']).parse()?;
    let offset = (number / 100 * 60 + number % 100) * 60;
    let offset = if zone.starts_with('-') { -offset } else { offset };
    Ok(days * 86_400 + hours * 3600 + minutes * 60 + seconds - offset)
}

fn append_keeps_bytes_flags_and_date(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let message = format!(
        "{}.\r\n..\r\n\ttab, {} \r\n\r\nno end of line",
        text("bytes"),
        "x".repeat(2000)
    );
    let date = "\" 1-Feb-2024 23:11:12 -0530\"";
    append(
        &mut client,
        &format!("INBOX (\\Seen \\Flagged \\Draft) {date}"),
        &message,
    )?;
    append(
        &mut client,
        "INBOX () \"29-Feb-2024 00:00:00 +0000\"",
        &text("two"),
    )?;
    append(&mut client, "INBOX", &text("three"))?;
    client.ok("SELECT INBOX")?;
    let untagged = client.ok("FETCH 1:3 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")?;
    let first = fetched(&untagged, 1)?;
    ensure!(flags(first)? == ["\\Draft", "\\Flagged", "\\Seen"], "{first}");
    ensure!(
        section(first, "BODY[]")? == message,
        "the message came back changed: {first}"
    );
    ensure!(
        first.contains(&format!("RFC822.SIZE {}", message.len())),
        "{first}"
    );
    let kept = section(first, "INTERNALDATE")?;
    ensure!(
        seconds(kept)? == seconds(date.trim_matches('"'))?,
        "{date} became {kept}"
    );
    let second = fetched(&untagged, 2)?;
    ensure!(flags(second)?.is_empty(), "{second}");
    let kept = section(second, "INTERNALDATE")?;
    ensure!(seconds(kept)? == seconds("29-Feb-2024 00:00:00 +0000")?, "{kept}");
    Ok(())
}

fn append_to_nowhere_says_trycreate(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    client.dialogue.send_line("a APPEND nowhere {5}")?;
    // The server may refuse at once, or after it has taken the message.
    let first = client.response()?;
    let tagged = if first.starts_with('+') {
        client.dialogue.send(b"abcde\r\n")?;
        client.until_tagged("a")?.1
    } else {
        first.strip_prefix("a ").context("not the reply")?.to_owned()
    };
    ensure!(tagged.starts_with("NO [TRYCREATE]"), "{tagged}");
    client.ok("NOOP")?;
    Ok(())
}

fn append_to_the_selected_mailbox_shows(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    client.ok("SELECT INBOX")?;
    for number in 1..=3 {
        append(&mut client, "INBOX", &text("more"))?;
        // At the latest with the next command; most servers tell it before the OK of APPEND.
        client.ok("NOOP")?;
        let untagged = client.ok("FETCH * (UID)")?;
        fetched(&untagged, number)?;
    }
    let selected = client.ok("SELECT INBOX")?;
    ensure!(number_of(&selected, "EXISTS") == Some(3), "{selected:?}");
    Ok(())
}
