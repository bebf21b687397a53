//! The handle of a connection, and the ticket of one operation.

use super::inner::{Inner, Permit, Waiter};
use super::keep_alive::KeepAlive;
use super::reader::Reader;
use super::search::{self, Patience, SearchRequest, SearchStream};
use super::writer::{QUEUE, Writer};
use super::{CloseReason, ConnectOptions, LdapError, open};
use crate::control::Control;
use crate::message::{Intake, Limits, Message, MessageId, Request, Response, encode_request};
use bytes::{Bytes, BytesMut};
use net::Connection;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A connection to a directory server. Clones share it; when the last of them and of its search streams goes, it
/// unbinds and closes.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    inner: Arc<Inner>,
    requests: mpsc::Sender<Bytes>,
    operation_timeout: Duration,
    search_items: usize,
    search_bytes: usize,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close(CloseReason::Local);
    }
}

impl Client {
    /// Connects, with TLS as the options say. The connection is anonymous until a bind.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, LdapError> {
        match timeout(options.connect_timeout, open::open(options)).await {
            Ok(connection) => Ok(Self::over(connection?, options)),
            Err(_) => Err(LdapError::TimedOut),
        }
    }

    /// A client over a stream that is ready.
    pub(super) fn over(connection: Connection, options: &ConnectOptions) -> Self {
        let (inner, abandoned) = Inner::new(options.max_pending);
        let (requests, queue) = mpsc::channel(QUEUE);
        let (read, write) = tokio::io::split(connection);
        let reader = Reader {
            stream: read,
            inner: inner.clone(),
            intake: Intake::new(Limits {
                message: options.max_message,
                entry: options.max_entry,
            }),
            stall_timeout: options.stall_timeout,
        };
        let writer = Writer {
            stream: write,
            requests: queue,
            abandoned,
            inner: inner.clone(),
            limit: options.operation_timeout,
        };
        let client = Self {
            handle: Arc::new(Handle {
                inner: inner.clone(),
                requests,
                operation_timeout: options.operation_timeout,
                search_items: options.search_items,
                search_bytes: options.search_bytes,
            }),
        };
        let keep_alive = KeepAlive {
            inner,
            client: client.downgrade(),
            interval: options.keep_alive,
            limit: options.operation_timeout,
        };
        tokio::spawn(reader.run());
        tokio::spawn(writer.run());
        tokio::spawn(keep_alive.run());
        client
    }

    /// A handle that does not keep the connection open.
    fn downgrade(&self) -> WeakClient {
        WeakClient(Arc::downgrade(&self.handle))
    }

    /// True when the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.inner.is_closed()
    }

    /// Waits for the end of the connection and says why it ended.
    pub async fn closed(&self) -> CloseReason {
        self.handle.inner.closed().await
    }

    /// Unbinds and closes. Operations that wait end with an error.
    pub fn close(&self) {
        self.handle.inner.close(CloseReason::Local);
    }

    /// Sends a request and waits for its answer, until the deadline. Dropping the future abandons the request.
    pub(super) async fn call(
        &self,
        request: &Request,
        controls: &[Control],
    ) -> Result<Message<Response>, LdapError> {
        self.in_time(async {
            let (waiter, answer) = oneshot::channel();
            let mut ticket = self.start(Waiter::One(waiter), request, controls).await?;
            let message = answer.await.map_err(|_| ticket.closed())?;
            ticket.finish();
            Ok(message)
        })
        .await
    }

    /// The same for a bind: it has the connection for itself, and cannot be abandoned.
    pub(super) async fn call_bind(
        &self,
        request: &Request,
        controls: &[Control],
    ) -> Result<Message<Response>, LdapError> {
        self.in_time(async {
            let inner = &self.handle.inner;
            let _alone = inner.gate.clone().write_owned().await;
            let (waiter, answer) = oneshot::channel();
            let id = inner.register(Waiter::One(waiter))?;
            // RFC 4511 section 4.11 has no abandon for a bind. Given up half-way, it leaves a connection that may
            // act for somebody else: nobody may use it.
            let mut guard = BindGuard {
                inner: inner.clone(),
                done: false,
            };
            self.send(id, request, controls).await?;
            let message = answer
                .await
                .map_err(|_| LdapError::Closed(inner.close_reason()))?;
            guard.done = true;
            Ok(message)
        })
        .await
    }

    pub(super) async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, LdapError> {
        match timeout(self.handle.operation_timeout, operation).await {
            Ok(result) => result,
            Err(_) => Err(LdapError::TimedOut),
        }
    }

    /// Starts a search. Its results come through the stream; dropping that abandons the search.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchStream, LdapError> {
        let limit = match request.patience {
            Patience::Deadline => Some(self.handle.operation_timeout),
            Patience::Endless => None,
        };
        let (sink, source) = search::queue(self.handle.search_items, self.handle.search_bytes);
        let operation = Request::Search(Box::new(request.search));
        let ticket = self
            .in_time(self.start(Waiter::Search(sink), &operation, &request.controls))
            .await?;
        Ok(SearchStream::new(ticket, source, limit))
    }

    pub(super) async fn start(
        &self,
        waiter: Waiter,
        request: &Request,
        controls: &[Control],
    ) -> Result<Ticket, LdapError> {
        let permit = self.handle.inner.gate.clone().read_owned().await;
        let id = self.handle.inner.register(waiter)?;
        let ticket = Ticket {
            client: self.clone(),
            id,
            permit: Some(permit),
        };
        self.send(id, request, controls).await?;
        Ok(ticket)
    }

    async fn send(&self, id: MessageId, request: &Request, controls: &[Control]) -> Result<(), LdapError> {
        let mut out = BytesMut::new();
        encode_request(id, request, controls, &mut out);
        let sent = self.handle.requests.send(out.freeze()).await;
        sent.map_err(|_| LdapError::Closed(self.handle.inner.close_reason()))
    }

    /// Ends the connection because of what the server answered.
    pub(super) fn protocol_error(&self, problem: &str) -> LdapError {
        self.handle.inner.close(CloseReason::Protocol(problem.to_owned()));
        LdapError::Protocol(problem.to_owned())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// A handle that does not keep the connection open.
pub(super) struct WeakClient(std::sync::Weak<Handle>);

impl WeakClient {
    pub(super) fn upgrade(&self) -> Option<Client> {
        self.0.upgrade().map(|handle| Client { handle })
    }
}

/// One operation under way. Dropped before its end, it abandons the operation.
pub(super) struct Ticket {
    client: Client,
    id: MessageId,
    /// None when the operation is over.
    permit: Option<Permit>,
}

impl Ticket {
    /// The operation's id.
    pub(super) const fn id(&self) -> MessageId {
        self.id
    }

    /// The server has answered: there is nothing to abandon.
    pub(super) fn finish(&mut self) {
        self.permit = None;
    }

    /// Gives the operation up and tells the server.
    pub(super) fn abandon(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.client.handle.inner.abandon(self.id, Some(permit));
        }
    }

    /// The error of an operation that the end of the connection cut off.
    pub(super) fn closed(&self) -> LdapError {
        LdapError::Closed(self.client.handle.inner.close_reason())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.abandon();
    }
}

struct BindGuard {
    inner: Arc<Inner>,
    done: bool,
}

impl Drop for BindGuard {
    fn drop(&mut self) {
        if !self.done {
            self.inner.close(CloseReason::BindInterrupted);
        }
    }
}
