//! The grammar of RFC 5321 by section, round trips, and agreement with another implementation.

use super::*;
use model::{Address, ReversePath, Timestamp, TraceId};
use proptest::prelude::*;
use std::borrow::Cow;

const ALL: Extensions = Extensions::SIZE
    .with(Extensions::EIGHT_BIT_MIME)
    .with(Extensions::STARTTLS)
    .with(Extensions::AUTH)
    .with(Extensions::XCLIENT)
    .with(Extensions::XFORWARD)
    .with(Extensions::XTRACE);
const MORE: Extensions = ALL
    .with(Extensions::SMTPUTF8)
    .with(Extensions::CHUNKING)
    .with(Extensions::BINARYMIME)
    .with(Extensions::DSN)
    .with(Extensions::REQUIRETLS);

fn address(text: &str) -> Address {
    Address::parse(text).expect("valid")
}

fn parse(line: &str) -> Result<Command, CommandError> {
    Command::parse(line.as_bytes(), ALL)
}

fn shown(line: &str) -> String {
    parse(line).map_or_else(|error| format!("{error:?}"), |command| command.to_string())
}

// RFC 5321 section 4.1.1, a line of each, and what is taken beyond the grammar.
#[test]
fn rfc5321_4_1_1_commands() {
    for (line, command) in [
        ("EHLO client.example", "EHLO client.example"),
        ("ehlo [192.0.2.1]", "EHLO [192.0.2.1]"),
        ("HELO x y", "HELO x"),
        ("LHLO x", "LHLO x"),
        ("MAIL FROM:<>", "MAIL FROM:<>"),
        (
            "mail from: <a@Example.TEST> size=5 body=8bitmime",
            "MAIL FROM:<a@example.test> SIZE=5 BODY=8BITMIME",
        ),
        ("MAIL FROM:<@a.test,@b.test:c@d.test>", "MAIL FROM:<c@d.test>"),
        (
            "MAIL FROM:<\"a >b\"@d.test> BODY=7BIT",
            "MAIL FROM:<\"a >b\"@d.test> BODY=7BIT",
        ),
        ("MAIL FROM:<\"a\\\"@b\"@d.test>", "MAIL FROM:<\"a\\\"@b\"@d.test>"),
        ("RCPT TO:<postMaster>", "RCPT TO:<Postmaster>"),
        ("RCPT TO:<a+b@d.test>  ", "RCPT TO:<a+b@d.test>"),
        ("DATA ", "DATA"),
        ("rset", "RSET"),
        ("NOOP whatever", "NOOP"),
        ("QUIT", "QUIT"),
        ("VRFY someone", "VRFY"),
        ("EXPN list", "EXPN"),
        ("HELP mail", "HELP"),
        ("STARTTLS", "STARTTLS"),
        ("AUTH PLAIN AGEAYg==", "AUTH PLAIN"),
        (
            "XCLIENT ADDR=192.0.2.1 PORT=25 NAME=[UNAVAILABLE]",
            "XCLIENT ADDR=192.0.2.1 PORT=25",
        ),
        ("XCLIENT TTL=6 SESSION=abc", "XCLIENT SESSION=abc TTL=6"),
        ("XCLIENT TTL=999", "XCLIENT TTL=0"),
        (
            "XCLIENT client-transport=TLSv1.3 ADDR=192.0.2.1",
            "XCLIENT ADDR=192.0.2.1 CLIENT-TRANSPORT=TLS",
        ),
        (
            "XCLIENT CLIENT-TRANSPORT=insecure",
            "XCLIENT CLIENT-TRANSPORT=insecure",
        ),
        (
            "XCLIENT CLIENT-TRANSPORT=what ADDR=192.0.2.1",
            "XCLIENT ADDR=192.0.2.1",
        ),
        (
            "XFORWARD ADDR=IPv6:2001:db8::1 HELO=a+3Db",
            "XFORWARD ADDR=IPV6:2001:db8::1 HELO=a+3Db",
        ),
        ("xtrace 00FF223344556677", "XTRACE 00ff223344556677"),
    ] {
        assert_eq!(shown(line), command, "{line:?}");
    }
}

#[test]
fn rfc5321_4_2_4_refusals_are_told_apart() {
    use CommandError as E;
    for (line, error) in [
        ("", E::UnknownVerb),
        ("FOO", E::UnknownVerb),
        ("GET / HTTP/1.1", E::UnknownVerb),
        ("BDAT 10", E::NotImplemented),
        ("EHLO", E::Syntax),
        ("EHLO a\rb", E::ControlCharacter),
        ("NOOP\0", E::ControlCharacter),
        ("MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>", E::ControlCharacter),
        ("EHLO b\u{fc}cher", E::Syntax),
        ("DATA now", E::Syntax),
        ("VRFY", E::Syntax),
        ("MAIL", E::Syntax),
        ("MAIL TO:<a@b.test>", E::Syntax),
        ("MAIL FROM:a@b.test", E::ReversePath(PathError::Syntax)),
        ("MAIL FROM:<a@b.test", E::ReversePath(PathError::Syntax)),
        ("MAIL FROM:<a>", E::ReversePath(PathError::Syntax)),
        ("MAIL FROM:<@a.test c@d.test>", E::ReversePath(PathError::Syntax)),
        ("RCPT TO:<>", E::ForwardPath(PathError::Syntax)),
        (
            "RCPT TO:<a@[192.0.2.1]>",
            E::ForwardPath(PathError::AddressLiteral),
        ),
        ("RCPT TO:<j\u{f6}rg@b.test>", E::ForwardPath(PathError::NeedsUtf8)),
        ("RCPT TO:<a@b\u{fc}.test>", E::ForwardPath(PathError::NeedsUtf8)),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER", E::UnknownParameter),
        ("MAIL FROM:<a@b.test> SMTPUTF8", E::UnknownParameter),
        ("MAIL FROM:<a@b.test> RET=HDRS", E::UnknownParameter),
        ("MAIL FROM:<a@b.test> SIZE=x", E::BadParameter),
        ("MAIL FROM:<a@b.test> SIZE=", E::BadParameter),
        ("MAIL FROM:<a@b.test> SIZE", E::BadParameter),
        ("MAIL FROM:<a@b.test> SIZE=1 SIZE=2", E::BadParameter),
        ("MAIL FROM:<a@b.test>SIZE=1", E::BadParameter),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", E::BadParameter),
        ("XCLIENT", E::Syntax),
        ("XCLIENT ADDR", E::Syntax),
        ("XCLIENT ADDR=nonsense", E::BadParameter),
        ("XCLIENT LOGIN=alice", E::BadParameter),
        ("XFORWARD TTL=1", E::BadParameter),
        ("XTRACE", E::Syntax),
        ("XTRACE 00ff22334455667", E::Syntax),
        ("XTRACE 00ff223344556677 x", E::Syntax),
        ("XTRACE 00ff22334455667\u{fc}", E::Syntax),
        ("XCLIENT NAME=a+0Ab", E::BadParameter),
        ("XCLIENT NAME=a+", E::BadParameter),
        ("XCLIENT PORT=99999", E::BadParameter),
    ] {
        assert_eq!(parse(line).err(), Some(error), "{line:?}");
    }
}

// RFC 3461 section 4, RFC 3030 sections 2 and 3, RFC 8689 section 3, RFC 6533 section 3.
#[test]
fn parameters_of_extensions() {
    let shown = |line: &str| {
        Command::parse(line.as_bytes(), MORE)
            .map_or_else(|error| format!("{error:?}"), |command| command.to_string())
    };
    let long = "x".repeat(100);
    for (line, command) in [
        (
            "MAIL FROM:<a@b.test> ret=hdrs ENVID=QQ314159+2B requiretls body=binarymime",
            "MAIL FROM:<a@b.test> BODY=BINARYMIME RET=HDRS ENVID=QQ314159+2B REQUIRETLS",
        ),
        ("MAIL FROM:<a@b.test> RET=FULL", "MAIL FROM:<a@b.test> RET=FULL"),
        ("MAIL FROM:<> RET=SOME", "BadParameter"),
        ("MAIL FROM:<> RET", "UnknownParameter"),
        ("MAIL FROM:<> ENVID=a+zz", "BadParameter"),
        ("MAIL FROM:<> ENVID=a+0Ab", "BadParameter"),
        ("MAIL FROM:<> ENVID=a ENVID=b", "BadParameter"),
        (&format!("MAIL FROM:<> ENVID={long}x"), "BadParameter"),
        (
            &format!("MAIL FROM:<> ENVID={long}"),
            &format!("MAIL FROM:<> ENVID={long}"),
        ),
        ("MAIL FROM:<> REQUIRETLS=yes", "UnknownParameter"),
        (
            "RCPT TO:<a@b.test> notify=delay,success ORCPT=rfc822;Bob+2Btag@b.test",
            "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Btag@b.test",
        ),
        (
            "RCPT TO:<a@b.test> NOTIFY=never",
            "RCPT TO:<a@b.test> NOTIFY=NEVER",
        ),
        (
            "RCPT TO:<a@b.test> ORCPT=utf-8;j\u{f6}rg@b.test",
            "RCPT TO:<a@b.test> ORCPT=utf-8;j\u{f6}rg@b.test",
        ),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER,SUCCESS", "BadParameter"),
        ("RCPT TO:<a@b.test> NOTIFY=", "BadParameter"),
        ("RCPT TO:<a@b.test> NOTIFY", "BadParameter"),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER NOTIFY=NEVER", "BadParameter"),
        ("RCPT TO:<a@b.test> ORCPT=bob@b.test", "BadParameter"),
        ("RCPT TO:<a@b.test> ORCPT=rfc822;", "BadParameter"),
        ("RCPT TO:<a@b.test> ORCPT=rfc 822;x", "BadParameter"),
        ("RCPT TO:<a@b.test> ORCPT=rfc822;j\u{f6}rg@b.test", "BadParameter"),
        ("RCPT TO:<a@b.test> FOO=1", "UnknownParameter"),
        ("BDAT 86400", "BDAT 86400"),
        ("bdat 0 last", "BDAT 0 LAST"),
        ("BDAT", "ChunkSize"),
        ("BDAT x", "ChunkSize"),
        ("BDAT -1", "ChunkSize"),
        ("BDAT +1", "ChunkSize"),
        ("BDAT 1 FIRST", "ChunkSize"),
        ("BDAT 1 LAST x", "ChunkSize"),
        ("BDAT 1\0", "ChunkSize"),
        ("BDAT 99999999999999999999999", "ChunkSize"),
    ] {
        assert_eq!(shown(line), *command, "{line:?}");
    }
    let unannounced = Command::parse(b"RCPT TO:<a@b.test> NOTIFY=NEVER", ALL).err();
    assert_eq!(unannounced, Some(CommandError::UnknownParameter));
    let line = "RCPT TO:<a@b.test> ORCPT=utf-8;j\u{f6}rg@b.test";
    let without = Command::parse(line.as_bytes(), MORE.without(Extensions::SMTPUTF8)).err();
    assert_eq!(without, Some(CommandError::BadParameter));
}

#[test]
fn what_a_notification_says_of_the_sender_s_words() {
    let Ok(Command::Mail { parameters, .. }) = Command::parse(b"MAIL FROM:<> ENVID=a+2Bb", MORE) else {
        panic!()
    };
    assert_eq!(parameters.envid.expect("given").decoded(), "a+b");
    for (orcpt, field) in [
        ("rfc822;a+2Bb@c.test", Some("rfc822;a+b@c.test")),
        ("utf-8;j\u{f6}rg@c.test", None),
    ] {
        let line = format!("RCPT TO:<a@b.test> ORCPT={orcpt}");
        let Ok(Command::Rcpt { parameters, .. }) = Command::parse(line.as_bytes(), MORE) else {
            panic!("{orcpt}")
        };
        assert_eq!(parameters.orcpt.expect("given").field().as_deref(), field);
        assert!(parameters.notify.is_none());
    }
}

// RFC 9422 section 3.
#[test]
fn limits() {
    let read = |words: &str| {
        let reply = Reply::multi(250, None, vec!["x".into(), words.to_owned()]);
        Capabilities::parse(&reply).limits
    };
    let both = Limits {
        mail_max: Some(20),
        rcpt_max: Some(1000),
    };
    assert_eq!(read("LIMITS RCPTMAX=1000 MAILMAX=20 FOO=7"), both);
    assert_eq!(read(&format!("limits {both}")), both);
    for odd in [
        "LIMITS",
        "LIMITS RCPTMAX=0",
        "LIMITS RCPTMAX=1000000",
        "LIMITS RCPTMAX=x",
        "LIMITS RCPTMAX",
    ] {
        assert_eq!(read(odd), Limits::default(), "{odd}");
    }
}

#[test]
fn nothing_unannounced_is_taken() {
    for line in [
        "STARTTLS",
        "AUTH PLAIN",
        "XCLIENT ADDR=192.0.2.1",
        "XFORWARD ADDR=192.0.2.1",
        "XTRACE 00ff223344556677",
    ] {
        let got = Command::parse(line.as_bytes(), Extensions::NONE).err();
        assert_eq!(got, Some(CommandError::NotImplemented), "{line}");
    }
    let got = Command::parse(b"MAIL FROM:<a@b.test> SIZE=1", Extensions::NONE).err();
    assert_eq!(got, Some(CommandError::UnknownParameter));
}

#[test]
fn a_size_beyond_all_numbers_is_very_large() {
    let Ok(Command::Mail { parameters, .. }) = parse("MAIL FROM:<> SIZE=99999999999999999999") else {
        panic!();
    };
    assert_eq!(parameters.size, Some(u64::MAX));
}

#[test]
fn smtputf8_is_taken_where_announced() {
    let utf8 = ALL.with(Extensions::SMTPUTF8);
    let line = "MAIL FROM:<j\u{f6}rg@b\u{fc}cher.test> SMTPUTF8";
    let Ok(Command::Mail { from, parameters }) = Command::parse(line.as_bytes(), utf8) else {
        panic!();
    };
    assert_eq!(
        from,
        ReversePath::Address(address("j\u{f6}rg@xn--bcher-kva.test"))
    );
    assert!(parameters.smtputf8);
}

#[test]
fn the_proof_of_auth_is_never_shown() {
    let command = parse("AUTH PLAIN AGEAYg==").expect("valid");
    assert!(!format!("{command:?} {command}").contains("AGEAYg"));
    let mut wire = Vec::new();
    command.encode(&mut wire);
    assert_eq!(wire, b"AUTH PLAIN AGEAYg==\r\n");
}

#[test]
fn ehlo_reply_round_trip() {
    let capabilities = Capabilities {
        name: "mx.example.test".into(),
        extensions: ALL
            .with(Extensions::PIPELINING)
            .with(Extensions::ENHANCED_STATUS_CODES),
        size_limit: Some(67_108_864),
        auth: vec!["PLAIN".into(), "LOGIN".into()],
        xclient: vec!["ADDR".into(), "NAME".into()],
        xforward: vec!["IDENT".into()],
        limits: Limits::default(),
    };
    let reply = capabilities.reply("client");
    assert_eq!(Capabilities::parse(&reply), capabilities);
    let odd = Reply::multi(
        250,
        None,
        vec![
            "x".into(),
            "AUTH=LOGIN".into(),
            "size 0".into(),
            "X-FOO bar".into(),
        ],
    );
    let odd = Capabilities::parse(&odd);
    assert_eq!((odd.auth, odd.size_limit), (vec!["LOGIN".to_owned()], None));
    assert!(odd.extensions.has(Extensions::SIZE) && !odd.extensions.has(Extensions::PIPELINING));
}

#[test]
fn claims_are_limited_to_what_the_other_side_takes() {
    let claims = ClientClaims {
        addr: "2001:db8::7".parse().ok(),
        helo: Some("[1.2.3.4]".into()),
        ident: Some("0011223344556677".into()),
        ..ClientClaims::default()
    };
    let some = claims
        .clone()
        .limited_to(&["ADDR".to_owned(), "HELO".to_owned()])
        .expect("two are left");
    assert_eq!(some.to_string(), " ADDR=IPV6:2001:db8::7 HELO=[1.2.3.4]");
    assert_eq!(claims.limited_to(&["PROTO".to_owned()]), None);
}

// RFC 5321 section 4.4.
#[test]
fn received_field() {
    let recipient = address("a@b.test");
    let received = Received {
        helo: "evil (comment) by;x",
        client: "192.0.2.1".parse().expect("valid"),
        by: "mx.test",
        with: Transmission::Esmtps,
        id: TraceId::new(255),
        recipient: Some(&recipient),
        at: Timestamp::from_millis(1_795_324_557_000),
    };
    assert_eq!(
        received.to_string(),
        "Received: from evil??comment??by?x ([192.0.2.1])\r\n\tby mx.test with ESMTPS id 00000000000000ff\r\n\
         \tfor <a@b.test>;\r\n\tSun, 22 Nov 2026 05:15:57 +0000\r\n"
    );
}

#[test]
fn dates() {
    for (seconds, text) in [
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000"),
        (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
    ] {
        assert_eq!(rfc5322_date(Timestamp::from_millis(seconds * 1000)), text);
    }
}

#[test]
fn hops_are_counted_in_the_header_only() {
    let message = b"Received: a\r\n\tmore\r\nreceived: b\r\nX: Received:\r\n\r\nReceived: body\r\n";
    assert_eq!(hop_count(message), 2);
    assert_eq!(hop_count(b""), 0);
}

/// The peer's reading of a line: verb with the address, without what the two treat differently on purpose.
fn theirs(line: &str) -> Option<String> {
    let wire = format!("{line}\r\n");
    let request: smtp_proto::Request<Cow<'_, str>> =
        smtp_proto::Request::parse(&mut wire.as_bytes().iter()).ok()?;
    Some(match request {
        smtp_proto::Request::Mail { from } => format!("MAIL {}", from.address.to_ascii_lowercase()),
        smtp_proto::Request::Rcpt { to } => format!("RCPT {}", to.address.to_ascii_lowercase()),
        other => other.name().to_owned(),
    })
}

fn ours(line: &str) -> Option<String> {
    Some(match parse(line).ok()? {
        Command::Mail { from, .. } => format!("MAIL {from}")
            .replace("MAIL <>", "MAIL ")
            .to_ascii_lowercase()
            .replacen("mail", "MAIL", 1),
        Command::Rcpt { to, .. } => format!("RCPT {}", to.to_string().to_ascii_lowercase()),
        other => other.to_string().split(' ').next().unwrap_or_default().to_owned(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_smtp_proto(
        verb in prop_oneof![Just("MAIL FROM:"), Just("RCPT TO:"), Just("mail from:"), Just("rcpt to:")],
        local in "[a-z0-9+=_-]{1,10}(\\.[a-z0-9]{1,5})?",
        domain in "[a-z0-9]{1,8}\\.[a-z]{2,5}",
        size in proptest::option::of(0u32..1_000_000),
    ) {
        let size = size.filter(|_| verb.eq_ignore_ascii_case("MAIL FROM:")).map(|n| format!(" SIZE={n}")).unwrap_or_default();
        let line = format!("{verb}<{local}@{domain}>{size}");
        prop_assert_eq!(ours(&line), theirs(&line), "{}", line);
    }

    #[test]
    fn mail_and_rcpt_round_trip(local in "[ -~]{1,12}", size in proptest::option::of(any::<u64>())) {
        let quoted = format!("\"{}\"@example.test", local.replace('\\', "\\\\").replace('"', "\\\""));
        let address = address(&quoted);
        let parameters = MailParameters { size, body: Some(Body::EightBitMime), ..MailParameters::default() };
        let mut wire = Vec::new();
        Command::Mail { from: ReversePath::Address(address.clone()), parameters: parameters.clone() }.encode(&mut wire);
        let line = wire.strip_suffix(b"\r\n").expect("CRLF");
        let Ok(Command::Mail { from, parameters: again }) = Command::parse(line, ALL) else { panic!("{line:?}") };
        prop_assert_eq!((from, again), (ReversePath::Address(address.clone()), parameters));
        let to = ForwardPath::Address(address);
        let rcpt = Command::Rcpt { to: to.clone(), parameters: RcptParameters::default() };
        let Ok(Command::Rcpt { to: again, .. }) = Command::parse(rcpt.to_string().as_bytes(), ALL) else { panic!() };
        prop_assert_eq!(again, to);
    }

    #[test]
    fn claims_round_trip(helo in "[^\\p{Cc}]{1,20}", port in any::<u16>()) {
        let claims = ClientClaims { helo: Some(helo), port: Some(port), ..ClientClaims::default() };
        let line = Command::Xforward(claims.clone()).to_string();
        let Ok(Command::Xforward(again)) = Command::parse(line.as_bytes(), ALL) else { panic!("{line}") };
        prop_assert_eq!(again, claims);
    }

    /// Valid lines with a few octets changed: whatever comes out, it is a command or an error.
    #[test]
    fn mutations_never_panic(
        seed in prop_oneof![
            Just("MAIL FROM:<\"a b\"@example.test> SIZE=10 BODY=8BITMIME"),
            Just("RCPT TO:<@a.test:b@example.test>"),
            Just("XCLIENT ADDR=IPV6:::1 HELO=a+41b"),
            Just("AUTH PLAIN AGEAYg=="),
            Just("EHLO [IPv6:2001:db8::1]"),
            Just("RCPT TO:<b@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2B@example.test"),
            Just("MAIL FROM:<> RET=HDRS ENVID=a+41 REQUIRETLS"),
            Just("BDAT 1000 LAST"),
        ],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut line = seed.as_bytes().to_vec();
        for (at, byte) in changes {
            let index = at.index(line.len());
            line[index] = byte;
        }
        if let Ok(command) = Command::parse(&line, MORE) {
            let mut wire = Vec::new();
            command.encode(&mut wire);
            prop_assert!(wire.iter().filter(|byte| **byte == b'\n').count() == 1);
        }
    }
}
