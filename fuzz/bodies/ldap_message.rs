//! Any bytes as an LDAP message, both ways, with its controls.

use bytes::{Bytes, BytesMut};
use ldap::control::{
    Assertion, Control, DirSyncDone, PagedResults, PasswordPolicy, PostRead, PreRead, SyncDone, SyncInfo,
    SyncRequest, SyncState, TransactionSpecification,
};
use ldap::extended::{EndTransaction, PasswordModify, TransactionEnded};
use ldap::message::{Frame, frame};
use ldap::{Message, Request, Response};

const LIMIT: usize = 1 << 20;

/// Decodes; what is accepted must be one whole element, and must encode to bytes that mean the same.
pub(crate) fn run(data: &[u8]) {
    match frame(data, LIMIT) {
        Ok(Frame::Complete(length)) => assert!((2..=data.len()).contains(&length)),
        Ok(Frame::Incomplete(more)) => assert!(more > 0 && data.len() + more <= LIMIT + 10),
        Err(_) => {}
    }
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::<Request>::decode(bytes.clone()) {
        assert_whole(data);
        let again = encode_request(&message);
        let back = Message::<Request>::decode(again.clone()).expect("our own bytes");
        assert_eq!(encode_request(&back), again);
        assert!(
            again.len() <= data.len(),
            "the shortest form is longer than what came"
        );
        controls(&message.controls);
        if let Request::Extended(extended) = &message.operation {
            let _ = extended.value.as_ref().map(PasswordModify::decode);
            if let Some(Ok(end)) = extended.value.as_ref().map(EndTransaction::decode) {
                let again = end.to_request().value.expect("it has a value");
                assert_eq!(EndTransaction::decode(&again), Ok(end));
            }
        }
    }
    if let Ok(message) = Message::<Response>::decode(bytes) {
        assert_whole(data);
        let again = encode_response(&message);
        assert_eq!(Message::<Response>::decode(again).as_ref(), Ok(&message));
        controls(&message.controls);
        match &message.operation {
            Response::Intermediate(intermediate) => {
                if let Ok(Some(info)) = SyncInfo::from_intermediate(intermediate) {
                    assert_eq!(
                        SyncInfo::from_intermediate(&info.to_intermediate()),
                        Ok(Some(info))
                    );
                }
            }
            Response::Extended(extended) => {
                drop(PasswordModify::generated(extended));
                if let Ok(ended) = TransactionEnded::of(extended) {
                    let mut again = extended.clone();
                    again.value = Some(ended.encode());
                    assert_eq!(TransactionEnded::of(&again), Ok(ended));
                }
            }
            _ => {}
        }
    }
}

/// By the other way to look at it: framing says that exactly this is one message.
fn assert_whole(data: &[u8]) {
    assert_eq!(frame(data, usize::MAX), Ok(Frame::Complete(data.len())));
}

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

fn controls(controls: &[Control]) {
    if let Ok(Some(state)) = SyncState::find(controls) {
        assert_eq!(SyncState::find(&[state.to_control()]), Ok(Some(state)));
    }
    if let Ok(Some(done)) = SyncDone::find(controls) {
        assert_eq!(SyncDone::find(&[done.to_control()]), Ok(Some(done)));
    }
    if let Ok(Some(done)) = DirSyncDone::find(controls) {
        assert_eq!(DirSyncDone::find(&[done.to_control()]), Ok(Some(done)));
    }
    if let Ok(Some(request)) = SyncRequest::find(controls) {
        assert_eq!(SyncRequest::find(&[request.to_control()]), Ok(Some(request)));
    }
    if let Ok(Some(paged)) = PagedResults::find(controls) {
        assert_eq!(PagedResults::find(&[paged.to_control()]), Ok(Some(paged)));
    }
    if let Ok(Some(assertion)) = Assertion::find(controls) {
        assert_eq!(Assertion::find(&[assertion.to_control()]), Ok(Some(assertion)));
    }
    if let Ok(Some(part)) = TransactionSpecification::find(controls) {
        assert_eq!(
            TransactionSpecification::find(&[part.to_control()]),
            Ok(Some(part))
        );
    }
    let _ = (
        PreRead::find(controls),
        PostRead::find(controls),
        PasswordPolicy::find(controls),
    );
}
