//! ENVELOPE and BODYSTRUCTURE of odd messages.

use super::{parse, rows};
use crate::codec::{Reader, Writer};
use model::{BodyStructure, EnvelopeAddress};
use proptest::prelude::*;

const NESTED: &[u8] = b"From: \"Doe, \\\"J\\\"\" <john@example.test>\r\n\
To: A Group: a@x.test, B <@relay.test:b@y.test>;,\r\n c@z.test (Cee (nested))\r\n\
Subject: =?utf-8?q?h=C3=A9?=\r\n folded\r\nMessage-ID: <1@x>\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n\
preamble\r\n--b1\r\n\r\nhello\r\nworld\r\n\
--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n\
--b2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>\r\n--b2--\r\n\
--b1 \r\nContent-Type: application/pdf; name=a b.pdf\r\nContent-Transfer-Encoding: base64 (x)\r\n\
Content-Disposition: attachment; filename=\"x\\\"y.pdf\"; size=3\r\nContent-Language: de, en\r\n\r\nAAAA\r\n\
--b1--\r\nepilogue\r\n";

fn address(name: Option<&str>, mailbox: Option<&str>, host: Option<&str>) -> EnvelopeAddress {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    EnvelopeAddress {
        name: bytes(name),
        mailbox: bytes(mailbox),
        host: bytes(host),
    }
}

#[test]
fn envelope_with_groups_and_comments() {
    let envelope = parse(NESTED).envelope;
    assert_eq!(
        envelope.from,
        [address(Some("Doe, \"J\""), Some("john"), Some("example.test"))]
    );
    assert_eq!(envelope.sender, envelope.from);
    assert_eq!(
        envelope.to,
        [
            address(None, Some("A Group"), None),
            address(None, Some("a"), Some("x.test")),
            address(Some("B"), Some("b"), Some("y.test")),
            address(None, None, None),
            address(Some("Cee (nested)"), Some("c"), Some("z.test")),
        ]
    );
    assert_eq!(
        envelope.subject.as_deref(),
        Some(&b"=?utf-8?q?h=C3=A9?= folded"[..])
    );
    assert_eq!(envelope.message_id.as_deref(), Some(&b"<1@x>"[..]));
    assert_eq!(envelope.date, None);
}

#[test]
fn positions_lead_to_the_parts() {
    let parsed = parse(NESTED);
    let content = |path: &[u32]| {
        let fields = parsed.body.part(path).expect("part").fields();
        &NESTED[fields.body as usize..fields.end as usize]
    };
    assert_eq!(content(&[1]), b"hello\r\nworld");
    assert_eq!(content(&[2, 1]), b"<p>");
    assert_eq!(content(&[3]), b"AAAA");
    assert!(NESTED[..parsed.header_len as usize].ends_with(b"b1\"\r\n\r\n"));
    let BodyStructure::Message { envelope, lines, .. } = parsed.body.part(&[2]).expect("part") else {
        panic!("not a message");
    };
    assert_eq!(envelope.subject.as_deref(), Some(&b"inner"[..]));
    assert_eq!(*lines, 7);
    let pdf = parsed.body.part(&[3]).expect("part").fields();
    assert_eq!(pdf.params, [(b"name".to_vec(), b"a b.pdf".to_vec())]);
    assert_eq!(pdf.encoding, b"base64");
    assert_eq!(pdf.language, [b"de".to_vec(), b"en".to_vec()]);
    let disposition = pdf.disposition.as_ref().expect("disposition");
    assert_eq!(disposition.params[0].1, b"x\"y.pdf");
    assert_eq!(parsed.body.part(&[4]), None);
}

#[test]
fn odd_messages() {
    for (bytes, header_len) in [
        (&b""[..], 0),
        (b"\r\n", 2),
        (b"no header at all", 16),
        (b"Subject: x\n\nbare LF", 12),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", 33),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x", 45),
        (b" starts folded\r\n\r\n", 18),
    ] {
        let parsed = parse(bytes);
        assert_eq!(parsed.header_len, header_len, "{bytes:?}");
        assert!(parsed.body.part(&[1]).is_some(), "{bytes:?}");
    }
}

#[test]
fn hostile_nesting_and_counts_are_bounded() {
    let mut deep = Vec::new();
    for level in 0..2000 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").as_bytes(),
        );
    }
    every_part(&parse(&deep).body, deep.len());
    let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for _ in 0..5000 {
        wide.extend_from_slice(b"--b\r\n\r\n");
    }
    let BodyStructure::Multipart { parts, .. } = parse(&wide).body else {
        panic!("not a multipart");
    };
    assert!(parts.len() < 1000);
    let messages = b"Content-Type: message/rfc822\r\n\r\n".repeat(2000);
    every_part(&parse(&messages).body, messages.len());
    let long = [&b"Subject: "[..], &vec![b'x'; 1 << 20]].concat();
    assert!(parse(&long).envelope.subject.expect("subject").len() <= 16 << 10);
    let many = [&b"To: "[..], &b"a@b.test,".repeat(5000)].concat();
    assert!(parse(&many).envelope.to.len() <= 1001);
}

// Common deep nesting is shown whole; what is deeper than the bound ends as a plain part.
#[test]
fn nesting_has_a_depth() {
    for (levels, shown) in [(30usize, 30usize), (64, 64), (65, 64), (500, 64)] {
        let mut message = String::new();
        for level in 0..levels {
            message.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=\"level {level}\"\r\n\r\n--level {level}\r\n"
            ));
        }
        message.push_str("\r\ndeep down\r\n");
        for level in (0..levels).rev() {
            message.push_str(&format!("--level {level}--\r\n"));
        }
        let (mut body, mut depth) = (parse(message.as_bytes()).body, 0);
        while let BodyStructure::Multipart { mut parts, .. } = body {
            body = parts.remove(0);
            depth += 1;
        }
        assert_eq!(depth, shown, "{levels}");
    }
}

fn every_part(body: &BodyStructure, len: usize) {
    let fields = body.fields();
    assert!(fields.header <= fields.body && fields.body <= fields.end && fields.end as usize <= len);
    match body {
        BodyStructure::Multipart { parts, .. } => {
            assert!(!parts.is_empty());
            parts.iter().for_each(|part| every_part(part, len));
        }
        BodyStructure::Message { body, .. } => every_part(body, len),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn mutated_messages_keep_their_promises(
        edits in proptest::collection::vec((0usize..900, any::<u8>()), 0..12),
        cut in 0usize..1200,
    ) {
        let mut message = NESTED.to_vec();
        for (at, byte) in edits {
            if let Some(slot) = message.get_mut(at) {
                *slot = byte;
            }
        }
        message.truncate(cut);
        let parsed = parse(&message);
        every_part(&parsed.body, message.len());
        let mut w = Writer::new(1);
        rows::write_envelope(&mut w, &parsed.envelope);
        rows::write_structure(&mut w, &parsed.body);
        let row = w.done();
        let mut r = Reader::new(&row, "test", 1).expect("version");
        prop_assert_eq!(rows::read_envelope(&mut r).expect("envelope"), parsed.envelope);
        prop_assert_eq!(rows::read_structure(&mut r).expect("structure"), parsed.body);
        prop_assert!(r.end().is_ok());
    }

    #[test]
    fn damaged_rows_never_panic(at in 0usize..600, byte: u8, cut in 0usize..700) {
        let parsed = parse(NESTED);
        let mut w = Writer::new(1);
        rows::write_envelope(&mut w, &parsed.envelope);
        rows::write_structure(&mut w, &parsed.body);
        let mut row = w.done().to_vec();
        if let Some(slot) = row.get_mut(at) {
            *slot = byte;
        }
        row.truncate(cut);
        if let Ok(mut r) = Reader::new(&row, "test", 1)
            && rows::read_envelope(&mut r).is_ok()
        {
            let _ = rows::read_structure(&mut r);
        }
    }
}

fn addresses(body: &BodyStructure) -> usize {
    match body {
        BodyStructure::Multipart { parts, .. } => parts.iter().map(addresses).sum(),
        BodyStructure::Message { envelope, body, .. } => {
            let lists = [
                &envelope.from,
                &envelope.sender,
                &envelope.reply_to,
                &envelope.to,
                &envelope.cc,
                &envelope.bcc,
            ];
            lists.iter().map(|list| list.len()).sum::<usize>() + addresses(body)
        }
        BodyStructure::Text { .. } | BodyStructure::Basic { .. } => 0,
    }
}

#[test]
fn a_digest_of_long_address_lists_takes_no_more_memory_than_it_is_long() {
    let list = "a,".repeat(1000);
    let part = format!(
        "--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: {list}\r\nTo: {list}\r\nCc: {list}\r\n\r\nx\r\n"
    );
    let message = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}--x--\r\n",
        part.repeat(300)
    );
    let parsed = parse(message.as_bytes());
    assert!(addresses(&parsed.body) < 50_000, "{}", addresses(&parsed.body));
    // An honest digest is far below the limit.
    let part =
        "--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@example.test\r\nTo: b@example.test\r\n\r\nx\r\n";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}--x--\r\n",
        part.repeat(450)
    );
    assert_eq!(addresses(&parse(message.as_bytes()).body), 450 * 4);
}

#[test]
fn header_values_of_parts_are_kept_up_to_a_limit() {
    let part = format!("--x\r\nContent-Description: {}\r\n\r\nx\r\n", "d".repeat(15_000));
    let message = format!(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n{}--x--\r\n",
        part.repeat(900)
    );
    let mut row = crate::codec::Writer::new(1);
    rows::write_structure(&mut row, &parse(message.as_bytes()).body);
    assert!(row.done().len() < 2 << 20);
}
