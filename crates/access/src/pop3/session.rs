//! The session: read, dispatch, write. What waits, waits here, with a deadline.

use super::commands::{self, Next};
use super::reply;
use super::service::Pop3Service;
use super::state::{Session, State};
use crate::channel::{Channel, Standing};
use crate::registered::{self, Reach};
use model::TlsState;
use net::{Accepted, LinePolicy, LineStream, ListenerConfig, ReadError, ServerTls, SessionEnd, Shutdown};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::pop3::{Command, DotEncoder, Response, XCLIENT_GREETING};

/// RFC 2449 section 4 has 255 octets; a SASL response may be longer (RFC 5034 section 4).
const MAX_LINE: usize = 16 * 1024;
/// How long a handshake or the last flush may take.
const SHORT: Duration = Duration::from_secs(30);
/// Output is sent past this; the client's reading paces ours of the store.
const MAX_QUEUED: usize = 64 * 1024;

/// Why a session ended, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Quit,
    Closed,
    TimedOut,
    Failures,
    Errors,
    Shutdown,
    Told,
    Tls,
}

/// Serves one connection to its end.
pub async fn serve(accepted: Accepted, service: Arc<Pop3Service>) {
    let mut driver = Driver::new(accepted, service);
    let (trace, client) = (driver.session.peer.trace, driver.session.peer.client);
    let end = driver.run().await;
    tracing::debug!(%trace, %client, ?end, "session ended");
    let Driver { stream, session, .. } = driver;
    // The maildrop is free before the client hears goodbye, or its next session could find it in use.
    drop(session);
    stream.close(SHORT).await;
}

/// Waits until the session is told to end. While the server stops it has until the end of the drain.
async fn told(place: Option<Arc<net::Session>>, shutdown: &Shutdown) {
    if registered::ended(place).await == SessionEnd::Drained && shutdown.is_requested() {
        shutdown.drained().await;
    }
}

struct Driver {
    stream: LineStream,
    tls: Option<ServerTls>,
    shutdown: Shutdown,
    listener: Arc<ListenerConfig>,
    idle: Duration,
    /// When the client must have logged in.
    login_by: Instant,
    errors: u32,
    session: Session,
}

impl Driver {
    fn new(accepted: Accepted, service: Arc<Pop3Service>) -> Self {
        let trusted = accepted.is_trusted();
        let stls = accepted.tls.is_some() && accepted.peer.tls == TlsState::Plain;
        let stream = LineStream::new(accepted.connection, MAX_LINE).with_policy(LinePolicy::AcceptLf);
        let authenticator = service.parts.authenticator.as_ref();
        let standing = Standing::of(trusted);
        let channel = Channel::of(&stream, &accepted.peer, &accepted.config, authenticator, standing);
        let reach = Reach::of(&stream);
        Self {
            stream,
            tls: accepted.tls,
            shutdown: accepted.shutdown,
            idle: accepted.config.idle(),
            listener: accepted.config,
            login_by: Instant::now() + Duration::from_secs(service.config.login_timeout),
            errors: 0,
            session: Session {
                service,
                connected: accepted.peer.clone(),
                client_tls: Some(accepted.peer.tls),
                peer: accepted.peer,
                trusted,
                stls,
                channel,
                state: State::Authorization { user: None },
                place: None,
                reach,
                failures: 0,
            },
        }
    }

    async fn run(&mut self) -> End {
        let announce = self.session.trusted.then_some(XCLIENT_GREETING);
        let greeting = reply::greeting(self.session.service.parts.server_name.as_str(), announce);
        self.write(&greeting);
        loop {
            let failures = self.session.failures;
            let next = match self.next_line().await {
                Ok(line) => self.dispatch(&line).await,
                Err(ReadError::LineTooLong) => {
                    // What follows is a command again, not the next response of the exchange.
                    if matches!(self.session.state, State::Exchange { .. }) {
                        self.session.state = State::Authorization { user: None };
                    }
                    Next::Wrong(reply::line_too_long())
                }
                // RFC 1939 section 3: the autologout timer ends the session without UPDATE, and in silence.
                Err(ReadError::TimedOut) => return End::TimedOut,
                Err(_) if let Some(why) = self.told() => {
                    self.write(&reply::told(why));
                    return End::Told;
                }
                Err(_) if self.shutdown.is_requested() => {
                    self.write(&reply::shutting_down());
                    return End::Shutdown;
                }
                Err(_) => return End::Closed,
            };
            if self.session.failures > failures {
                crate::delay::after_failed_login(&self.shutdown).await;
            }
            if let Some(end) = self.act(next).await {
                return end;
            }
            if self.session.failures >= self.session.service.config.max_login_failures {
                self.write(&reply::too_many_failures());
                return End::Failures;
            }
            if self.errors >= self.session.service.config.max_errors {
                self.write(&reply::too_many_errors());
                return End::Errors;
            }
            if self.pace().await.is_none() {
                return End::Closed;
            }
        }
    }

    /// The next line, or the order to stop. A session that is logged in may go on until the time to drain is
    /// over, so that its deletions are not lost.
    async fn next_line(&mut self) -> Result<bytes::Bytes, ReadError> {
        let (shutdown, place) = (self.shutdown.clone(), self.session.place.clone());
        let logged_in = matches!(self.session.state, State::Transaction(_));
        let stop = async move {
            if logged_in {
                tokio::select! {
                    () = shutdown.drained() => {}
                    () = told(place, &shutdown) => {}
                }
            } else {
                shutdown.requested().await;
            }
        };
        let limit = if logged_in {
            self.idle
        } else {
            let left = self.login_by.saturating_duration_since(Instant::now());
            // Commands that anybody may give do not put the end off, however fast they come.
            if left.is_zero() {
                return Err(ReadError::TimedOut);
            }
            self.idle.min(left)
        };
        tokio::select! {
            biased;
            line = self.stream.read_line(limit) => line,
            () = stop => Err(ReadError::Closed),
        }
    }

    /// Why the session has to end now, for another reason than that the server stops.
    fn told(&self) -> Option<SessionEnd> {
        let why = self.session.place.as_ref()?.ending()?;
        (why != SessionEnd::Drained || !self.shutdown.is_requested()).then_some(why)
    }

    async fn dispatch(&mut self, line: &[u8]) -> Next {
        if matches!(self.session.state, State::Exchange { .. }) {
            return commands::respond(&mut self.session, line).await;
        }
        match Command::parse(line) {
            Ok(command) => commands::run(&mut self.session, command).await,
            Err(error) => Next::Wrong(reply::command_error(error)),
        }
    }

    async fn act(&mut self, next: Next) -> Option<End> {
        match next {
            Next::Reply(response) => self.write(&response),
            Next::Wrong(response) => {
                self.errors = self.errors.saturating_add(1);
                self.write(&response);
            }
            Next::Close(response) => {
                self.write(&response);
                return Some(End::Quit);
            }
            Next::Lines(response, lines) => {
                self.write(&response);
                for piece in lines.as_bytes().chunks(MAX_QUEUED) {
                    self.stream.write(piece);
                    if self.pace().await.is_none() {
                        return Some(End::Closed);
                    }
                }
                self.stream.write(b".\r\n");
            }
            Next::Message(response, message) => {
                self.write(&response);
                return self.send(&message).await;
            }
            Next::StartTls(response) => {
                self.write(&response);
                return self.start_tls().await;
            }
        }
        None
    }

    /// Writes a message dot-stuffed, in pieces that the client's reading paces.
    async fn send(&mut self, message: &[u8]) -> Option<End> {
        let mut encoder = DotEncoder::new();
        let mut out = Vec::new();
        for piece in message.chunks(MAX_QUEUED / 2) {
            out.clear();
            encoder.encode(piece, &mut out);
            self.stream.write(&out);
            if self.pace().await.is_none() {
                return Some(End::Closed);
            }
        }
        out.clear();
        encoder.finish(&mut out);
        self.stream.write(&out);
        None
    }

    async fn start_tls(&mut self) -> Option<End> {
        let Some(tls) = self.tls.take() else {
            return Some(End::Tls);
        };
        // What the client sent after STLS and before the handshake is dropped in there.
        if let Err(error) = self.stream.start_tls(&tls, SHORT).await {
            tracing::debug!(trace = %self.session.peer.trace, %error, "no TLS");
            return Some(End::Tls);
        }
        // RFC 2595 section 4: what was learnt before the handshake is forgotten.
        self.session.state = State::Authorization { user: None };
        self.session.stls = false;
        self.session.trusted |= self.listener.trusts_holder(self.stream.connection());
        self.session.peer = self.session.connected.clone();
        self.session.peer.tls = TlsState::Encrypted;
        self.session.client_tls = Some(TlsState::Encrypted);
        let authenticator = self.session.service.parts.authenticator.as_ref();
        let standing = Standing::of(self.session.trusted);
        let (stream, peer) = (&self.stream, &self.session.peer);
        self.session.channel = Channel::of(stream, peer, &self.listener, authenticator, standing);
        None
    }

    fn write(&mut self, response: &Response) {
        let mut out = Vec::with_capacity(96);
        response.encode(&mut out);
        self.stream.write(&out);
    }

    /// Sends what is queued when it is much; none when the client is gone.
    async fn pace(&mut self) -> Option<()> {
        if self.stream.queued() > MAX_QUEUED {
            self.stream.flush(self.idle).await.ok()?;
        }
        Some(())
    }
}
