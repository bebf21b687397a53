//! Agreement with `rasn-ldap`: what one encodes the other reads, with the same meaning.

use bytes::{Bytes, BytesMut};
use ldap::{Message, Request, Response};
use proptest::prelude::*;
use rasn_ldap::LdapMessage;

use crate::generate::{requests, responses};
use crate::{mutated, rasn_form};

proptest! {
    #[test]
    fn they_read_our_requests_and_we_read_theirs(message in requests()) {
        let theirs = rasn_form::request(&message).expect("no increment is made");
        let mut ours = BytesMut::new();
        message.encode(&mut ours);
        prop_assert_eq!(&rasn::ber::decode::<LdapMessage>(&ours).expect("our bytes"), &theirs);

        let wire = Bytes::from(rasn::ber::encode(&theirs).expect("encodes"));
        let back = Message::<Request>::decode(wire).expect("their bytes");
        prop_assert_eq!(rasn_form::request(&back), Some(theirs));
    }

    #[test]
    fn they_read_our_responses_and_we_read_theirs(message in responses()) {
        let theirs = rasn_form::response(&message).expect("only known codes are made");
        let mut ours = BytesMut::new();
        message.encode(&mut ours);
        prop_assert_eq!(&rasn::ber::decode::<LdapMessage>(&ours).expect("our bytes"), &theirs);

        let wire = Bytes::from(rasn::ber::encode(&theirs).expect("encodes"));
        let back = Message::<Response>::decode(wire).expect("their bytes");
        prop_assert_eq!(rasn_form::response(&back), Some(theirs));
    }
}

#[test]
fn on_broken_bytes_we_never_disagree_about_the_meaning() {
    let (mut accepted, mut both) = (0, 0);
    mutated::each("ldap_message", 300, |bytes| {
        let wire = Bytes::copy_from_slice(bytes);
        let mut again = BytesMut::new();
        let ours = match (
            Message::<Request>::decode(wire.clone()),
            Message::<Response>::decode(wire),
        ) {
            (Ok(message), _) => {
                message.encode(&mut again);
                rasn_form::request(&message)
            }
            (_, Ok(message)) => {
                message.encode(&mut again);
                rasn_form::response(&message)
            }
            _ => return,
        };
        let Some(ours) = ours else { return };
        accepted += 1;
        // What we took from the bytes is something that they can say too, and means the same to them.
        let theirs = rasn::ber::decode::<LdapMessage>(&again);
        assert_eq!(theirs.as_ref().ok(), Some(&ours), "{bytes:02x?}");
        // They refuse extensions, which RFC 4511 section 4 tells us to ignore; else they see the same in it.
        if let Ok(theirs) = rasn::ber::decode::<LdapMessage>(bytes) {
            assert_eq!(ours, theirs, "{bytes:02x?}");
            both += 1;
        }
    });
    assert!(
        both > 1000 && both <= accepted,
        "{both} of {accepted}: the comparison says nothing"
    );
}
