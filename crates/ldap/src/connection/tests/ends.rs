//! How connections end.

use super::*;
use crate::connection::LdapError;
use crate::extended::NOTICE_OF_DISCONNECTION;
use crate::message::ExtendedResponse;
use crate::{CloseReason, Text};

/// What a waiting operation gets when the server sends these bytes.
async fn after(bytes: &[u8], options: &ConnectOptions) -> CloseReason {
    let (client, mut server) = pair(options);
    let (result, ()) = tokio::join!(client.delete("uid=a", &[]), async {
        server.request().await;
        server.raw(bytes).await;
    });
    let Err(LdapError::Closed(reason)) = result else {
        panic!("{result:?}")
    };
    assert!(client.is_closed());
    // The server sees the end of the stream, and nothing after the request but possibly a farewell.
    assert!(server.next().await.is_none());
    reason
}

#[tokio::test]
async fn garbage_closes_the_connection() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\x30\x80",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x7f\x00",
        b"\x30\x0c\x02\x01\x01\x6b\x07\x0a\x01\x00\x04\x00\x05\x00",
        b"\x30\x8a\x01",
        // A search entry for an operation that is no search.
        b"\x30\x09\x02\x01\x01\x64\x04\x04\x00\x30\x00",
    ] {
        let reason = after(bytes, &options()).await;
        assert!(
            matches!(reason, CloseReason::Protocol(_)),
            "{bytes:02x?}: {reason}"
        );
    }
}

#[tokio::test]
async fn an_oversized_message_closes_the_connection_before_it_is_read() {
    let mut options = options();
    options.max_message = 1000;
    let reason = after(b"\x30\x82\x10\x00", &options).await;
    assert!(
        matches!(
            reason,
            CloseReason::TooLarge {
                length: 4100,
                limit: 1000
            }
        ),
        "{reason}"
    );
    let reason = after(b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", &options).await;
    assert!(matches!(reason, CloseReason::TooLarge { .. }), "{reason}");
}

#[tokio::test]
async fn a_notice_of_disconnection_says_why() {
    let mut result = LdapResult::new(ResultCode::Unavailable);
    result.diagnostic = "shutting down".to_owned();
    let (client, mut server) = pair(&options());
    let other = ExtendedResponse {
        result: success(),
        name: Some(Text::from("1.2.3")),
        value: None,
    };
    let notice = ExtendedResponse {
        result,
        name: Some(Text::from(NOTICE_OF_DISCONNECTION)),
        value: None,
    };
    let (answer, ()) = tokio::join!(client.delete("uid=a", &[]), async {
        server.request().await;
        // A notification of another kind is ignored.
        server
            .send(MessageId::UNSOLICITED, Response::Extended(other))
            .await;
        server
            .send(MessageId::UNSOLICITED, Response::Extended(notice))
            .await;
    });
    let error = answer.unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().contains("shutting down"), "{error}");
    assert!(matches!(client.closed().await, CloseReason::Notice(_)));
}

#[tokio::test]
async fn the_last_handle_unbinds() {
    let (client, mut server) = pair(&options());
    let stream = client.search(everything()).await.unwrap();
    assert!(matches!(server.request().await.operation, Request::Search(_)));
    drop(client);
    // The stream still needs the connection.
    server.send(MessageId::FIRST, entry(1)).await;
    let mut stream = stream;
    assert!(stream.next().await.unwrap().is_some());
    server
        .send(MessageId::FIRST, Response::SearchDone(success()))
        .await;
    assert!(stream.next().await.unwrap().is_none());
    drop(stream);
    assert!(matches!(server.request().await.operation, Request::Unbind));
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn close_ends_what_waits() {
    let (client, mut server) = pair(&options());
    let (result, ()) = tokio::join!(client.delete("uid=a", &[]), async {
        server.request().await;
        client.close();
    });
    assert!(matches!(result, Err(LdapError::Closed(CloseReason::Local))));
    assert!(matches!(
        client.search(everything()).await,
        Err(LdapError::Closed(CloseReason::Local))
    ));
    assert!(matches!(server.request().await.operation, Request::Unbind));
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn an_idle_server_is_asked_for_a_sign_of_life() {
    let mut options = options();
    options.keep_alive = Duration::from_millis(20);
    let (client, mut server) = pair(&options);
    for _ in 0..2 {
        let request = server.request().await;
        let Request::Search(search) = request.operation else {
            panic!("a search")
        };
        assert_eq!((search.base.as_str(), search.scope), ("", Scope::Base));
        server.send(request.id, Response::SearchDone(success())).await;
    }
    assert!(!client.is_closed());
    drop(client);
    while server.next().await.is_some() {}
}

#[tokio::test]
async fn a_server_without_a_sign_of_life_is_gone() {
    let mut options = options();
    options.keep_alive = Duration::from_millis(20);
    options.operation_timeout = Duration::from_millis(20);
    let (client, mut server) = pair(&options);
    assert!(matches!(client.closed().await, CloseReason::Unresponsive(_)));
    assert!(matches!(server.request().await.operation, Request::Search(_)));
}

/// A server that takes no bytes must not hold the writer for ever.
#[tokio::test]
async fn a_server_that_does_not_read_is_gone() {
    let mut options = options();
    options.operation_timeout = Duration::from_millis(50);
    let (client, _server) = pair(&options);
    let large = crate::message::Add {
        dn: "uid=a".into(),
        attributes: vec![crate::Attribute::new("x", Bytes::from(vec![0; 1 << 20]))],
    };
    assert!(client.add(large, &[]).await.unwrap_err().is_transient());
    assert!(matches!(client.closed().await, CloseReason::Unresponsive(_)));
}
