//! A relay that reads the requests that pass: it counts the searches, can refuse a control in the server's place, can
//! have the server hand out `member` in parts, and can hang up at a request.

use bytes::{Bytes, BytesMut};
use ldap::message::{Frame, Message, Request, Response, frame};
use ldap::{LdapResult, ResultCode};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

/// One search that passed, or was refused.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) filter: String,
    pub(crate) attributes: Vec<String>,
    pub(crate) refused: bool,
}

/// What the relay does beside reading.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meddle {
    Not,
    /// Refuses requests with a control of this OID: it is not offered, or a right is missing.
    Refuse(&'static str, ResultCode),
    /// No more values of `member` at once than this, as a domain controller by its policy MaxValRange. The parts are
    /// made by the server, which is asked for them.
    Parts(usize),
    /// A request that holds this text ends its connection, as one does that is too large for the server.
    HangUp(&'static str),
}

/// Relays to one server, without TLS.
pub(crate) struct Spy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<Mutex<Vec<usize>>>,
}

impl Spy {
    pub(crate) async fn to(port: u16, meddle: Meddle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let ends: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (heard, ended) = (Arc::clone(&asked), Arc::clone(&ends));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (mut from_server, to_server) = server.into_split();
                let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
                let answers = Arc::clone(&to_client);
                let requests = Requests {
                    heard: Arc::clone(&heard),
                    ends: Arc::clone(&ended),
                    meddle,
                };
                tokio::spawn(async move {
                    requests.pass(from_client, to_server, &to_client).await;
                });
                tokio::spawn(async move {
                    let mut read = Framed::default();
                    // Whole messages, so that ours can stand between them.
                    while let Some(message) = read.next(&mut from_server).await {
                        if answers.lock().await.write_all(&message).await.is_err() {
                            return;
                        }
                    }
                    let _ = answers.lock().await.shutdown().await;
                });
            }
        });
        Self { address, asked, ends }
    }

    pub(crate) fn uri(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// What was asked since the last call.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock())
    }

    /// Of each end of a transaction: the searches that were asked and answered between its last update and it.
    pub(crate) fn looks_before_ends(&self) -> Vec<usize> {
        self.ends.lock().clone()
    }
}

struct Requests {
    heard: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<Mutex<Vec<usize>>>,
    meddle: Meddle,
}

impl Requests {
    async fn pass(
        &self,
        mut from: OwnedReadHalf,
        mut to: impl AsyncWrite + Unpin,
        back: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    ) {
        let mut read = Framed::default();
        let mut looks = 0;
        while let Some(bytes) = read.next(&mut from).await {
            if let Meddle::HangUp(text) = self.meddle
                && bytes.windows(text.len()).any(|part| part == text.as_bytes())
            {
                return;
            }
            let message = Message::<Request>::decode(bytes.clone()).expect("a request");
            let has = |oid| message.controls.iter().any(|control| control.oid == oid);
            let refused = match self.meddle {
                Meddle::Refuse(oid, code) if has(oid) => Some(code),
                _ => None,
            };
            match &message.operation {
                Request::Search(_) => looks += 1,
                Request::Extended(extended) if extended.name == ldap::extended::END_TRANSACTION => {
                    self.ends.lock().push(looks);
                }
                _ => looks = 0,
            }
            if let Request::Search(search) = &message.operation {
                self.heard.lock().push(Asked {
                    filter: search.filter.to_string(),
                    attributes: search.attributes.clone(),
                    refused: refused.is_some(),
                });
            }
            let written = match refused {
                None => to.write_all(&self.changed(bytes, message)).await,
                Some(code) => {
                    let done = Response::SearchDone(LdapResult::new(code));
                    let mut out = BytesMut::new();
                    Message::<Response>::new(message.id, done).encode(&mut out);
                    back.lock().await.write_all(&out).await
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}

impl Requests {
    fn changed(&self, bytes: Bytes, mut message: Message<Request>) -> Bytes {
        let (Meddle::Parts(size), Request::Search(search)) = (self.meddle, &mut message.operation) else {
            return bytes;
        };
        for attribute in &mut search.attributes {
            let start = match attribute.strip_prefix("member") {
                Some("") => 0,
                Some(range) => {
                    let range = range.strip_prefix(";range=").expect("a range");
                    let start = range.strip_suffix("-*").expect("to the end");
                    start.parse().expect("a number")
                }
                None => continue,
            };
            *attribute = format!("member;range={start}-{}", start + size - 1);
        }
        let mut out = BytesMut::new();
        message.encode(&mut out);
        out.freeze()
    }
}

/// The messages of one direction.
#[derive(Default)]
struct Framed(BytesMut);

impl Framed {
    async fn next(&mut self, from: &mut OwnedReadHalf) -> Option<Bytes> {
        loop {
            if let Frame::Complete(length) = frame(&self.0, 1 << 26).expect("LDAP") {
                return Some(self.0.split_to(length).freeze());
            }
            if from.read_buf(&mut self.0).await.ok()? == 0 {
                return None;
            }
        }
    }
}
