//! Value to bytes to value, and bytes to value to bytes.

use bytes::{Bytes, BytesMut};
use ldap::message::{Frame, FrameError, frame};
use ldap::{Message, Request, Response};
use proptest::prelude::*;

use crate::generate::{requests, responses};
use crate::{mutated, rasn_form};

fn encode_request(message: &Message<Request>) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze()
}

fn encode_response(message: &Message<Response>) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze()
}

proptest! {
    #[test]
    fn requests_round_trip(message in requests()) {
        let wire = encode_request(&message);
        let back = Message::<Request>::decode(wire.clone()).expect("our own bytes");
        // A secret has no equality; the other implementation's values show it.
        prop_assert_eq!(rasn_form::request(&back), rasn_form::request(&message));
        prop_assert_eq!(encode_request(&back), wire);
    }

    #[test]
    fn responses_round_trip(message in responses()) {
        let wire = encode_response(&message);
        let back = Message::<Response>::decode(wire.clone()).expect("our own bytes");
        prop_assert_eq!(&back, &message);
        prop_assert_eq!(encode_response(&back), wire);
    }

    #[test]
    fn a_stream_is_cut_where_messages_end(first in requests(), second in responses(), cut in any::<prop::sample::Index>()) {
        let first = encode_request(&first);
        let mut stream = first.to_vec();
        stream.extend_from_slice(&encode_response(&second));
        prop_assert_eq!(frame(&stream, stream.len()), Ok(Frame::Complete(first.len())));
        let length = first.len();
        let too_large = FrameError::TooLarge { length, limit: length - 1 };
        prop_assert_eq!(frame(&stream, length - 1), Err(too_large));
        // Every shorter piece asks for more, and never for more than is missing.
        let piece = cut.index(length);
        match frame(&stream[..piece], length) {
            Ok(Frame::Incomplete(more)) => prop_assert!(more > 0 && piece + more <= length),
            other => prop_assert!(false, "{piece} of {length}: {other:?}"),
        }
    }
}

#[test]
fn bytes_of_a_real_server_come_out_as_they_went_in() {
    let mut same = 0;
    for (name, bytes) in mutated::seeds("ldap_message") {
        let wire = Bytes::from(bytes);
        let again = match (
            Message::<Request>::decode(wire.clone()),
            Message::<Response>::decode(wire.clone()),
        ) {
            (Ok(message), Err(_)) => encode_request(&message),
            (Err(_), Ok(message)) => encode_response(&message),
            other => panic!("{name}: {other:?}"),
        };
        // What slapd and libldap send is in the shortest form already.
        if name.starts_with("slapd-") {
            assert_eq!(again, wire, "{name}");
            same += 1;
        }
    }
    assert!(same > 50, "the seeds are gone");
}
