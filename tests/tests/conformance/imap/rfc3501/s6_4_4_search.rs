//! Section 6.4.4: SEARCH.

use crate::imap::{alice, append, no, search, uids, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: keys_of_flags_and_numbers, keys_of_text, keys_of_dates_and_sizes, charsets);

fn check(client: &mut testkit::ImapClient, table: &[(&str, &[u32])]) -> Result<()> {
    for (keys, expected) in table {
        let found = search(client, &format!("SEARCH {keys}"))?;
        ensure!(found == *expected, "SEARCH {keys}: {found:?}, not {expected:?}");
    }
    Ok(())
}

fn keys_of_flags_and_numbers(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 5)?;
    for (number, flag) in [
        (1, "\\Seen"),
        (2, "\\Answered"),
        (3, "\\Flagged"),
        (4, "\\Draft"),
        (5, "\\Deleted"),
        (2, "\\Seen"),
        (3, "$Work"),
    ] {
        client.ok(&format!("STORE {number} +FLAGS.SILENT ({flag})"))?;
    }
    check(
        &mut client,
        &[
            ("ALL", &[1, 2, 3, 4, 5]),
            ("SEEN", &[1, 2]),
            ("UNSEEN", &[3, 4, 5]),
            ("ANSWERED", &[2]),
            ("UNANSWERED", &[1, 3, 4, 5]),
            ("FLAGGED", &[3]),
            ("UNFLAGGED", &[1, 2, 4, 5]),
            ("DRAFT", &[4]),
            ("UNDRAFT", &[1, 2, 3, 5]),
            ("DELETED", &[5]),
            ("UNDELETED", &[1, 2, 3, 4]),
            ("KEYWORD $Work", &[3]),
            ("UNKEYWORD $work", &[1, 2, 4, 5]),
            ("KEYWORD never-used", &[]),
            ("SEEN ANSWERED", &[2]),
            ("OR SEEN FLAGGED", &[1, 2, 3]),
            ("NOT OR SEEN FLAGGED", &[4, 5]),
            ("NOT (SEEN ANSWERED)", &[1, 3, 4, 5]),
            ("(OR (SEEN) (NOT DRAFT)) UNANSWERED", &[1, 3, 5]),
            ("2:4", &[2, 3, 4]),
            ("4:2", &[2, 3, 4]),
            ("*", &[5]),
            ("*:4", &[4, 5]),
            ("1,3:4 UNSEEN", &[3, 4]),
        ],
    )?;
    let all = uids(&mut client)?;
    check(&mut client, &[(&format!("UID {}:*", all[3]), &[4, 5])])?;
    ensure!(
        search(&mut client, "UID SEARCH FLAGGED")? == [all[2]],
        "UID SEARCH"
    );
    ensure!(
        search(&mut client, "uid search 2:3 unseen")? == [all[2]],
        "UID SEARCH"
    );
    Ok(())
}

fn keys_of_text(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(
        &mut client,
        "INBOX",
        "From: Erika Muster <erika@example.test>\r\nTo: alice@example.test\r\nCc: Carol <carol@example.test>\r\n\
         Subject: Quarterly figures\r\nX-Origin: here\r\n\r\nThe needle is in the body.\r\n",
    )?;
    append(
        &mut client,
        "INBOX",
        "From: frank@example.test\r\nTo: team@example.test\r\nBcc: hidden@example.test\r\n\
         Subject: Lunch\r\nX-Origin:\r\n\r\nNothing about figures but the NEEDLEWORK.\r\n",
    )?;
    append(&mut client, "INBOX", "Subject: third\r\n\r\nerika\r\n")?;
    client.ok("SELECT INBOX")?;
    check(
        &mut client,
        &[
            ("FROM erika", &[1]),
            ("FROM MUSTER", &[1]),
            ("FROM \"frank@example\"", &[2]),
            ("TO example.test", &[1, 2]),
            ("CC carol", &[1]),
            ("BCC hidden", &[2]),
            ("SUBJECT figures", &[1]),
            ("SUBJECT \"LY FIG\"", &[1]),
            ("BODY needle", &[1, 2]),
            ("BODY erika", &[3]),
            ("TEXT erika", &[1, 3]),
            ("TEXT figures", &[1, 2]),
            ("HEADER X-Origin here", &[1]),
            ("HEADER x-origin \"\"", &[1, 2]),
            ("HEADER X-Absent \"\"", &[]),
            ("NOT SUBJECT figures BODY needle", &[2]),
        ],
    )
}

fn keys_of_dates_and_sizes(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    for (received, sent, size) in [
        ("10-Jan-2024 12:00:00 +0000", "Mon, 1 Jan 2024 12:00:00 +0000", 10),
        (
            "20-Jan-2024 12:00:00 +0000",
            "Fri, 5 Jan 2024 23:30:00 -0800",
            5000,
        ),
        (
            "30-Jan-2024 12:00:00 +0000",
            "Wed, 10 Jan 2024 12:00:00 +0000",
            50_000,
        ),
    ] {
        let message = format!("Date: {sent}\r\nSubject: x\r\n\r\n{}\r\n", "a".repeat(size));
        append(&mut client, &format!("INBOX \"{received}\""), &message)?;
    }
    client.ok("SELECT INBOX")?;
    check(
        &mut client,
        &[
            ("SINCE 20-Jan-2024", &[2, 3]),
            ("BEFORE 20-Jan-2024", &[1]),
            ("ON 20-Jan-2024", &[2]),
            ("ON \"20-Jan-2024\"", &[2]),
            ("SINCE 11-Jan-2024 BEFORE 30-Jan-2024", &[2]),
            ("SENTSINCE 5-Jan-2024", &[2, 3]),
            ("SENTBEFORE 5-Jan-2024", &[1]),
            // The date as it is written, whatever the zone.
            ("SENTON 5-Jan-2024", &[2]),
            ("LARGER 1000", &[2, 3]),
            ("SMALLER 1000", &[1]),
            ("LARGER 1000 SMALLER 10000", &[2]),
        ],
    )
}

fn charsets(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(
        &mut client,
        "INBOX",
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nsch=F6n\r\n",
    )?;
    client.ok("SELECT INBOX")?;
    for (key, word) in [("SUBJECT", "Grüße"), ("BODY", "schön"), ("TEXT", "GRÜ")] {
        client
            .dialogue
            .send_line(&format!("a SEARCH CHARSET UTF-8 {key} {{{}}}", word.len()))?;
        let go_on = client.response()?;
        ensure!(go_on.starts_with('+'), "{go_on}");
        client.dialogue.send_line(word)?;
        let (untagged, tagged) = client.until_tagged("a")?;
        ensure!(tagged.starts_with("OK"), "{tagged}");
        ensure!(
            untagged.iter().any(|line| line.trim_end() == "* SEARCH 1"),
            "{key} {word}: {untagged:?}"
        );
    }
    check(&mut client, &[("CHARSET US-ASCII ALL", &[1])])?;
    no(&mut client, "SEARCH CHARSET no-such-charset SUBJECT x")?;
    Ok(())
}
