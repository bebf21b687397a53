//! One connection whose messages are seen as they come, in the order of the wire.

use bytes::{Bytes, BytesMut};
use ldap::control::{Control, SyncDone, SyncInfo, SyncMode, SyncRequest, SyncState};
use ldap::message::{
    Authentication, Bind, Frame, Message, MessageId, Modification, Modify, ModifyOperation, Request,
    Response, Scope, Search, frame,
};
use ldap::{Attribute, Entry, Filter, LdapResult, ResultCode};
use model::Secret;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Wire {
    stream: TcpStream,
    read: BytesMut,
    last: u32,
    /// Octets of all messages that came.
    pub(super) octets: usize,
}

/// A message of Content Sync (RFC 4533).
#[derive(Debug, Clone)]
pub(super) enum Told {
    Entry(Entry, SyncState),
    Info(SyncInfo),
    Done(LdapResult, Option<SyncDone>),
}

impl Wire {
    pub(super) async fn open(port: u16, dn: &str, password: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a server");
        let mut wire = Self {
            stream,
            read: BytesMut::new(),
            last: 0,
            octets: 0,
        };
        let bind = Request::Bind(Bind {
            name: dn.to_owned(),
            authentication: Authentication::Simple(Secret::from(password)),
        });
        wire.send(bind, Vec::new()).await;
        let Response::Bind(answer) = wire.next().await.operation else {
            panic!("no answer to a bind");
        };
        assert_eq!(answer.result.code, ResultCode::Success);
        wire
    }

    /// The number of the request.
    pub(super) async fn send(&mut self, request: Request, controls: Vec<Control>) -> u32 {
        self.last += 1;
        let id = MessageId::new(self.last).expect("few requests");
        let mut out = BytesMut::new();
        Message::<Request>::new(id, request)
            .with_controls(controls)
            .encode(&mut out);
        self.stream.write_all(&out).await.expect("the server listens");
        self.last
    }

    pub(super) async fn next(&mut self) -> Message<Response> {
        loop {
            if let Frame::Complete(length) = frame(&self.read, 1 << 26).expect("LDAP") {
                self.octets += length;
                return Message::<Response>::decode(self.read.split_to(length).freeze()).expect("a response");
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            assert_ne!(read.expect("in time").expect("a connection"), 0, "closed");
        }
    }

    /// The next message of a search with Content Sync; nothing else may come.
    pub(super) async fn told(&mut self) -> Told {
        let message = self.next().await;
        told(&message).unwrap_or_else(|| panic!("{message:?}"))
    }

    /// Everything up to the end of a search.
    pub(super) async fn search(&mut self, search: Search, controls: Vec<Control>) -> Vec<Message<Response>> {
        self.send(Request::Search(Box::new(search)), controls).await;
        let mut all = Vec::new();
        loop {
            let message = self.next().await;
            let done = matches!(message.operation, Response::SearchDone(_));
            all.push(message);
            if done {
                return all;
            }
        }
    }

    /// A refresh that ends.
    pub(super) async fn refresh(&mut self, search: Search, cookie: Option<&Bytes>) -> Vec<Told> {
        let all = self
            .search(search, vec![sync(SyncMode::RefreshOnly, cookie)])
            .await;
        all.iter()
            .map(|message| told(message).unwrap_or_else(|| panic!("{message:?}")))
            .collect()
    }
}

pub(super) fn told(message: &Message<Response>) -> Option<Told> {
    Some(match &message.operation {
        Response::SearchEntry(entry) => {
            let state = SyncState::find(&message.controls).expect("readable");
            Told::Entry(entry.clone(), state.expect("each entry has a state"))
        }
        Response::Intermediate(info) => Told::Info(
            SyncInfo::from_intermediate(info)
                .expect("readable")
                .expect("sync info"),
        ),
        Response::SearchDone(result) => Told::Done(
            result.clone(),
            SyncDone::find(&message.controls).expect("readable"),
        ),
        _ => return None,
    })
}

pub(super) fn sync(mode: SyncMode, cookie: Option<&Bytes>) -> Control {
    SyncRequest {
        mode,
        cookie: cookie.cloned(),
        reload_hint: false,
    }
    .to_control()
}

/// What is below a base and matches.
pub(super) fn below(base: &str, filter: &str, attributes: &[&str]) -> Search {
    let mut search = Search::new(base, Scope::Subtree, Filter::parse(filter).expect("a filter"));
    search.attributes = attributes.iter().map(|&name| name.to_owned()).collect();
    search
}

/// Sets one value.
pub(super) fn set(dn: &str, attribute: &str, value: &str) -> Request {
    Request::Modify(Modify {
        dn: dn.to_owned(),
        changes: vec![Modification {
            operation: ModifyOperation::Replace,
            attribute: Attribute::new(attribute.to_owned(), vec![Bytes::from(value.to_owned())]),
        }],
    })
}
