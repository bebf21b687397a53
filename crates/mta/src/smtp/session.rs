//! The session: read, dispatch, write. What waits, waits here, with a deadline.

use super::commands::{self, Next};
use super::data::{self, Chunks, Incoming};
use super::reply::{self, DataProblem};
use super::state::{Hello, Phase, Session, State, Transaction};
use crate::deliver::deliver;
use crate::receiver::{Dialect, Receiver};
use model::TlsState;
use net::{Accepted, LineStream, ListenerConfig, ReadError, ServerTls, Shutdown};
use std::sync::Arc;
use std::time::Duration;
use wire::smtp::{ClientClaims, Command, CommandError, Received, Reply, Severity};

/// RFC 5321 section 4.5.3.2.7: at least five minutes for the next command.
const COMMAND: Duration = Duration::from_secs(300);
/// How long a handshake or the last flush may take.
const SHORT: Duration = Duration::from_secs(30);
/// RFC 5321 section 4.5.3.1.4 has 512 octets; paths and parameters of later extensions need more.
const MAX_LINE: usize = 2048;
/// Queued replies are sent at the latest past this.
const MAX_QUEUED: usize = 64 * 1024;
/// Commands that a client may send without moving a transaction forward.
const MAX_IDLE_COMMANDS: u32 = 100;

/// Why a session ended, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Quit,
    Closed,
    TimedOut,
    Errors,
    Shutdown,
    Tls,
    Endless,
}

/// Serves one connection to its end.
pub async fn serve(accepted: Accepted, receiver: Arc<Receiver>) {
    let mut driver = Driver::new(accepted, receiver);
    let trace = driver.session.peer.trace;
    let client = driver.session.peer.client;
    let protocol = driver.session.receiver.dialect().protocol();
    let end = driver.run().await;
    tracing::debug!(%trace, %client, %protocol, ?end, "session ended");
    driver.stream.close(SHORT).await;
}

struct Driver {
    stream: LineStream,
    tls: Option<ServerTls>,
    shutdown: Shutdown,
    listener: Arc<ListenerConfig>,
    idle: Duration,
    session: Session,
    /// The message, when it comes in chunks and is not whole yet.
    chunks: Option<Chunks>,
}

impl Driver {
    fn new(accepted: Accepted, receiver: Arc<Receiver>) -> Self {
        let trusted = accepted.is_trusted();
        let starttls = accepted.tls.is_some() && accepted.peer.tls == TlsState::Plain;
        Self {
            stream: LineStream::new(accepted.connection, MAX_LINE),
            tls: accepted.tls,
            shutdown: accepted.shutdown,
            idle: accepted.config.idle().min(COMMAND),
            listener: accepted.config,
            chunks: None,
            session: Session {
                receiver,
                connected: accepted.peer.client,
                client_tls: Some(accepted.peer.tls),
                peer: accepted.peer,
                trusted,
                starttls,
                state: State::Start,
                taken_over_helo: None,
                forwarded: ClientClaims::default(),
                transactions: 0,
                errors: 0,
                idle_commands: 0,
            },
        }
    }

    async fn run(&mut self) -> End {
        let greeting = commands::greeting(&self.session);
        self.write(&greeting);
        loop {
            let next = match self.next_line().await {
                Ok(line) => self.dispatch(&line).await,
                Err(ReadError::LineTooLong) => Next::Reply(reply::line_too_long()),
                Err(error) => return self.broken(&error),
            };
            if let Some(end) = self.act(next).await {
                return end;
            }
            if self.too_many_errors() {
                self.write(&reply::too_many_errors());
                return End::Errors;
            }
            if self.stream.queued() > MAX_QUEUED && self.stream.flush(self.idle).await.is_err() {
                return End::Closed;
            }
        }
    }

    /// The next line, or the order to stop: between transactions at once, in one when the time to drain is over.
    async fn next_line(&mut self) -> Result<bytes::Bytes, ReadError> {
        let shutdown = self.shutdown.clone();
        let in_transaction = matches!(self.session.phase(), Phase::Mail | Phase::Rcpt | Phase::Chunks);
        let stop = async move {
            if in_transaction {
                shutdown.drained().await;
            } else {
                shutdown.requested().await;
            }
        };
        tokio::select! {
            biased;
            line = self.stream.read_line(self.idle) => line,
            () = stop => Err(ReadError::Closed),
        }
    }

    fn broken(&mut self, error: &ReadError) -> End {
        match error {
            ReadError::TimedOut => {
                self.write(&reply::timed_out());
                End::TimedOut
            }
            _ if self.shutdown.is_requested() => {
                self.write(&reply::shutting_down());
                End::Shutdown
            }
            _ => End::Closed,
        }
    }

    async fn dispatch(&mut self, line: &[u8]) -> Next {
        match Command::parse(line, self.session.extensions()) {
            Ok(command) => commands::run(&mut self.session, command).await,
            // Where its data ends is not known.
            Err(error @ CommandError::ChunkSize) => Next::Close(reply::command_error(error)),
            Err(error) => Next::Reply(reply::command_error(error)),
        }
    }

    async fn act(&mut self, next: Next) -> Option<End> {
        if self.session.phase() != Phase::Chunks {
            // The transaction was given up.
            self.chunks = None;
        }
        match next {
            Next::Reply(reply) => {
                self.write(&reply);
                None
            }
            Next::Close(reply) => {
                self.write(&reply);
                Some(End::Quit)
            }
            Next::StartTls(reply) => {
                self.write(&reply);
                self.start_tls().await
            }
            Next::Data(reply) => {
                self.write(&reply);
                self.data().await
            }
            Next::Chunk { size, last } => self.chunk(size, last).await,
            Next::Skip(size, reply) => {
                let receiver = self.session.receiver.clone();
                let end = match data::skip(&mut self.stream, &receiver, size).await {
                    Ok(Ok(())) => None,
                    Ok(Err(_)) => Some(End::Endless),
                    Err(error) => return Some(self.broken(&error)),
                };
                self.write(&reply);
                end
            }
        }
    }

    async fn start_tls(&mut self) -> Option<End> {
        let Some(tls) = self.tls.take() else {
            return Some(End::Tls);
        };
        // What the client sent after STARTTLS and before the handshake is dropped in there.
        if let Err(error) = self.stream.start_tls(&tls, SHORT).await {
            tracing::debug!(trace = %self.session.peer.trace, %error, "no TLS");
            return Some(End::Tls);
        }
        // RFC 3207 section 4.2: what was said in the clear was said by anybody.
        self.session.forget();
        self.session.peer.client = self.session.connected;
        self.session.starttls = false;
        self.session.trusted |= self.listener.trusts_holder(self.stream.connection());
        self.session.peer.tls = TlsState::Encrypted;
        self.session.client_tls = Some(TlsState::Encrypted);
        None
    }

    /// Reads the message and delivers it; the transaction is over whatever comes.
    async fn data(&mut self) -> Option<End> {
        let trace_fields = self.trace_fields()?;
        let receiver = self.session.receiver.clone();
        let started = receiver.parts.clock.monotonic();
        let read = match data::read(&mut self.stream, &receiver, trace_fields).await {
            Ok(read) => read,
            Err(error) => return Some(self.broken(&error)),
        };
        self.finish(read, started).await
    }

    /// Reads a chunk; the last one delivers the message.
    async fn chunk(&mut self, size: u64, last: bool) -> Option<End> {
        let receiver = self.session.receiver.clone();
        let started = receiver.parts.clock.monotonic();
        let mut chunks = match self.chunks.take() {
            Some(chunks) => chunks,
            None => Chunks::new(&receiver, self.trace_fields()?),
        };
        match chunks.take(&mut self.stream, size).await {
            Err(error) => Some(self.broken(&error)),
            Ok(Ok(())) if last => self.finish(chunks.finish(), started).await,
            Ok(Ok(())) => {
                self.write(&reply::chunk_taken());
                self.chunks = Some(chunks);
                None
            }
            Ok(Err(problem)) if last => self.finish(Err(problem), started).await,
            // One reply, in LMTP too: more than one comes with the last chunk only.
            Ok(Err(problem)) => {
                self.session.end_transaction();
                self.write(&reply::data_problem(problem));
                (problem == DataProblem::Endless).then_some(End::Endless)
            }
        }
    }

    /// What goes before the message.
    fn trace_fields(&self) -> Option<String> {
        let State::Mail(hello, transaction) = &self.session.state else {
            return None;
        };
        let receiver = &self.session.receiver;
        let recipient = match transaction.recipients.as_slice() {
            [one] => match &one.path {
                wire::smtp::ForwardPath::Address(address) => Some(address),
                wire::smtp::ForwardPath::Postmaster => None,
            },
            _ => None,
        };
        let received = Received {
            helo: self.session.taken_over_helo.as_deref().unwrap_or(&hello.name),
            client: self.session.peer.client.ip(),
            by: receiver.parts.server_name.as_str(),
            with: self.session.transmission(hello, &transaction.parameters),
            id: transaction.trace,
            recipient,
            at: receiver.parts.clock.now(),
        };
        // RFC 5321 section 4.4: the final delivery records the reverse-path.
        Some(format!("Return-Path: <{}>\r\n{received}", transaction.from))
    }

    /// Delivers a message, or says why there is none; the transaction is over.
    async fn finish(&mut self, read: Result<Incoming, DataProblem>, started: Duration) -> Option<End> {
        let claims = self.session.forwarded.clone();
        let (hello, transaction) = self.session.end_transaction()?;
        let receiver = self.session.receiver.clone();
        let (size, replies) = match read {
            Ok(incoming) => {
                let size = incoming.message.bytes.len() - incoming.message.client_at;
                let recipients: Vec<_> = transaction
                    .recipients
                    .iter()
                    .map(|r| r.accounts.clone())
                    .collect();
                let outcomes = deliver(&receiver, &transaction.from, &recipients, incoming.message).await;
                drop(incoming.share);
                for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                    tracing::warn!(trace = %transaction.trace, %error, "not delivered");
                }
                let replies = match receiver.dialect() {
                    Dialect::Smtp => vec![reply::outcomes(&outcomes, transaction.trace)],
                    // RFC 2033 section 4.2: one reply for each recipient, in their order.
                    Dialect::Lmtp => outcomes
                        .iter()
                        .map(|one| reply::outcome(one, transaction.trace))
                        .collect(),
                };
                (size, replies)
            }
            Err(problem) => {
                let count = match receiver.dialect() {
                    Dialect::Smtp => 1,
                    Dialect::Lmtp => transaction.recipients.len(),
                };
                let replies = vec![reply::data_problem(problem); count];
                if problem == DataProblem::Endless {
                    replies.iter().for_each(|reply| self.write(reply));
                    return Some(End::Endless);
                }
                (0, replies)
            }
        };
        self.log(&claims, &hello, &transaction, (size, started), &replies);
        for reply in &replies {
            self.write(reply);
        }
        self.session.idle_commands = 0;
        None
    }

    fn log(
        &self,
        claims: &ClientClaims,
        hello: &Hello,
        transaction: &Transaction,
        (size, started): (usize, Duration),
        replies: &[Reply],
    ) {
        let clock = &self.session.receiver.parts.clock;
        tracing::info!(
            trace = %transaction.trace,
            session = %self.session.peer.trace,
            protocol = %self.session.receiver.dialect().protocol(),
            client = %claims.addr.unwrap_or(self.session.peer.client.ip()),
            port = self.session.port(claims),
            transport = self.session.transport(claims),
            helo = %claims.helo.as_deref().unwrap_or(&hello.name),
            from = %transaction.from,
            to = ?transaction.recipients.iter().map(|r| r.path.to_string()).collect::<Vec<_>>(),
            size,
            milliseconds = clock.monotonic().saturating_sub(started).as_millis(),
            result = %replies.iter().map(Reply::to_string).collect::<Vec<_>>().join("; "),
            "message"
        );
    }

    fn write(&mut self, reply: &Reply) {
        if reply.severity() == Severity::Permanent {
            self.session.errors = self.session.errors.saturating_add(1);
        }
        let mut out = Vec::with_capacity(128);
        reply.encode(&mut out);
        self.stream.write(&out);
    }

    fn too_many_errors(&self) -> bool {
        let session = &self.session;
        let stuck = session.idle_commands > MAX_IDLE_COMMANDS;
        !session.trusted && (stuck || session.errors >= session.receiver.limits.errors)
    }
}
