//! StartTLS as far as it goes before the handshake; the handshake itself is tested against slapd.

use super::*;
use crate::connection::LdapError;
use crate::connection::open::start_tls;
use crate::extended::START_TLS;
use crate::message::ExtendedResponse;
use net::{ClientTls, ClientTlsConfig};

/// What StartTLS comes to when the server answers with `answer`, and further bytes right behind it.
async fn starttls(answer: Response, behind: &[u8]) -> LdapError {
    let (ours, theirs) = Connection::pair();
    let mut server = Server::new(theirs);
    let tls = ClientTls::new(&ClientTlsConfig {
        verify: false,
        ..ClientTlsConfig::default()
    })
    .unwrap();
    let (result, ()) = tokio::join!(
        start_tls(ours, &tls, "localhost", Duration::from_millis(500)),
        async {
            let request = server.request().await;
            assert!(matches!(request.operation, Request::Extended(extended) if extended.name == START_TLS));
            let mut out = BytesMut::new();
            Message::new(request.id, answer).encode(&mut out);
            out.extend_from_slice(behind);
            server.raw(&out).await;
        }
    );
    result.unwrap_err()
}

fn extended(code: ResultCode) -> Response {
    Response::Extended(ExtendedResponse {
        result: LdapResult::new(code),
        name: None,
        value: None,
    })
}

#[tokio::test]
async fn a_refusal_is_an_error_and_never_clear_text() {
    let error = starttls(extended(ResultCode::ProtocolError), b"").await;
    assert_eq!(error.code(), Some(ResultCode::ProtocolError));
    let error = starttls(Response::Add(success()), b"").await;
    assert!(matches!(error, LdapError::Protocol(_)));
}

/// STARTTLS injection: an answer slipped in before the handshake is not taken for one that came through TLS.
#[tokio::test]
async fn text_before_the_handshake_ends_it() {
    let mut injected = BytesMut::new();
    Message::new(MessageId::FIRST, Response::SearchDone(success())).encode(&mut injected);
    let error = starttls(extended(ResultCode::Success), &injected).await;
    assert!(matches!(error, LdapError::Tls(_)), "{error}");
}
