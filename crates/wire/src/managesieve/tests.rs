//! The grammar of RFC 5804 by tables, and round trips.

use super::*;
use proptest::prelude::*;

fn shown(line: &str) -> String {
    Command::parse(line.as_bytes()).map_or_else(|error| format!("{error:?}"), |command| command.to_string())
}

// RFC 5804 sections 2.1 to 2.4 and 2.13.
#[test]
fn commands() {
    for (line, command) in [
        ("AUTHENTICATE \"PLAIN\"", "AUTHENTICATE \"PLAIN\""),
        ("authenticate \"PLAIN\" \"QQ==\"", "AUTHENTICATE \"PLAIN\""),
        (
            "AUTHENTICATE {5+}\r\nPLAIN {4+}\r\nQQ==",
            "AUTHENTICATE \"PLAIN\"",
        ),
        ("STARTTLS", "STARTTLS"),
        ("starttls ", "STARTTLS"),
        ("LOGOUT", "LOGOUT"),
        ("CAPABILITY", "CAPABILITY"),
        ("NOOP", "NOOP"),
        ("NOOP \"a \\\"b\\\\\"", "NOOP"),
        ("PUTSCRIPT \"x\" {3+}\r\nabc", "LISTSCRIPTS"),
        ("listscripts", "LISTSCRIPTS"),
        (
            "XCLIENT ADDR=2001:db8::1 port=7 SESSION=x TTL=6",
            "XCLIENT ADDR=2001:db8::1 PORT=7 SESSION=x TTL=6",
        ),
        ("", "Unknown"),
        ("a LOGIN b c", "Unknown"),
        ("EHLO x", "Unknown"),
        ("AUTHENTICATE", "Arguments"),
        ("AUTHENTICATE PLAIN", "Arguments"),
        ("AUTHENTICATE \"PL AIN\"", "Arguments"),
        ("AUTHENTICATE \"\"", "Arguments"),
        ("AUTHENTICATE \"PLAIN\" \"a\" \"b\"", "Arguments"),
        ("AUTHENTICATE \"PLAIN", "Arguments"),
        ("AUTHENTICATE {6+}\r\nPLAIN", "Arguments"),
        ("STARTTLS \"x\"", "Arguments"),
        ("NOOP x", "Arguments"),
        ("NOOP \"\\x\"", "Arguments"),
        ("XCLIENT ADDR=x", "Arguments"),
    ] {
        assert_eq!(shown(line), command, "{line:?}");
    }
}

#[test]
fn a_proof_is_never_shown() {
    let command = Command::parse(b"AUTHENTICATE \"PLAIN\" \"AGEAaHVudGVyMg==\"").expect("valid");
    assert!(!format!("{command:?} {command}").contains("aHVu"));
    let mut wire = Vec::new();
    command.encode(&mut wire);
    assert_eq!(wire, b"AUTHENTICATE \"PLAIN\" \"AGEAaHVudGVyMg==\"\r\n");
    let long = Command::Authenticate {
        mechanism: "OAUTHBEARER".to_owned(),
        initial: Some(model::Secret::new(vec![b'A'; 2000])),
    };
    let mut wire = Vec::new();
    long.encode(&mut wire);
    assert!(wire.starts_with(b"AUTHENTICATE \"OAUTHBEARER\" {2000+}\r\nAAA"));
    assert_eq!(parse_string(b"\"QQ==\"").expect("a string").expose(), b"QQ==");
    assert_eq!(parse_string(b"{4+}\r\nQQ==").expect("a string").expose(), b"QQ==");
    for line in ["QQ==", "", "\"a\" \"b\"", "*"] {
        assert!(parse_string(line.as_bytes()).is_none(), "{line:?}");
    }
}

// RFC 5804 sections 1.2 and 1.3.
#[test]
fn responses() {
    let status = |word, code, text: &str| {
        Ok(Response::Status(Status {
            word,
            code,
            text: text.to_owned().into(),
        }))
    };
    for (line, response) in [
        ("OK", status(Word::Ok, None, "")),
        ("ok \"done\"", status(Word::Ok, None, "done")),
        ("NO {4}\r\nlong", status(Word::No, None, "long")),
        (
            "BYE (TRYLATER) \"busy\"",
            status(Word::Bye, Some(Code::TryLater), "busy"),
        ),
        (
            "NO (ENCRYPT-NEEDED)",
            status(Word::No, Some(Code::EncryptNeeded), ""),
        ),
        (
            "OK (SASL \"cnNwYXV0aA==\")",
            status(Word::Ok, Some(Code::Sasl("cnNwYXV0aA==".to_owned())), ""),
        ),
        (
            "OK (TAG {3}\r\na\"b) \"Done\"",
            status(Word::Ok, Some(Code::Tag(b"a\"b".to_vec())), "Done"),
        ),
        (
            "NO (QUOTA/MAXSIZE) \"x\"",
            status(Word::No, Some(Code::Other("QUOTA/MAXSIZE".to_owned())), "x"),
        ),
        (
            "\"SASL\" \"PLAIN\"",
            Ok(Response::Strings(vec![b"SASL".to_vec(), b"PLAIN".to_vec()])),
        ),
        ("{0}\r\n", Ok(Response::Strings(vec![Vec::new()]))),
    ] {
        assert_eq!(Response::parse(line.as_bytes()), response, "{line:?}");
    }
    for line in [
        "",
        "+OK",
        "* OK",
        "220 smtp",
        "OKAY",
        "OK done",
        "OK \"a\" \"b\"",
        "OK (TRYLATER",
        "\"a\" b",
        "(",
    ] {
        assert_eq!(Response::parse(line.as_bytes()), Err(ResponseError), "{line:?}");
    }
}

#[test]
fn capabilities_round_trip() {
    let capabilities = Capabilities {
        implementation: "Homing \"1\"".to_owned(),
        sasl: vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()],
        sieve: vec!["fileinto".to_owned(), "comparator-i;ascii-numeric".to_owned()],
        starttls: true,
        version: "1.0".to_owned(),
        xclient: true,
        unauthenticate: true,
    };
    let mut wire = Vec::new();
    capabilities.encode(&mut wire);
    let mut again = Capabilities::default();
    for line in String::from_utf8(wire).expect("text").lines() {
        match Response::parse(line.as_bytes()) {
            Ok(Response::Strings(strings)) => again.add(&strings),
            other => panic!("{line}: {other:?}"),
        }
    }
    again.add(&[b"NOTIFY".to_vec(), b"mailto".to_vec()]);
    again.add(&[]);
    assert_eq!(again, capabilities);
}

proptest! {
    #[test]
    fn strings_round_trip(text in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let mut wire = Vec::new();
        write_client_string(&mut wire, &text);
        prop_assert_eq!(parse_string(&wire).map(|found| found.expose().to_vec()), Some(text.clone()));
        let mut wire = Vec::new();
        write_server_string(&mut wire, &text);
        prop_assert_eq!(Response::parse(&wire), Ok(Response::Strings(vec![text])));
    }
}
