//! One session: read a command, carry it out, write the reply.

use super::ImapService;
use super::commands;
use super::reply::{self, Failure, Farewell};
use super::state::{Legal, Selected, State, User};
use super::updates::{self, Expunges};
use bytes::{Bytes, BytesMut};
use model::{Peer, TlsState};
use net::{Accepted, LinePolicy, LineStream, ListenerConfig, ReadError, ServerTls, Shutdown};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wire::imap::{
    Append, Assembler, Command, CommandBody, LiteralHeader, LiteralKind, Next, StatusLine, Tag,
};

/// The limit of a command before login.
const SMALL_COMMAND: usize = 8 * 1024;
/// Output above this is sent before more is made.
const HIGH_WATER: usize = 64 * 1024;
/// How long a client may take to read what is queued.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may pause inside a literal.
const DATA_TIMEOUT: Duration = Duration::from_secs(300);
/// Octets a second below which a message on its way in is given up, after [`DATA_TIMEOUT`].
const SLOWEST: u64 = 1024;
/// How long an APPEND waits for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a session looks whether its account may still be used.
const RECHECK: Duration = Duration::from_secs(60);
/// A literal that was refused but comes anyway (LITERAL+) is skipped up to this size.
const MAX_SKIPPED: u64 = 1 << 30;

/// A session.
pub(super) struct Session {
    pub(super) service: Arc<ImapService>,
    pub(super) stream: LineStream,
    pub(super) peer: Peer,
    /// The peer as it connected, before any claim about who it stands for.
    connected: Peer,
    pub(super) listener: Arc<ListenerConfig>,
    /// For STARTTLS.
    pub(super) tls: Option<ServerTls>,
    /// Whether the client's own connection is encrypted; none when its front end does not tell.
    pub(super) client_tls: Option<TlsState>,
    /// Whether what the client says about its own client is believed.
    pub(super) trusted: bool,
    pub(super) shutdown: Shutdown,
    pub(super) state: State,
    pub(super) login_failures: u32,
    /// Its place in the registry, once somebody is logged in.
    pub(super) place: Option<Arc<net::Session>>,
    errors: u32,
    started: Duration,
}

/// What the client asks for.
pub(super) enum Request {
    /// Anything but APPEND.
    Command(CommandBody),
    /// APPEND with its message; the permit gives its memory back.
    Append(Append, Bytes, OwnedSemaphorePermit),
}

/// What reading gave.
enum Input {
    Request(Tag, Box<Request>),
    /// Answered as it stands; none for an untagged reply.
    Refused(Option<Tag>, StatusLine),
}

impl Session {
    pub(super) fn new(accepted: Accepted, service: Arc<ImapService>) -> Self {
        let trusted = accepted.is_trusted();
        Self {
            stream: LineStream::new(accepted.connection, SMALL_COMMAND).with_policy(LinePolicy::AcceptLf),
            client_tls: Some(accepted.peer.tls),
            connected: accepted.peer.clone(),
            peer: accepted.peer,
            listener: accepted.config,
            tls: accepted.tls,
            trusted,
            shutdown: accepted.shutdown,
            state: State::NotAuthenticated,
            login_failures: 0,
            place: None,
            errors: 0,
            started: service.clock.monotonic(),
            service,
        }
    }

    /// The whole session. When it returns, the connection is closed.
    pub(super) async fn run(mut self) {
        tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, "imap: connected");
        let greeting = reply::ok("Homing is ready").with_code(commands::capability::code(&self));
        self.line(None, &greeting);
        if let Some(farewell) = self.dialogue().await {
            self.line(None, &farewell);
        }
        tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, "imap: disconnected");
        self.stream.close(Duration::from_secs(10)).await;
    }

    /// Commands until the end; the farewell that is still to be said.
    async fn dialogue(&mut self) -> Option<StatusLine> {
        loop {
            let (shutdown, place) = (self.shutdown.clone(), self.place.clone());
            let input = tokio::select! {
                biased;
                () = shutdown.requested() => return Some(reply::bye_for_now("The server is going down")),
                why = crate::registered::ended(place) => return Some(reply::told(why)),
                input = self.read() => input,
            };
            let (tag, line) = match input {
                Ok(Input::Request(tag, request)) => {
                    let failures = self.login_failures;
                    let result = Box::pin(commands::run(self, &tag, *request)).await;
                    if self.login_failures > failures {
                        crate::delay::after_failed_login(&shutdown).await;
                    }
                    match result {
                        Ok(Some(line)) => (Some(tag), line),
                        Ok(None) => continue,
                        Err(failure) => {
                            self.report(&failure);
                            match reply::farewell(&failure) {
                                Farewell::Stay => (Some(tag), reply::failed(&failure)),
                                Farewell::Say(line) => return Some(line),
                                Farewell::Leave => return None,
                            }
                        }
                    }
                }
                Ok(Input::Refused(tag, line)) => (tag, line),
                Err(ReadError::TimedOut) => return Some(reply::bye("Idle for too long")),
                Err(ReadError::LineTooLong) => (None, reply::too_long()),
                Err(ReadError::Closed | ReadError::Io(_)) => return None,
            };
            let senseless = line.condition == wire::imap::Condition::Bad;
            self.line(tag.as_ref(), &line);
            if matches!(self.state, State::Logout) {
                return None;
            }
            self.errors = if senseless { self.errors + 1 } else { 0 };
            if self.errors >= self.service.config.max_errors {
                return Some(reply::bye("Too many commands that make no sense"));
            }
            if self.login_failures >= self.service.config.max_login_failures {
                return Some(reply::bye("Too many failed logins"));
            }
            // A client that pipelines wants its replies together.
            if !self.stream.has_input() || self.stream.queued() > HIGH_WATER {
                self.stream.flush(WRITE_TIMEOUT).await.ok()?;
            }
        }
    }

    /// Tells the log what the client is not told.
    fn report(&self, failure: &Failure) {
        if let Failure::Store(error) = failure {
            let address = self.state.user().map(|user| user.address.to_string());
            if error.is_temporary() {
                tracing::warn!(trace = %self.peer.trace, account = address, %error, "imap: the store failed");
            } else {
                tracing::debug!(trace = %self.peer.trace, account = address, %error, "imap: refused");
            }
        }
    }

    /// Queues a status response.
    pub(super) fn line(&mut self, tag: Option<&Tag>, line: &StatusLine) {
        let mut out = Vec::with_capacity(80);
        line.write(&mut out, tag);
        self.stream.write(&out);
    }

    /// How long the client may stay silent now.
    pub(super) fn patience(&self) -> Duration {
        match self.state {
            State::NotAuthenticated => {
                let spent = self.service.clock.monotonic().saturating_sub(self.started);
                Duration::from_secs(self.service.config.login_timeout).saturating_sub(spent)
            }
            _ => self.listener.idle(),
        }
    }

    /// Called when the login succeeded: the limits of strangers no longer hold.
    pub(super) fn authenticated(&mut self, user: User) {
        self.stream.set_max_line(self.command_limit());
        self.login_failures = 0;
        self.state = State::Authenticated(user);
    }

    fn command_limit(&self) -> usize {
        usize::try_from(self.service.config.max_command_size.0).unwrap_or(SMALL_COMMAND)
    }

    /// Called when STARTTLS succeeded.
    pub(super) fn encrypted(&mut self) {
        self.tls = None;
        self.trusted |= self.listener.trusts_holder(self.stream.connection());
        // Claims from before the handshake may be anybody's who sits on the way.
        self.peer = self.connected.clone();
        self.peer.tls = TlsState::Encrypted;
        self.client_tls = Some(TlsState::Encrypted);
    }

    /// The open mailbox, with what a command needs beside it.
    pub(super) fn selected(&mut self) -> Result<(&mut LineStream, &mut Selected), Failure> {
        match &mut self.state {
            State::Selected(_, selected) => Ok((&mut self.stream, selected)),
            _ => Err(Failure::WrongState),
        }
    }

    /// Who logged in.
    pub(super) fn user(&mut self) -> Result<(&mut LineStream, &User), Failure> {
        match &self.state {
            State::Authenticated(user) | State::Selected(user, _) => Ok((&mut self.stream, user)),
            State::NotAuthenticated | State::Logout => Err(Failure::WrongState),
        }
    }

    /// Looks once a minute whether the account may still be used: one that was disabled, deleted or moved
    /// away loses its sessions.
    pub(super) fn still_welcome(&mut self) -> Result<(), Failure> {
        let now = self.service.clock.monotonic();
        let Some(user) = self.state.user_mut() else {
            return Ok(());
        };
        if now.saturating_sub(user.checked) < RECHECK {
            return Ok(());
        }
        user.checked = now;
        match self.service.store.account(user.mail.account()) {
            Ok(Some(account)) if account.can_log_in() => Ok(()),
            Ok(_) => Err(Failure::NoLongerWelcome),
            // The command itself will meet the same trouble, and say so.
            Err(_) => Ok(()),
        }
    }

    /// Tells what changed in the open mailbox.
    pub(super) async fn update(&mut self, expunges: Expunges) -> Result<(), Failure> {
        match &mut self.state {
            State::Selected(_, selected) => updates::tell(&mut self.stream, selected, expunges).await,
            _ => Ok(()),
        }
    }

    /// Reads one command with its literals.
    async fn read(&mut self) -> Result<Input, ReadError> {
        let limit = match self.state {
            State::NotAuthenticated => SMALL_COMMAND,
            _ => self.command_limit(),
        };
        let mut assembler = Assembler::new(limit);
        let mut tag = None;
        loop {
            let patience = self.patience();
            // A client that never stops talking runs out of time like a silent one.
            if patience.is_zero() {
                return Err(ReadError::TimedOut);
            }
            let line = self.stream.read_line(patience).await?;
            if assembler.so_far().is_empty() {
                tag = Tag::leading(&line);
            }
            let literal = match assembler.line(&line) {
                Ok(Next::Complete(command)) => return Ok(parse(&command)),
                Ok(Next::Literal(literal)) => literal,
                Err(_) => return Ok(Input::Refused(tag, reply::too_long())),
            };
            if let Some((tag, append)) = Append::head(assembler.so_far()) {
                return self.read_append(tag, append, literal).await;
            }
            if !assembler.has_room(literal.size) {
                return self.refuse_literal(tag, literal, reply::too_long()).await;
            }
            self.invite(literal);
            let size = usize::try_from(literal.size).unwrap_or(usize::MAX);
            let data = self
                .stream
                .read_exact(size, self.patience().min(DATA_TIMEOUT))
                .await?;
            // There was room, so this cannot fail.
            if assembler.literal(&data).is_err() {
                return Ok(Input::Refused(tag, reply::too_long()));
            }
        }
    }

    /// Reads the message of an APPEND. Everything that can be refused is refused before the client is
    /// invited to send it.
    async fn read_append(
        &mut self,
        tag: Tag,
        append: Append,
        literal: LiteralHeader,
    ) -> Result<Input, ReadError> {
        let config = &self.service.config;
        let refused = if !self.state.allows(Legal::Authenticated) {
            Some(Failure::WrongState)
        } else if literal.size > config.max_message_size.0 {
            Some(Failure::TooBig)
        } else {
            commands::append::check(self, &append).await.err()
        };
        if let Some(failure) = refused {
            self.report(&failure);
            return self
                .refuse_literal(Some(tag), literal, reply::failed(&failure))
                .await;
        }
        let Some(permit) = self.reserve(literal.size).await else {
            return self
                .refuse_literal(Some(tag), literal, reply::failed(&Failure::NoMemory))
                .await;
        };
        self.invite(literal);
        // Who holds memory may not take for ever, however steadily he trickles.
        let span = DATA_TIMEOUT + Duration::from_secs(literal.size / SLOWEST);
        let message = tokio::time::timeout(span, self.read_message(literal.size)).await;
        let message = message.unwrap_or(Err(ReadError::TimedOut))?;
        let end = self.stream.read_line(DATA_TIMEOUT).await?;
        if !end.trim_ascii().is_empty() {
            return Ok(Input::Refused(Some(tag), reply::failed(&Failure::OneMessage)));
        }
        Ok(Input::Request(
            tag,
            Box::new(Request::Append(append, message, permit)),
        ))
    }

    /// Memory for a message on its way in; none when there is none in time.
    async fn reserve(&self, size: u64) -> Option<OwnedSemaphorePermit> {
        let all = self.service.config.append_memory.0 >> 10;
        let kib = u32::try_from((size >> 10).saturating_add(1).min(all.max(1))).ok()?;
        let memory = self.service.append_memory.clone().acquire_many_owned(kib);
        tokio::time::timeout(MEMORY_TIMEOUT, memory).await.ok()?.ok()
    }

    async fn read_message(&mut self, size: u64) -> Result<Bytes, ReadError> {
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        // The size was checked against the limit, and its memory is reserved.
        let mut message = BytesMut::with_capacity(left);
        while left > 0 {
            let piece = self.stream.read_some(left, DATA_TIMEOUT).await?;
            left -= piece.len();
            message.extend_from_slice(&piece);
        }
        Ok(message.freeze())
    }

    fn invite(&mut self, literal: LiteralHeader) {
        if literal.kind == LiteralKind::Synchronizing {
            self.stream.write(b"+ Go ahead\r\n");
        }
    }

    /// Refuses a literal: a client that waits is answered instead of invited; what comes anyway is skipped
    /// with the rest of its command (RFC 7888 section 4).
    async fn refuse_literal(
        &mut self,
        tag: Option<Tag>,
        literal: LiteralHeader,
        line: StatusLine,
    ) -> Result<Input, ReadError> {
        let mut literal = literal;
        while literal.kind == LiteralKind::NonSynchronizing {
            if literal.size > MAX_SKIPPED {
                return Err(ReadError::Closed);
            }
            let mut left = literal.size;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(HIGH_WATER);
                let piece = self.stream.read_some(most, DATA_TIMEOUT).await?;
                left = left.saturating_sub(piece.len() as u64);
            }
            let rest = self.stream.read_line(DATA_TIMEOUT).await?;
            match wire::imap::literal_at_end_of_line(&rest) {
                Some(next) => literal = next,
                None => break,
            }
        }
        Ok(Input::Refused(tag, line))
    }
}

fn parse(command: &[u8]) -> Input {
    match Command::parse(command) {
        Ok(command) => Input::Request(command.tag, Box::new(Request::Command(command.body))),
        Err(error) => Input::Refused(error.tag.clone(), reply::not_a_command(&error)),
    }
}

/// Sends queued output when it is much: how every command that writes a lot waits for a slow client.
pub(super) async fn relieve(stream: &mut LineStream) -> Result<(), Failure> {
    if stream.queued() > HIGH_WATER {
        stream.flush(WRITE_TIMEOUT).await.map_err(|_| Failure::Gone)?;
    }
    Ok(())
}

/// Sends queued output now.
pub(super) async fn flush(stream: &mut LineStream) -> Result<(), Failure> {
    stream.flush(WRITE_TIMEOUT).await.map_err(|_| Failure::Gone)
}
