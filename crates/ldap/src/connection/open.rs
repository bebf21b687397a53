//! From options to a byte stream that is as secure as was asked for.

use super::{ConnectOptions, LdapError, Outcome, StartTls};
use crate::LdapUri;
use crate::extended;
use crate::message::{Frame, Message, MessageId, Request, Response, frame};
use bytes::{Bytes, BytesMut};
use net::{ClientTls, Connection, TlsError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// More than any answer to StartTLS takes. The server is not known to be the right one yet.
const MAX_STARTTLS_RESPONSE: usize = 64 * 1024;

/// Connects, and does all of TLS.
pub(super) async fn open(options: &ConnectOptions) -> Result<Connection, LdapError> {
    let limit = options.connect_timeout;
    let connection = match &options.uri {
        LdapUri::Ldap { host, port } | LdapUri::Ldaps { host, port } => {
            Connection::connect_host(&options.resolver, host, *port, limit).await
        }
        LdapUri::Ldapi { path } => Connection::connect_unix(path, limit).await,
    };
    let connection = connection.map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => LdapError::TimedOut,
        _ => LdapError::Connect(error),
    })?;
    // A socket on this machine has no name of its own; its certificate, if any, is for localhost.
    let name = options.uri.host().unwrap_or("localhost");
    match (&options.uri, options.starttls) {
        (LdapUri::Ldaps { .. }, _) => Ok(connection.connect_tls(settings(options)?, name, limit).await?),
        (_, StartTls::Require) => start_tls(connection, settings(options)?, name, limit).await,
        (_, StartTls::Off) => Ok(connection),
    }
}

fn settings(options: &ConnectOptions) -> Result<&ClientTls, TlsError> {
    options
        .tls
        .as_ref()
        .ok_or_else(|| TlsError::Config(format!("{} needs TLS settings", options.uri)))
}

/// RFC 4511 section 4.14, RFC 4513 section 3.1.
pub(super) async fn start_tls(
    mut connection: Connection,
    tls: &ClientTls,
    name: &str,
    limit: Duration,
) -> Result<Connection, LdapError> {
    let exchange = async {
        let request = Request::Extended(extended::start_tls());
        let mut out = BytesMut::new();
        Message::<Request>::new(MessageId::FIRST, request).encode(&mut out);
        connection.write_all(&out).await?;
        connection.flush().await?;
        read_one(&mut connection).await
    };
    let message = timeout(limit, exchange)
        .await
        .map_err(|_| LdapError::TimedOut)??;
    if let Some(result) = extended::notice_of_disconnection(&message) {
        return Err(refused(result.clone(), Vec::new()));
    }
    match message.operation {
        Response::Extended(response) if message.id == MessageId::FIRST => {
            if !response.result.is_success() {
                let mut result = response.result;
                // A server without TLS only says that it does not know the operation, and nobody asked for one.
                result.diagnostic = format!("StartTLS refused: {}", result.diagnostic);
                return Err(refused(result, message.controls));
            }
            Ok(connection.connect_tls(tls, name, limit).await?)
        }
        _ => Err(LdapError::Protocol(
            "the answer to StartTLS is another message".to_owned(),
        )),
    }
}

fn refused(result: crate::LdapResult, controls: Vec<crate::control::Control>) -> LdapError {
    LdapError::Result(Box::new(Outcome { result, controls }))
}

/// Reads one message and not a byte more: whatever follows it belongs to the TLS handshake, so that text
/// slipped in before the handshake makes it fail and is never taken for an answer.
async fn read_one(connection: &mut Connection) -> Result<Message<Response>, LdapError> {
    let protocol = |error: &dyn std::error::Error| LdapError::Protocol(error.to_string());
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        match frame(&buffer, MAX_STARTTLS_RESPONSE).map_err(|error| protocol(&error))? {
            Frame::Complete(_) => break,
            Frame::Incomplete(missing) => {
                let start = buffer.len();
                buffer.resize(start + missing, 0);
                let end = buffer.get_mut(start..).unwrap_or_default();
                connection.read_exact(end).await?;
            }
        }
    }
    Message::<Response>::decode(Bytes::from(buffer)).map_err(|error| protocol(&error))
}

impl From<std::io::Error> for LdapError {
    fn from(error: std::io::Error) -> Self {
        Self::Closed(error.into())
    }
}
