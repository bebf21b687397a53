//! Section 6.4.5: FETCH, and section 7.4.2: its response.

use crate::imap::{alice, append, fetched, flags, item, section, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(
    Imap: macros_name_their_items, envelope_in_full, bodystructure_of_a_multipart, sections,
    sections_of_an_enclosed_message, partial_fetches, only_body_without_peek_marks_seen,
);

/// A multipart/mixed with an attachment and an enclosed message.
const MIXED: &str = "From: Erika Muster <erika@example.test>\r\n\
    To: alice@example.test, \"Bob, B.\" <bob@example.test>\r\n\
    Cc: carol@example.test\r\n\
    Date: Mon, 1 Jan 2024 12:00:00 +0100\r\n\
    Subject: parts\r\n\
    Message-ID: <1@example.test>\r\n\
    In-Reply-To: <0@example.test>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"b\"\r\n\
    \r\n\
    preamble\r\n\
    --b\r\n\
    Content-Type: text/plain; charset=us-ascii\r\n\
    \r\n\
    one\r\ntwo\r\n\
    --b\r\n\
    Content-Type: application/octet-stream; name=\"data.bin\"\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=\"data.bin\"\r\n\
    Content-ID: <cid@example.test>\r\n\
    \r\n\
    AAECAw==\r\n\
    --b\r\n\
    Content-Type: message/rfc822\r\n\
    \r\n\
    Subject: enclosed\r\n\
    Content-Type: multipart/alternative; boundary=\"i\"\r\n\
    \r\n\
    --i\r\n\
    \r\n\
    inner text\r\n\
    --i\r\n\
    Content-Type: text/html\r\n\
    \r\n\
    <p>inner</p>\r\n\
    --i--\r\n\
    --b--\r\n";

fn with_mixed(server: &Server) -> Result<testkit::ImapClient> {
    let mut client = alice(server)?;
    append(&mut client, "INBOX", MIXED)?;
    client.ok("SELECT INBOX")?;
    Ok(client)
}

fn macros_name_their_items(server: &Server) -> Result<()> {
    let mut client = with_mixed(server)?;
    for (name, present, absent) in [
        (
            "FAST",
            &["FLAGS (", "INTERNALDATE \"", "RFC822.SIZE "][..],
            &["ENVELOPE", "BODY"][..],
        ),
        (
            "ALL",
            &["FLAGS (", "INTERNALDATE \"", "RFC822.SIZE ", "ENVELOPE ("],
            &["BODY"],
        ),
        (
            "FULL",
            &[
                "FLAGS (",
                "INTERNALDATE \"",
                "RFC822.SIZE ",
                "ENVELOPE (",
                "BODY (",
            ],
            &["UID "],
        ),
        ("(UID)", &["UID "], &["FLAGS"]),
    ] {
        let untagged = client.ok(&format!("FETCH 1 {name}"))?;
        let fetch = fetched(&untagged, 1)?;
        for word in present {
            ensure!(fetch.contains(word), "{name}: no {word} in {fetch}");
        }
        for word in absent {
            ensure!(!fetch.contains(word), "{name}: {word} in {fetch}");
        }
    }
    let untagged = client.ok("FETCH 1 RFC822.SIZE")?;
    ensure!(
        item(fetched(&untagged, 1)?, "RFC822.SIZE")? == MIXED.len().to_string(),
        "{untagged:?}"
    );
    Ok(())
}

fn envelope_in_full(server: &Server) -> Result<()> {
    let mut client = with_mixed(server)?;
    let untagged = client.ok("FETCH 1 ENVELOPE")?;
    let erika = "((\"Erika Muster\" NIL \"erika\" \"example.test\"))";
    // Sender and Reply-To are From where the message has none.
    let expected = format!(
        "(ENVELOPE (\"Mon, 1 Jan 2024 12:00:00 +0100\" \"parts\" {erika} {erika} {erika} \
         ((NIL NIL \"alice\" \"example.test\")(\"Bob, B.\" NIL \"bob\" \"example.test\")) \
         ((NIL NIL \"carol\" \"example.test\")) NIL \"<0@example.test>\" \"<1@example.test>\"))"
    );
    let fetch = fetched(&untagged, 1)?;
    ensure!(fetch == expected, "{fetch}\nis not\n{expected}");
    append(&mut client, "INBOX", "\r\nno header at all\r\n")?;
    client.ok("NOOP")?;
    let untagged = client.ok("FETCH 2 ENVELOPE")?;
    let fetch = fetched(&untagged, 2)?;
    ensure!(
        fetch == "(ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))",
        "{fetch}"
    );
    Ok(())
}

fn bodystructure_of_a_multipart(server: &Server) -> Result<()> {
    let mut client = with_mixed(server)?;
    let untagged = client.ok("FETCH 1 BODY")?;
    let enclosed = "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 163 \
        (NIL \"enclosed\" NIL NIL NIL NIL NIL NIL NIL NIL) \
        ((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 1)\
        (\"text\" \"html\" NIL NIL NIL \"7bit\" 12 1) \"alternative\") 10)";
    let fetch = fetched(&untagged, 1)?.to_ascii_lowercase();
    // Names are case-insensitive, and a part without charset may be told with or without the default.
    let fetch = fetch
        .replace("\"html\" (\"charset\" \"us-ascii\")", "\"html\" NIL")
        .replace("\"plain\" nil", "\"plain\" (\"charset\" \"us-ascii\")")
        .to_ascii_lowercase();
    for part in [
        "(body ((\"text\" \"plain\" (\"charset\" \"us-ascii\") nil nil \"7bit\" 8 ",
        "(\"application\" \"octet-stream\" (\"name\" \"data.bin\") \"<cid@example.test>\" nil \"base64\" 8)",
        "(\"message\" \"rfc822\" nil nil nil \"7bit\" ",
        " (nil \"enclosed\" nil nil nil nil nil nil nil nil) ",
        " \"alternative\")",
        " \"mixed\"))",
    ] {
        ensure!(
            fetch.contains(part),
            "{part} is not in {fetch}; expected about {enclosed}"
        );
    }
    let untagged = client.ok("FETCH 1 BODYSTRUCTURE")?;
    let fetch = fetched(&untagged, 1)?.to_ascii_lowercase();
    for part in [
        "\"mixed\" (\"boundary\" \"b\")",
        "(\"attachment\" (\"filename\" \"data.bin\"))",
        "\"alternative\" (\"boundary\" \"i\")",
    ] {
        ensure!(fetch.contains(part), "{part} is not in {fetch}");
    }
    ensure!(
        fetch.matches('(').count() == fetch.matches(')').count(),
        "unbalanced: {fetch}"
    );
    Ok(())
}

fn sections(server: &Server) -> Result<()> {
    let mut client = with_mixed(server)?;
    let (header, text) = MIXED.split_at(MIXED.find("\r\n\r\n").unwrap_or(0) + 4);
    for (name, expected) in [
        ("BODY[]", MIXED),
        ("BODY[HEADER]", header),
        ("BODY[TEXT]", text),
        ("BODY[1]", "one\r\ntwo"),
        (
            "BODY[1.MIME]",
            "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
        ),
        ("BODY[2]", "AAECAw=="),
        (
            "BODY[HEADER.FIELDS (SUBJECT CC)]",
            "Cc: carol@example.test\r\nSubject: parts\r\n\r\n",
        ),
        ("BODY[HEADER.FIELDS (X-Absent)]", "\r\n"),
        (
            "BODY[HEADER.FIELDS.NOT (From To Cc Date Message-ID In-Reply-To MIME-Version Content-Type)]",
            "Subject: parts\r\n\r\n",
        ),
    ] {
        let untagged = client.ok(&format!("FETCH 1 {}", name.replacen("BODY[", "BODY.PEEK[", 1)))?;
        let fetch = fetched(&untagged, 1)?;
        // The name is repeated as it was asked for, but for the case and quoting of field names.
        let told = fetch
            .find(']')
            .and_then(|end| fetch.get(1..=end))
            .unwrap_or_default();
        ensure!(
            told.replace('"', "").eq_ignore_ascii_case(name),
            "{name} was answered as {told}"
        );
        let found = section(fetch, told)?;
        ensure!(found == expected, "{name}: {found:?}, not {expected:?}");
    }
    for (name, expected) in [
        ("RFC822.HEADER", header),
        ("RFC822.TEXT", text),
        ("RFC822", MIXED),
    ] {
        let untagged = client.ok(&format!("FETCH 1 {name}"))?;
        let found = section(fetched(&untagged, 1)?, name)?;
        ensure!(found == expected, "{name}: {found:?}");
    }
    Ok(())
}

fn sections_of_an_enclosed_message(server: &Server) -> Result<()> {
    let mut client = with_mixed(server)?;
    for (name, expected) in [
        ("BODY[3.HEADER.FIELDS (Subject)]", "Subject: enclosed\r\n\r\n"),
        ("BODY[3.1]", "inner text"),
        ("BODY[3.2]", "<p>inner</p>"),
        ("BODY[3.2.MIME]", "Content-Type: text/html\r\n\r\n"),
        ("BODY[3.MIME]", "Content-Type: message/rfc822\r\n\r\n"),
    ] {
        let untagged = client.ok(&format!("FETCH 1 {}", name.replacen("BODY[", "BODY.PEEK[", 1)))?;
        let fetch = fetched(&untagged, 1)?;
        let told = fetch
            .find(']')
            .and_then(|end| fetch.get(1..=end))
            .unwrap_or_default();
        let found = section(fetch, told)?;
        ensure!(found == expected, "{name}: {found:?}, not {expected:?}");
    }
    // A message that is no multipart has one part.
    append(&mut client, "INBOX", "Subject: single\r\n\r\nonly\r\n")?;
    client.ok("NOOP")?;
    let untagged = client.ok("FETCH 2 (BODY.PEEK[1])")?;
    ensure!(
        section(fetched(&untagged, 2)?, "BODY[1]")? == "only\r\n",
        "{untagged:?}"
    );
    Ok(())
}

fn partial_fetches(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    append(&mut client, "INBOX", "Subject: x\r\n\r\n0123456789")?;
    client.ok("SELECT INBOX")?;
    for (asked, told, expected) in [
        ("BODY.PEEK[TEXT]<0.4>", "BODY[TEXT]<0>", "0123"),
        ("BODY.PEEK[TEXT]<4.3>", "BODY[TEXT]<4>", "456"),
        ("BODY.PEEK[TEXT]<8.100>", "BODY[TEXT]<8>", "89"),
        ("BODY.PEEK[TEXT]<100.5>", "BODY[TEXT]<100>", ""),
        ("BODY.PEEK[]<0.7>", "BODY[]<0>", "Subject"),
    ] {
        let untagged = client.ok(&format!("FETCH 1 {asked}"))?;
        let found = section(fetched(&untagged, 1)?, told)?;
        ensure!(found == expected, "{asked}: {found:?}");
    }
    Ok(())
}

fn only_body_without_peek_marks_seen(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 1)?;
    for item in [
        "BODY.PEEK[]",
        "ENVELOPE",
        "BODYSTRUCTURE",
        "RFC822.HEADER",
        "BODY.PEEK[TEXT]<0.1>",
    ] {
        client.ok(&format!("FETCH 1 {item}"))?;
    }
    let untagged = client.ok("FETCH 1 (FLAGS)")?;
    ensure!(flags(fetched(&untagged, 1)?)?.is_empty(), "{untagged:?}");
    for item in [
        "BODY[]",
        "BODY[TEXT]<0.1>",
        "RFC822",
        "RFC822.TEXT",
        "BODY[HEADER]",
    ] {
        client.ok("STORE 1 FLAGS ()")?;
        client.ok(&format!("FETCH 1 {item}"))?;
        let untagged = client.ok("FETCH 1 (FLAGS)")?;
        ensure!(
            flags(fetched(&untagged, 1)?)? == ["\\Seen"],
            "{item}: {untagged:?}"
        );
    }
    Ok(())
}
