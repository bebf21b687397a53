//! The envelope, and messages as they look on the wire.

use super::*;
use crate::{Entry, Filter, LdapResult, ResultCode};

fn bytes(octets: &[u8]) -> Bytes {
    Bytes::copy_from_slice(octets)
}

fn encoded(id: u32, request: Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    Message::new(MessageId::new(id).expect("small"), request).encode(&mut out);
    out.to_vec()
}

#[test]
fn requests_on_the_wire() {
    let bind = Bind {
        name: "cn=a".into(),
        authentication: Authentication::Simple("pw".into()),
    };
    assert_eq!(
        encoded(1, Request::Bind(bind)),
        b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw"
    );
    assert_eq!(encoded(2, Request::Unbind), b"\x30\x05\x02\x01\x02\x42\x00");
    assert_eq!(
        encoded(3, Request::Abandon(MessageId::FIRST)),
        b"\x30\x06\x02\x01\x03\x50\x01\x01"
    );
    assert_eq!(
        encoded(200, Request::Delete("a=b".into())),
        b"\x30\x09\x02\x02\x00\xc8\x4a\x03a=b"
    );
    let search = Search::new("", Scope::Base, Filter::Present("objectClass".into()));
    assert_eq!(
        encoded(4, Request::Search(Box::new(search))),
        b"\x30\x25\x02\x01\x04\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"
    );
}

#[test]
fn four_octet_lengths_are_read() {
    // As Active Directory writes every length.
    let wire = b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00";
    let message = Message::<Response>::decode(bytes(wire)).expect("valid");
    assert_eq!(
        message.operation.result(),
        Some(&LdapResult::new(ResultCode::Success))
    );
}

#[test]
fn unknown_trailing_components_are_ignored() {
    // RFC 4511 section 4. A delete response with a [30] after its result, and a [9] after the operation.
    let wire = b"\x30\x11\x02\x01\x03\x6b\x0a\x0a\x01\x00\x04\x00\x04\x00\x9e\x01x\x89\x00";
    let message = Message::<Response>::decode(bytes(wire)).expect("valid");
    assert_eq!(
        message.operation,
        Response::Delete(LdapResult::new(ResultCode::Success))
    );
    // One that does not fit its container is no component.
    let wire = b"\x30\x0f\x02\x01\x03\x6b\x0a\x0a\x01\x00\x04\x00\x04\x00\x9e\x02x";
    assert_eq!(
        Message::<Response>::decode(bytes(wire)),
        Err(DecodeError::BadLength)
    );
}

#[test]
fn a_known_component_in_the_wrong_form_is_no_extension() {
    // The referral of a result is [3] constructed; here it is primitive, then there twice.
    let wire = b"\x30\x0f\x02\x01\x03\x6b\x0a\x0a\x01\x00\x04\x00\x04\x00\x83\x01x";
    let misplaced = |octet| Err(DecodeError::Misplaced(Tag::from_octet(octet)));
    assert_eq!(Message::<Response>::decode(bytes(wire)), misplaced(0x83));
    let wire = b"\x30\x16\x02\x01\x03\x6b\x11\x0a\x01\x00\x04\x00\x04\x00\xa3\x03\x04\x01x\xa3\x03\x04\x01y";
    assert_eq!(Message::<Response>::decode(bytes(wire)), misplaced(0xa3));
    // Controls are [0] constructed.
    let wire = b"\x30\x0e\x02\x01\x03\x6b\x07\x0a\x01\x00\x04\x00\x04\x00\x80\x00";
    assert_eq!(Message::<Response>::decode(bytes(wire)), misplaced(0x80));
}

#[test]
fn broken_messages_by_table() {
    let table: &[(&str, &[u8], DecodeError)] = &[
        (
            "bytes after the message",
            b"\x30\x05\x02\x01\x02\x42\x00\x00",
            DecodeError::TrailingBytes,
        ),
        (
            "a negative id",
            b"\x30\x05\x02\x01\xff\x42\x00",
            DecodeError::BadInteger,
        ),
        (
            "an id above 2^31 - 1",
            b"\x30\x09\x02\x05\x00\x80\x00\x00\x00\x42\x00",
            DecodeError::BadInteger,
        ),
        (
            "an unbind with contents",
            b"\x30\x06\x02\x01\x02\x42\x01\x00",
            DecodeError::TrailingBytes,
        ),
        ("no operation", b"\x30\x03\x02\x01\x02", DecodeError::Truncated),
        (
            "a response",
            b"\x30\x0c\x02\x01\x03\x6b\x07\x0a\x01\x00\x04\x00\x04\x00",
            DecodeError::UnknownTag(Tag::from_octet(0x6b)),
        ),
        (
            "a DN that is not UTF-8",
            b"\x30\x06\x02\x01\x03\x4a\x01\xff",
            DecodeError::NotUtf8,
        ),
        (
            "an indefinite length",
            b"\x30\x80\x02\x01\x02\x42\x00\x00\x00",
            DecodeError::BadLength,
        ),
    ];
    for (what, wire, expected) in table {
        assert_eq!(
            Message::<Request>::decode(bytes(wire)).expect_err(what),
            *expected,
            "{what}"
        );
    }
}

fn search_with_filter(filter: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    Writer::new(&mut out).constructed(Tag::SEQUENCE, |w| {
        w.integer(Tag::INTEGER, 1);
        w.constructed(Tag::application_constructed(3), |w| {
            w.octets(Tag::OCTET_STRING, b"");
            w.integer(Tag::ENUMERATED, 2);
            w.integer(Tag::ENUMERATED, 0);
            w.integer(Tag::INTEGER, 0);
            w.integer(Tag::INTEGER, 0);
            w.boolean(Tag::BOOLEAN, false);
            // The filter's own tag and length stand at its start.
            let (tag, contents) = (filter[0], &filter[2..]);
            w.octets(Tag::from_octet(tag), contents);
            w.constructed(Tag::SEQUENCE, |_| {});
        });
    });
    out.freeze()
}

#[test]
fn broken_filters_by_table() {
    let table: &[(&str, &[u8], DecodeError)] = &[
        (
            "no pieces",
            b"\xa4\x05\x04\x01a\x30\x00",
            DecodeError::Invalid("a substring filter without a piece"),
        ),
        (
            "final before any",
            b"\xa4\x0b\x04\x01a\x30\x06\x82\x01x\x81\x01y",
            DecodeError::UnknownTag(Tag::from_octet(0x81)),
        ),
        (
            "two initials",
            b"\xa4\x0b\x04\x01a\x30\x06\x80\x01x\x80\x01y",
            DecodeError::UnknownTag(Tag::from_octet(0x80)),
        ),
        (
            "not, of two",
            b"\xa2\x06\x87\x01a\x87\x01b",
            DecodeError::TrailingBytes,
        ),
        ("not, of nothing", b"\xa2\x00", DecodeError::Truncated),
        (
            "no rule and no type",
            b"\xa9\x03\x83\x01x",
            DecodeError::Invalid("an extensible match without a rule and without a type"),
        ),
        (
            "an unknown choice",
            b"\xab\x00",
            DecodeError::UnknownTag(Tag::from_octet(0xab)),
        ),
    ];
    for (what, filter, expected) in table {
        let found = Message::<Request>::decode(search_with_filter(filter));
        assert_eq!(found.expect_err(what), *expected, "{what}");
    }
}

#[test]
fn filters_are_bounded_in_depth_and_parts() {
    let nested = |depth: usize| {
        let mut filter = Filter::Present("a".into());
        for _ in 1..depth {
            filter = Filter::Not(Box::new(filter));
        }
        let search = Search::new("", Scope::Base, filter);
        Message::<Request>::decode(Bytes::from(encoded(1, Request::Search(Box::new(search)))))
    };
    assert!(nested(crate::MAX_FILTER_DEPTH).is_ok());
    assert_eq!(
        nested(crate::MAX_FILTER_DEPTH + 1).expect_err("deep"),
        DecodeError::TooDeep
    );

    let wide = |parts: usize| {
        let filter = Filter::Or(vec![Filter::And(Vec::new()); parts]);
        let search = Search::new("", Scope::Base, filter);
        Message::<Request>::decode(Bytes::from(encoded(1, Request::Search(Box::new(search)))))
    };
    assert!(wide(16 * 1024).is_ok());
    assert_eq!(
        wide(16 * 1024 + 1).expect_err("wide"),
        DecodeError::TooMany("parts of a filter")
    );
}

#[test]
fn an_entry_is_slices_of_its_message() {
    let entry = Entry::new("uid=alice,dc=test")
        .with("mail", "alice@example.test")
        .with("objectClass", crate::Values::none());
    let mut out = BytesMut::new();
    Message::new(MessageId::FIRST, Response::SearchEntry(entry.clone())).encode(&mut out);
    let wire = out.freeze();
    let message = Message::<Response>::decode(wire.clone()).expect("valid");
    let Response::SearchEntry(found) = message.operation else {
        panic!("not an entry")
    };
    assert_eq!(found, entry);
    let value = found.first("mail").expect("a value");
    let within = wire.as_ptr_range();
    assert!(within.contains(&value.as_ptr()), "the value was copied");
}

#[test]
fn too_many_controls_are_refused() {
    let message = |count| {
        let controls = vec![Control::manage_dsa_it(); count];
        let mut out = BytesMut::new();
        Message::new(MessageId::FIRST, Request::Delete("a=b".into()))
            .with_controls(controls)
            .encode(&mut out);
        Message::<Request>::decode(out.freeze())
    };
    assert_eq!(message(64).expect("valid").controls.len(), 64);
    assert_eq!(message(65).expect_err("many"), DecodeError::TooMany("controls"));
}

#[test]
fn ids_come_round_without_zero() {
    let last = MessageId::new(i32::MAX as u32).expect("the last");
    assert_eq!(last.next(), MessageId::FIRST);
    assert_eq!(MessageId::new(1 << 31), None);
    assert_eq!(MessageId::FIRST.next().get(), 2);
}

#[test]
fn a_log_shows_no_secret() {
    let bind = Bind {
        name: "cn=a".into(),
        authentication: Authentication::Simple("hunter2".into()),
    };
    assert!(!format!("{:?}", Request::Bind(bind)).contains("hunter2"));
    let extended = Extended {
        name: "1.2".into(),
        value: Some(Bytes::from("hunter2")),
    };
    assert!(!format!("{:?}", Request::Extended(extended)).contains("hunter2"));
    let compare = Compare {
        dn: "cn=a".into(),
        attribute: "userPassword".into(),
        value: "hunter2".into(),
    };
    assert!(!format!("{:?}", Request::Compare(compare)).contains("hunter2"));
}

#[test]
fn a_message_in_memory_is_bounded_by_its_size() {
    // The smallest forms on the wire: two octets for a value or a string, six for an attribute.
    assert!(size_of::<Bytes>() <= 16 * 2);
    assert!(size_of::<String>() <= 16 * 2);
    assert!(size_of::<crate::Attribute>() <= 16 * 6);
    assert!(size_of::<Modification>() <= 16 * 11);

    let values = crate::Values::from(vec![Bytes::new(); 100_000]);
    let mut out = BytesMut::new();
    let message = Message::new(
        MessageId::FIRST,
        Response::SearchEntry(Entry::new("").with("a", values)),
    );
    message.encode(&mut out);
    assert_eq!(Message::<Response>::decode(out.freeze()), Ok(message));

    // A list of a hundred thousand elements that are no attributes reserves no room for so many.
    let mut list = BytesMut::new();
    Writer::new(&mut list).constructed(Tag::SEQUENCE, |w| {
        (0..100_000).for_each(|_| w.octets(Tag::OCTET_STRING, b""));
    });
    let list = list.freeze();
    let contents = Reader::new(&list).element(Tag::SEQUENCE).expect("a sequence");
    assert_eq!(contents.count(), Ok(100_000));
    assert_eq!(contents.room(6), Ok(200_000 / 6));
}
