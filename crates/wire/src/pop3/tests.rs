//! The grammar of RFC 1939 and its extensions by tables, and round trips.

use super::*;
use proptest::prelude::*;

fn shown(line: &str) -> String {
    Command::parse(line.as_bytes()).map_or_else(|error| format!("{error:?}"), |command| command.to_string())
}

// RFC 1939 sections 5 to 7.
#[test]
fn commands() {
    for (line, command) in [
        ("USER alice@example.test", "USER alice@example.test"),
        ("user two words", "USER two words"),
        ("PASS x", "PASS"),
        ("PASS", "PASS"),
        ("STAT", "STAT"),
        ("stat ", "STAT"),
        ("LIST", "LIST"),
        ("LIST 7", "LIST 7"),
        ("RETR  3", "RETR 3"),
        ("DELE 1", "DELE 1"),
        ("TOP 2 0", "TOP 2 0"),
        ("UIDL", "UIDL"),
        ("UIDL 2", "UIDL 2"),
        ("AUTH", "AUTH"),
        ("AUTH PLAIN =", "AUTH PLAIN"),
        ("CAPA", "CAPA"),
        ("STLS", "STLS"),
        (
            "xclient ADDR=2001:db8::1 port=7 SESSION=x TTL=6 FORWARD=y",
            "XCLIENT ADDR=2001:db8::1 PORT=7 SESSION=x TTL=6",
        ),
        // "transport=TLS", and a field of somebody else's.
        (
            "XCLIENT FORWARD=YT1iCXRyYW5zcG9ydD1UTFM=",
            "XCLIENT FORWARD=dHJhbnNwb3J0PVRMUw==",
        ),
        ("XCLIENT ADDR=x", "Arguments"),
        ("XCLIENT PORT", "Arguments"),
        ("QUIT", "QUIT"),
        ("NOOP", "NOOP"),
        ("RSET", "RSET"),
        ("", "Unknown"),
        ("APOP a b", "Unknown"),
        ("GET / HTTP/1.1", "Unknown"),
        ("USER", "Arguments"),
        ("USER a\0b", "Arguments"),
        ("PASS a\0b", "Arguments"),
        ("STAT 1", "Arguments"),
        ("RETR", "Arguments"),
        ("RETR 0", "Arguments"),
        ("RETR +1", "Arguments"),
        ("RETR -1", "Arguments"),
        ("RETR 1 2", "Arguments"),
        ("RETR 99999999999", "Arguments"),
        ("TOP 1", "Arguments"),
        ("TOP 1 x", "Arguments"),
        ("AUTH PLAIN a b", "Arguments"),
        ("AUTH PL\u{fc}IN", "Arguments"),
    ] {
        assert_eq!(shown(line), command, "{line:?}");
    }
}

// RFC 1939 section 7, PASS.
#[test]
fn a_password_keeps_its_spaces_and_is_never_shown() {
    let command = Command::parse(b"PASS  two  words ").expect("valid");
    let Command::Pass(secret) = &command else { panic!() };
    assert_eq!(secret.expose(), b" two  words ");
    assert!(!format!("{command:?} {command}").contains("words"));
    let mut wire = Vec::new();
    command.encode(&mut wire);
    assert_eq!(wire, b"PASS  two  words \r\n");
}

#[test]
fn responses() {
    for (line, response) in [
        ("+OK", Response::Ok("".into())),
        ("+ok 2 320", Response::Ok("2 320".into())),
        (
            "-ERR [IN-USE] busy",
            Response::Err(Some(ResponseCode::InUse), "busy".into()),
        ),
        (
            "-ERR [sys/temp]",
            Response::Err(Some(ResponseCode::SysTemp), "".into()),
        ),
        ("-ERR [X] y", Response::Err(None, "[X] y".into())),
        ("+ ", Response::Continue(String::new())),
        ("+", Response::Continue(String::new())),
        ("+ VXNlcm5hbWU6", Response::Continue("VXNlcm5hbWU6".into())),
    ] {
        assert_eq!(Response::parse(line.as_bytes()), Ok(response), "{line:?}");
    }
    for line in ["", "OK", "* OK", "220 smtp", "+OKAY", "SSH-2.0-x"] {
        assert_eq!(Response::parse(line.as_bytes()), Err(ResponseError), "{line:?}");
    }
}

#[test]
fn capabilities_round_trip() {
    let capabilities = Capabilities {
        user: true,
        stls: true,
        sasl: vec!["PLAIN".into(), "LOGIN".into()],
        top: true,
        uidl: true,
        pipelining: true,
        resp_codes: true,
        auth_resp_code: true,
        xclient: true,
        expire: Some("NEVER".into()),
        implementation: Some("Homing 1".into()),
    };
    let mut again = Capabilities::default();
    for line in capabilities.lines() {
        again.add_line(line.as_bytes());
    }
    again.add_line(b"X-UNKNOWN 1");
    again.add_line(b"");
    assert_eq!(again, capabilities);
    assert!(Capabilities::default().lines().is_empty());
}

proptest! {
    #[test]
    fn responses_round_trip(text in "([a-z][ -~]{0,40})?", code in proptest::option::of(Just(ResponseCode::SysPerm))) {
        for response in [Response::Ok(text.clone().into()), Response::Err(code, text.into())] {
            let mut wire = Vec::new();
            response.encode(&mut wire);
            let line = wire.strip_suffix(b"\r\n").expect("CRLF");
            prop_assert_eq!(Response::parse(line), Ok(response));
        }
    }

    #[test]
    fn mutations_never_panic(
        seed in prop_oneof![Just("TOP 1 20"), Just("PASS hunter2"), Just("AUTH PLAIN AGEAYg=="), Just("-ERR [SYS/TEMP] x")],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut line = seed.as_bytes().to_vec();
        for (at, byte) in changes {
            let index = at.index(line.len());
            line[index] = byte;
        }
        let _ = Response::parse(&line);
        if let Ok(command) = Command::parse(&line) {
            let mut wire = Vec::new();
            command.encode(&mut wire);
            let again = Command::parse(wire.strip_suffix(b"\r\n").expect("CRLF"));
            prop_assert_eq!(again.map(|command| command.to_string()), Ok(command.to_string()));
        }
    }
}
