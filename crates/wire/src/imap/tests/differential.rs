//! Against `imap-codec`, an independent implementation: what one writes the other reads.

use super::super::*;
use super::table::sample_structure;
use super::{assemble, parse};
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::response::{Data, Response as TheirResponse};
use imap_codec::{CommandCodec, ResponseCodec};

const COMMANDS: &[&str] = &[
    "a CAPABILITY",
    "a NOOP",
    "a LOGOUT",
    "a LOGIN joe \"p w\"",
    "a AUTHENTICATE PLAIN",
    "a SELECT INBOX",
    "a EXAMINE \"a b\"",
    "a CREATE x/y",
    "a DELETE x",
    "a RENAME x y",
    "a SUBSCRIBE x",
    "a UNSUBSCRIBE x",
    "a LIST \"\" \"%\"",
    "a LSUB \"\" \"*\"",
    "a STATUS x (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)",
    "a IDLE",
    "a CHECK",
    "a CLOSE",
    "a UNSELECT",
    "a EXPUNGE",
    "a UID EXPUNGE 1:4,7",
    "a SEARCH ALL",
    "a UID SEARCH CHARSET UTF-8 OR FROM a NOT (SEEN SINCE 1-Feb-1994)",
    "a SEARCH HEADER X-Y z KEYWORD $x UNKEYWORD y LARGER 5 SENTON 2-Mar-2001",
    "a FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)",
    "a UID FETCH 1 (BODY[] BODY.PEEK[1.2.MIME]<0.10> BODY[HEADER.FIELDS (From To)])",
    "a FETCH 2 (RFC822 RFC822.HEADER RFC822.TEXT BODY[TEXT] BODY[3.HEADER.FIELDS.NOT (X)])",
    "a STORE 1 +FLAGS.SILENT (\\Seen $x)",
    "a UID STORE 1:2 -FLAGS (\\Deleted)",
    "a COPY 1,3 x",
    "a UID MOVE 5:* x",
];

#[test]
fn both_read_what_both_write() {
    for text in COMMANDS {
        let line = format!("{text}\r\n");
        let ours = parse(line.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let written = ours.to_bytes(Literals::NonSynchronizing).concat();
        let (rest, theirs) = CommandCodec::new().decode(&written).unwrap_or_else(|error| {
            panic!("{text}: {error:?}");
        });
        assert!(rest.is_empty(), "{text}");
        let echoed = CommandCodec::new().encode(&theirs).dump();
        let again = parse(&echoed).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(format!("{:?}", again.body), format!("{:?}", ours.body), "{text}");
    }
}

/// Both judge the same bytes alike, but where we are lenient or strict on purpose.
#[test]
fn both_refuse() {
    for text in [
        "a LOGIN joe",
        "a FETCH 0 FLAGS",
        "a FETCH 1 BODY[MIME]",
        "a SEARCH",
        "a COPY 1",
        "a STORE 1 FLAGS",
        "a SELECT a*b",
        "a FETCH 1 (FLAGS",
        "+ NOOP",
    ] {
        let line = format!("{text}\r\n");
        assert!(parse(line.as_bytes()).is_err(), "{text}");
        assert!(CommandCodec::new().decode(line.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn they_read_our_structures() {
    let (env, body) = sample_structure();
    let mut out = b"* 1 FETCH (ENVELOPE ".to_vec();
    envelope(&mut out, &env);
    out.extend_from_slice(b" BODY ");
    body_structure(&mut out, &body, Extensions::Without);
    out.extend_from_slice(b" BODYSTRUCTURE ");
    body_structure(&mut out, &body, Extensions::With);
    out.extend_from_slice(b" INTERNALDATE ");
    write::date_time(&mut out, model::Timestamp::from_millis(837_596_665_000));
    out.extend_from_slice(b")\r\n");
    let (rest, response) = ResponseCodec::new().decode(&out).expect("a response");
    assert!(rest.is_empty());
    let TheirResponse::Data(Data::Fetch { items, .. }) = response else {
        panic!("not a FETCH");
    };
    assert_eq!(items.as_ref().len(), 4);
    assert!(matches!(items.as_ref().first(), Some(MessageDataItem::Envelope(found)) if found.to.len() == 2));
    assert!(assemble(&out, Assembler::response_line).is_some());
}

#[test]
fn they_read_our_results() {
    let tag = Tag::parse(b"a").expect("valid");
    for code in [
        Code::TryCreate,
        Code::Unavailable,
        Code::UidNext(4),
        Code::ReadOnly,
        Code::AuthenticationFailed,
    ] {
        let mut out = Vec::new();
        StatusLine::new(Condition::Ok, "done")
            .with_code(code)
            .write(&mut out, Some(&tag));
        let (rest, response) = ResponseCodec::new().decode(&out).expect("a response");
        assert!(rest.is_empty());
        assert!(matches!(response, TheirResponse::Status(_)));
    }
}
