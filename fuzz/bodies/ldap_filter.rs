//! Any text as a search filter.

use bytes::BytesMut;
use ldap::message::Search;
use ldap::{Filter, Message, MessageId, Request, Scope};

/// Parses; what is accepted must come back from its text and from its BER form as it was.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(filter) = Filter::parse(text) else { return };
    assert_eq!(
        Filter::parse(&filter.to_string()).as_ref(),
        Ok(&filter),
        "{text:?}"
    );
    let mut wire = BytesMut::new();
    let search = Search::new("", Scope::Base, filter.clone());
    Message::new(MessageId::FIRST, Request::Search(Box::new(search))).encode(&mut wire);
    match Message::<Request>::decode(wire.freeze()).map(|message| message.operation) {
        Ok(Request::Search(back)) => assert_eq!(back.filter, filter, "{text:?}"),
        // The BER form has a limit on parts that the text form need not share.
        other => assert!(text.len() > 16 * 1024, "{text:?}: {other:?}"),
    }
}
