//! The connection against a server that follows a script, over a pipe in memory.

mod ends;
mod operations;
mod searches;
mod tls;

use super::{Client, ConnectOptions};
use crate::control::Control;
use crate::message::{Frame, Message, MessageId, Request, Response, frame};
use crate::{Entry, Filter, LdapResult, LdapUri, ResultCode, Scope, SearchRequest};
use bytes::{Bytes, BytesMut};
use net::Connection;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Far longer than anything takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's end.
struct Server {
    stream: Connection,
    buffer: BytesMut,
}

impl Server {
    fn new(stream: Connection) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next request; none when the client has closed.
    async fn next(&mut self) -> Option<Message<Request>> {
        loop {
            match frame(&self.buffer, 1 << 24).expect("a client that speaks LDAP") {
                Frame::Complete(length) => {
                    let bytes = self.buffer.split_to(length).freeze();
                    return Some(Message::<Request>::decode(bytes).expect("a client that speaks LDAP"));
                }
                Frame::Incomplete(_) => {
                    let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
                    if read.await.expect("a request in time").expect("a whole stream") == 0 {
                        assert!(
                            self.buffer.is_empty(),
                            "the client closed in the middle of a message"
                        );
                        return None;
                    }
                }
            }
        }
    }

    async fn request(&mut self) -> Message<Request> {
        self.next().await.expect("a request, not the end")
    }

    async fn send(&mut self, id: MessageId, operation: Response) {
        self.send_with(id, operation, Vec::new()).await;
    }

    async fn send_with(&mut self, id: MessageId, operation: Response, controls: Vec<Control>) {
        let mut out = BytesMut::new();
        Message::new(id, operation)
            .with_controls(controls)
            .encode(&mut out);
        self.raw(&out).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("a client that reads");
        self.stream.flush().await.expect("a client that reads");
    }
}

fn options() -> ConnectOptions {
    let mut options = ConnectOptions::new(LdapUri::parse("ldap://localhost").unwrap());
    options.operation_timeout = PATIENCE;
    options
}

/// A client with these options and its server.
fn pair(options: &ConnectOptions) -> (Client, Server) {
    let (ours, theirs) = Connection::pair();
    (Client::over(ours, options), Server::new(theirs))
}

fn success() -> LdapResult {
    LdapResult::new(ResultCode::Success)
}

fn everything() -> SearchRequest {
    SearchRequest::new(
        "dc=test",
        Scope::Subtree,
        Filter::Present("objectClass".to_owned()),
    )
}

fn entry(number: usize) -> Response {
    Response::SearchEntry(
        Entry::new(format!("uid={number},dc=test")).with("cn", Bytes::from(vec![b'x'; 100])),
    )
}
