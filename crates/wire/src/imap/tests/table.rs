//! One table a section: what is read, and that it is written back in its plain form.

use super::super::*;
use super::parse;
use model::{BodyFields, BodyStructure, Disposition, Envelope, EnvelopeAddress, Flags, SystemFlag};

/// The plain form of a command, or what is wrong with it.
fn plain(text: &str) -> Result<String, String> {
    parse(format!("{text}\r\n").as_bytes())
        .map(|command| {
            let bytes = command.to_bytes(Literals::NonSynchronizing).concat();
            String::from_utf8_lossy(&bytes).trim_end().to_owned()
        })
        .map_err(|error| error.problem.to_string())
}

fn accepts(table: &[(&str, &str)]) {
    for (text, want) in table {
        assert_eq!(plain(text), Ok((*want).to_owned()), "{text}");
    }
}

fn refuses(table: &[&str]) {
    for text in table {
        assert!(plain(text).is_err(), "{text}: {:?}", plain(text));
    }
}

// RFC 3501 sections 6.1 and 6.2, RFC 2971, RFC 4959.
#[test]
fn before_login() {
    accepts(&[
        ("a capability", "a CAPABILITY"),
        ("A.1 NOOP ", "A.1 NOOP"),
        ("]x LOGOUT", "]x LOGOUT"),
        ("a ID NIL", "a ID NIL"),
        (
            "a ID (\"name\" \"x\" \"os\" NIL)",
            "a ID (\"name\" \"x\" \"os\" NIL)",
        ),
        ("a ID ()", "a ID NIL"),
        ("a starttls", "a STARTTLS"),
        ("a login joe pw", "a LOGIN \"joe\" \"pw\""),
        (
            "a LOGIN {3}\r\njoe \"p\\\"w\\\\\"",
            "a LOGIN \"joe\" \"p\\\"w\\\\\"",
        ),
        ("a LOGIN {3+}\r\njoe {2+}\r\npw", "a LOGIN \"joe\" \"pw\""),
        ("a LOGIN joe {0}\r\n", "a LOGIN \"joe\" \"\""),
        ("a authenticate plain", "a AUTHENTICATE PLAIN"),
        (
            "a xendsession \"0123456789abcdef\" kicked",
            "a XENDSESSION 0123456789abcdef kicked",
        ),
        ("a AUTHENTICATE PLAIN =", "a AUTHENTICATE PLAIN ="),
        (
            "a AUTHENTICATE PLAIN AGpvZQBwdw==",
            "a AUTHENTICATE PLAIN AGpvZQBwdw==",
        ),
    ]);
    refuses(&[
        "",
        "a",
        "a ",
        "+ NOOP",
        "a+b NOOP",
        "* NOOP",
        "a NOOP x",
        "a LOGIN joe",
        "a LOGIN joe pw x",
        "a LOGIN joe \"pw",
        "a LOGIN joe \"p\\w\"",
        "a LOGIN (joe) pw",
        "a AUTHENTICATE PLAIN ***",
        "a XENDSESSION",
        "a XENDSESSION 0123456789abcdef",
        "a XENDSESSION 0123456789abcdef kicked twice",
        "a AUTHENTICATE",
        "a ID",
        "a ID (\"x\")",
        "a FROBNICATE",
        "a UID NOOP",
        " NOOP",
    ]);
}

#[test]
fn errors_keep_the_tag() {
    let error = parse(b"a7 LOGIN joe\r\n").expect_err("no password");
    assert_eq!(error.tag.as_ref().map(Tag::as_str), Some("a7"));
    assert_eq!(parse(b"\x01\r\n").expect_err("no tag").tag, None);
    assert_eq!(
        parse(b"a XYZZY\r\n").expect_err("verb").problem,
        CommandProblem::UnknownVerb
    );
}

// RFC 3501 section 6.3, RFC 5258, RFC 5819, RFC 6154.
#[test]
fn mailboxes() {
    accepts(&[
        ("a select inbox", "a SELECT inbox"),
        ("a EXAMINE \"a b\"", "a EXAMINE \"a b\""),
        ("a CREATE x/", "a CREATE x/"),
        ("a create s (USE (\\sent))", "a CREATE s (USE (\\Sent))"),
        ("a RENAME a &AOk-", "a RENAME a &AOk-"),
        ("a DELETE {3}\r\nx]y", "a DELETE x]y"),
        ("a LIST \"\" *", "a LIST \"\" \"*\""),
        ("a LIST \"\" \"\"", "a LIST \"\" \"\""),
        ("a LSUB \"\" %", "a LSUB \"\" \"%\""),
        (
            "a LIST (SUBSCRIBED recursivematch) \"\" (a \"b\") RETURN (children STATUS (messages))",
            "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" \"b\") RETURN (CHILDREN STATUS (MESSAGES))",
        ),
        ("a LIST () \"\" *", "a LIST \"\" \"*\""),
        ("a STATUS x (UIDNEXT size)", "a STATUS x (UIDNEXT SIZE)"),
        ("a NAMESPACE", "a NAMESPACE"),
        ("a SUBSCRIBE NIL", "a SUBSCRIBE \"NIL\""),
    ]);
    refuses(&[
        "a SELECT",
        "a SELECT a b",
        "a SELECT a*",
        "a STATUS x ()",
        "a STATUS x (FOO)",
        "a LIST \"\" ()",
        "a LIST (FOO) \"\" *",
        "a CREATE s (USE (\\Inbox))",
        "a APPEND x",
        "a APPEND x (\\Seen) hello",
    ]);
}

// RFC 3501 section 6.3.11.
#[test]
fn append_heads() {
    let head = |text: &str| Append::head(format!("{text}\r\n").as_bytes());
    let (tag, append) = head("a APPEND x (\\Seen $F) \" 1-Jan-2000 10:00:00 +0100\" {12}").expect("a head");
    assert_eq!(tag.as_str(), "a");
    assert_eq!(append.flags.len(), 2);
    assert_eq!(
        append.date.map(|date| date.timestamp().as_secs()),
        Some(946_717_200)
    );
    assert!(head("a append {3}\r\nabc {12+}").is_some());
    assert!(head("a append \"a b\" {12+}").is_some());
    assert!(head("a append x () ~{12}").is_some());
    for not in [
        "a append {3}",
        "a append x y {3}",
        "a LOGIN {3}",
        "a append x (\\Recent) {3}",
        "append x {3}",
    ] {
        assert_eq!(head(not), None, "{not}");
    }
}

// RFC 3501 section 6.4, RFC 3691, RFC 4315, RFC 6851.
#[test]
fn selected() {
    accepts(&[
        ("a EXPUNGE", "a EXPUNGE"),
        ("a uid expunge 1:4", "a UID EXPUNGE 1:4"),
        ("a UNSELECT", "a UNSELECT"),
        ("a COPY 1,3 x", "a COPY 1,3 x"),
        ("a UID move 5:* x", "a UID MOVE 5:* x"),
        (
            "a STORE 1 +flags.silent \\Deleted $x",
            "a STORE 1 +FLAGS.SILENT (\\Deleted $x)",
        ),
        ("a UID STORE 1:2 -FLAGS ()", "a UID STORE 1:2 -FLAGS ()"),
        ("a STORE 1 FLAGS (\\seen)", "a STORE 1 FLAGS (\\Seen)"),
    ]);
    refuses(&[
        "a EXPUNGE 1",
        "a COPY 0 x",
        "a STORE 1 +-FLAGS (a)",
        "a STORE 1 FLAGS (\\Recent)",
        "a STORE 1 FLAGS (\\Bogus)",
        "a STORE 1 FLAGS",
        "a STORE x FLAGS (a)",
    ]);
}

// RFC 3501 section 6.4.5.
#[test]
fn fetch() {
    accepts(&[
        (
            "a FETCH 1 all",
            "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
        ),
        ("a FETCH 1 FAST", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)"),
        (
            "a FETCH 1 full",
            "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)",
        ),
        (
            "a fetch 2:4 (uid bodystructure)",
            "a FETCH 2:4 (UID BODYSTRUCTURE)",
        ),
        ("a FETCH 1 body[]", "a FETCH 1 (BODY[])"),
        (
            "a FETCH 1 BODY.PEEK[HEADER]<0.10>",
            "a FETCH 1 (BODY.PEEK[HEADER]<0.10>)",
        ),
        (
            "a FETCH 1 (body.peek[header.fields (From \"to\")] rfc822.header)",
            "a FETCH 1 (BODY.PEEK[HEADER.FIELDS (From to)] RFC822.HEADER)",
        ),
        ("a FETCH 1 BODY[1.2.MIME]", "a FETCH 1 (BODY[1.2.MIME])"),
        (
            "a FETCH 1 BODY[3.HEADER.FIELDS.NOT (X)]",
            "a FETCH 1 (BODY[3.HEADER.FIELDS.NOT (X)])",
        ),
        ("a FETCH 1 BODY[4.1]", "a FETCH 1 (BODY[4.1])"),
        (
            "a UID FETCH * (RFC822 RFC822.TEXT RFC822.SIZE)",
            "a UID FETCH * (RFC822 RFC822.TEXT RFC822.SIZE)",
        ),
    ]);
    refuses(&[
        "a FETCH 1",
        "a FETCH 1 ()",
        "a FETCH 1 (ALL)",
        "a FETCH 1 BODY[MIME]",
        "a FETCH 1 BODY[0]",
        "a FETCH 1 BODY[1.]",
        "a FETCH 1 BODY[]<0.0>",
        "a FETCH 1 BODY[]<0>",
        "a FETCH 1 BODY[HEADER.FIELDS ()]",
        "a FETCH 1 BODY.PEEK",
        "a FETCH 1 (UID",
        "a FETCH 1 (UID)x",
    ]);
    assert!(plain(&format!("a FETCH 1 BODY[{}1]", "1.".repeat(100))).is_err());
}

// RFC 3501 section 6.4.4, RFC 4731.
#[test]
fn search() {
    accepts(&[
        ("a search all", "a SEARCH ALL"),
        ("a UID SEARCH unseen 1:*", "a UID SEARCH (UNSEEN 1:*)"),
        (
            "a SEARCH return (min count) not deleted",
            "a SEARCH RETURN (MIN COUNT) NOT DELETED",
        ),
        ("a SEARCH RETURN () ALL", "a SEARCH RETURN () ALL"),
        (
            "a SEARCH OR FROM a (SINCE 1-Feb-1994 UID 3)",
            "a SEARCH OR FROM a (SINCE 1-Feb-1994 UID 3)",
        ),
        ("a SEARCH ON \"1-feb-1994\"", "a SEARCH ON 1-Feb-1994"),
        ("a SEARCH HEADER X-Y \"\"", "a SEARCH HEADER X-Y \"\""),
        (
            "a SEARCH KEYWORD $x UNKEYWORD y",
            "a SEARCH (KEYWORD $x UNKEYWORD y)",
        ),
        (
            "a SEARCH LARGER 10 SMALLER 5000000000",
            "a SEARCH (LARGER 10 SMALLER 5000000000)",
        ),
        ("a SEARCH SUBJECT \"a b\" ", "a SEARCH SUBJECT \"a b\""),
    ]);
    refuses(&[
        "a SEARCH",
        "a SEARCH ()",
        "a SEARCH BOGUS",
        "a SEARCH ON 31-Feb-1994",
        "a SEARCH NOT",
        "a SEARCH OR ALL",
        "a SEARCH (ALL",
        "a SEARCH LARGER -1",
        "a SEARCH RETURN (FOO) ALL",
    ]);
    assert!(plain(&format!("a SEARCH {}ALL", "NOT ".repeat(31))).is_ok());
    // Deep programs would cost stack, long ones time.
    assert!(plain(&format!("a SEARCH {}ALL", "NOT ".repeat(10_000))).is_err());
    assert!(plain(&format!("a SEARCH {}ALL{}", "(".repeat(9_000), ")".repeat(9_000))).is_err());
    assert!(plain(&format!("a SEARCH {}ALL", "SEEN ".repeat(2_000))).is_err());
}

#[test]
fn literals_of_a_client() {
    let command = parse(b"a LOGIN {3}\r\nj\"\xff {2}\r\n\r\n\r\n").expect("valid");
    let bytes = command.to_bytes(Literals::Synchronizing);
    assert_eq!(
        bytes.pieces(),
        [&b"a LOGIN {3}\r\n"[..], b"j\"\xff {2}\r\n", b"\r\n\r\n"]
    );
}

// RFC 3501 section 7.1.
#[test]
fn status_responses() {
    use Condition::{Bad, Bye, No, Ok, PreAuth};
    let tag = |text: &str| Tag::parse(text.as_bytes());
    let set = |text: &str| SequenceSet::parse(text.as_bytes()).expect("a set");
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (text, tag, condition, code) in [
        ("* OK hello", None, Ok, None),
        ("a NO [TRYCREATE] none", tag("a"), No, Some(Code::TryCreate)),
        ("a BAD what", tag("a"), Bad, None),
        ("* BYE [UNAVAILABLE] later", None, Bye, Some(Code::Unavailable)),
        ("* PREAUTH hi", None, PreAuth, None),
        ("* OK [UIDVALIDITY 7] x", None, Ok, Some(Code::UidValidity(7))),
        (
            "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+] x",
            None,
            Ok,
            Some(Code::Capability(words(&["IMAP4rev1", "AUTH=PLAIN", "LITERAL+"]))),
        ),
        (
            "* OK [PERMANENTFLAGS (\\Seen \\*)] x",
            None,
            Ok,
            Some(Code::PermanentFlags(words(&["\\Seen", "\\*"]))),
        ),
        (
            "a OK [COPYUID 1 2:3 7,9] x",
            tag("a"),
            Ok,
            Some(Code::CopyUid {
                validity: 1,
                from: set("2:3"),
                to: set("7,9"),
            }),
        ),
        (
            "a OK [APPENDUID 1 4] x",
            tag("a"),
            Ok,
            Some(Code::AppendUid {
                validity: 1,
                uids: set("4"),
            }),
        ),
        (
            "a NO [BADCHARSET (UTF-8)] x",
            tag("a"),
            No,
            Some(Code::BadCharset(words(&["UTF-8"]))),
        ),
        (
            "a NO [X-FOO \"]\" 1] x",
            tag("a"),
            No,
            Some(Code::Other(b"X-FOO \"]\" 1".to_vec())),
        ),
    ] {
        let line = match Response::parse(text.as_bytes()).expect(text) {
            Response::Tagged(found, line) => {
                assert_eq!(Some(found), tag, "{text}");
                line
            }
            Response::Untagged(Untagged::Status(line)) => {
                assert_eq!(None, tag, "{text}");
                line
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!((line.condition, &line.code), (condition, &code), "{text}");
        let mut out = Vec::new();
        line.write(&mut out, tag.as_ref());
        assert_eq!(String::from_utf8_lossy(&out), format!("{text}\r\n"));
    }
    for bad in [
        "",
        "a",
        "a MAYBE x",
        "a BYE x",
        "a PREAUTH x",
        "\u{1} OK x",
        "a OKAY",
    ] {
        assert!(Response::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let mut out = Vec::new();
    StatusLine::new(No, "a\r\n* OK forged").write(&mut out, None);
    assert_eq!(out, b"* NO a* OK forged\r\n");
}

#[test]
fn other_responses() {
    let parse = |text: &str| Response::parse(text.as_bytes()).expect("valid");
    assert_eq!(parse("+ idling"), Response::Continuation(b"idling".to_vec()));
    assert_eq!(parse("+"), Response::Continuation(Vec::new()));
    assert_eq!(parse("* 3 EXISTS"), Response::Untagged(Untagged::Exists(3)));
    assert_eq!(parse("* 3 expunge"), Response::Untagged(Untagged::Expunge(3)));
    assert_eq!(
        parse("* CAPABILITY IMAP4rev1 X"),
        Response::Untagged(Untagged::Capability(vec!["IMAP4rev1".into(), "X".into()]))
    );
    assert_eq!(
        parse("* LIST () \"/\" x"),
        Response::Untagged(Untagged::Other(b"LIST () \"/\" x".to_vec()))
    );
    assert_eq!(challenge(b""), b"+ \r\n");
}

#[test]
fn strings_of_a_server() {
    let shown = |bytes: &[u8]| {
        let mut out = Vec::new();
        write::nstring(&mut out, Some(bytes));
        out
    };
    assert_eq!(shown(b""), b"\"\"");
    assert_eq!(shown(b"a\"\\"), b"\"a\\\"\\\\\"");
    assert_eq!(shown(b"a\r\nb"), b"{4}\r\na\r\nb");
    assert_eq!(shown(b"\xff"), b"{1}\r\n\xff");
    assert_eq!(shown(b"a\0b"), b"{2}\r\nab");
    let mut out = Vec::new();
    let mut flags = Flags::from_parts(SystemFlag::Seen as u8, Vec::new());
    flags.insert(model::Flag::parse("$x").expect("valid"));
    write::flags(&mut out, &flags, write::Recency::Recent);
    write::flags(&mut out, &flags, write::Recency::Old);
    assert_eq!(out, b"(\\Seen $x \\Recent)(\\Seen $x)");
}

/// A structure with every kind of part.
pub(super) fn sample_structure() -> (Envelope, BodyStructure) {
    let address = EnvelopeAddress {
        name: Some(b"J\xc3\xb6rg \"x\"".to_vec()),
        mailbox: Some(b"joerg".to_vec()),
        host: Some(b"example.test".to_vec()),
    };
    let envelope = Envelope {
        date: Some(b"Mon, 1 Jan 2000 00:00:00 +0000".to_vec()),
        subject: None,
        from: vec![address.clone()],
        to: vec![address.clone(), address],
        message_id: Some(b"<1@example.test>".to_vec()),
        ..Envelope::default()
    };
    let fields = BodyFields {
        params: vec![(b"charset".to_vec(), b"utf-8".to_vec())],
        id: None,
        description: Some(b"a \"b\"".to_vec()),
        encoding: b"7bit".to_vec(),
        md5: None,
        disposition: Some(Disposition {
            kind: b"attachment".to_vec(),
            params: vec![(b"filename".to_vec(), b"x.txt".to_vec())],
        }),
        language: vec![b"en".to_vec(), b"de".to_vec()],
        location: None,
        header: 10,
        body: 20,
        end: 120,
    };
    let text = BodyStructure::Text {
        subtype: b"plain".to_vec(),
        fields: fields.clone(),
        lines: 3,
    };
    let basic = BodyStructure::Basic {
        kind: b"image".to_vec(),
        subtype: b"png".to_vec(),
        fields: BodyFields {
            params: vec![],
            disposition: None,
            language: vec![],
            ..fields.clone()
        },
    };
    let message = BodyStructure::Message {
        subtype: b"rfc822".to_vec(),
        fields: BodyFields {
            language: vec![b"en".to_vec()],
            ..fields.clone()
        },
        envelope: Box::new(envelope.clone()),
        body: Box::new(text.clone()),
        lines: 9,
    };
    let body = BodyStructure::Multipart {
        subtype: b"mixed".to_vec(),
        parts: vec![text, basic, message],
        fields,
    };
    (envelope, body)
}

// RFC 3501 section 7.4.2.
#[test]
fn structures() {
    let (_, body) = sample_structure();
    let mut out = Vec::new();
    if let BodyStructure::Multipart { parts, .. } = &body {
        body_structure(&mut out, &parts[0], Extensions::Without);
        out.push(b'\n');
        body_structure(&mut out, &parts[1], Extensions::With);
    }
    assert_eq!(
        String::from_utf8_lossy(&out),
        "(\"TEXT\" \"plain\" (\"charset\" \"utf-8\") NIL \"a \\\"b\\\"\" \"7bit\" 100 3)\n\
         (\"image\" \"png\" NIL NIL \"a \\\"b\\\"\" \"7bit\" 100 NIL NIL NIL NIL)"
    );
}
