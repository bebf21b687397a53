//! The session before the login, and the hand-over to the relay.

use super::{home, reply};
use crate::config::ImapProxyConfig;
use crate::failure::Failure;
use crate::login::{Claims, Gate, ProxyContext, log_failure, log_relay};
use model::{Authenticator, Credential, Peer, Protocol, TlsState};
use net::{Accepted, LinePolicy, LineStream, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::imap::{
    Assembler, Code, Command, CommandBody, Condition, IdFields, LiteralKind, Next, StatusLine, Tag,
};
use wire::sasl::{Login, Mechanism, ServerExchange, Step, encode_base64};

/// The longest command before login, literals included.
const MAX_COMMAND: usize = 16 * 1024;
/// Commands that make no sense, after which the session ends.
const MAX_ERRORS: u32 = 20;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The IMAP proxy of this server.
pub struct ImapProxy {
    gate: Gate,
}

impl ImapProxy {
    /// Builds the proxy; `authenticator` checks passwords with `authenticate = "edge"`.
    #[must_use]
    pub fn new(
        config: &ImapProxyConfig,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Self {
        Self {
            gate: Gate {
                context,
                settings: config.login_settings(),
                authenticator,
            },
        }
    }
}

/// Serves one client to its end.
pub async fn serve(accepted: Accepted, proxy: Arc<ImapProxy>) {
    let shutdown = accepted.shutdown.clone();
    let idle = accepted.config.idle();
    // Boxed, so that the memory of the login is given back before the long time of the relay.
    let Some((client, home, peer)) = Box::pin(Session::new(accepted, &proxy.gate).run()).await else {
        return;
    };
    drop(proxy);
    let report = net::relay(client, home, idle, shutdown).await;
    log_relay(Protocol::Imap, &peer, &report);
}

/// What follows a command.
enum After {
    Next,
    End,
    Relay(Box<LineStream>),
}

struct Session<'a> {
    gate: &'a Gate,
    stream: LineStream,
    peer: Peer,
    /// The peer as it connected, before any claim about who it stands for.
    connected: Peer,
    claims: Claims,
    tls: Option<net::ServerTls>,
    plaintext_login: bool,
    trusted: bool,
    deadline: Instant,
    errors: u32,
    refused: u32,
    shutdown: net::Shutdown,
}

impl<'a> Session<'a> {
    fn new(accepted: Accepted, gate: &'a Gate) -> Self {
        Self {
            gate,
            trusted: accepted.is_trusted(),
            claims: Claims::new(&accepted.peer),
            stream: LineStream::new(accepted.connection, MAX_COMMAND).with_policy(LinePolicy::AcceptLf),
            connected: accepted.peer.clone(),
            peer: accepted.peer,
            tls: accepted.tls,
            plaintext_login: accepted.config.allows_plaintext_login(),
            deadline: Instant::now() + gate.settings.login_timeout,
            errors: 0,
            refused: 0,
            shutdown: accepted.shutdown,
        }
    }

    async fn run(mut self) -> Option<(LineStream, LineStream, Peer)> {
        let greeting = format!("{} Homing ready.", self.gate.context.server_name);
        self.say(
            None,
            StatusLine::new(Condition::Ok, greeting).with_code(Code::Capability(self.capabilities())),
        );
        loop {
            let shutdown = self.shutdown.clone();
            let read = tokio::select! {
                read = self.read_command() => read,
                () = shutdown.requested() => {
                    self.bye("Shutting down.").await;
                    return None;
                }
            };
            let after = match read {
                Ok(Some(command)) => self.command(command).await,
                Ok(None) => After::Next,
                Err(error) => {
                    if matches!(error, ReadError::TimedOut) {
                        self.bye("Login took too long.").await;
                    }
                    return None;
                }
            };
            match after {
                After::Next if self.errors >= MAX_ERRORS => {
                    self.bye("Too many errors.").await;
                    return None;
                }
                After::Next if self.refused >= self.gate.settings.max_login_failures => {
                    self.bye("Too many failed logins.").await;
                    return None;
                }
                After::Next => {}
                After::End => {
                    self.stream.close(FAREWELL).await;
                    return None;
                }
                After::Relay(home) => {
                    // The reply to the login must be out before the relay takes over.
                    self.stream.flush(self.left()).await.ok()?;
                    return Some((self.stream, *home, self.peer));
                }
            }
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn may_log_in(&self) -> bool {
        self.plaintext_login || self.stream.is_encrypted()
    }

    fn capabilities(&self) -> Vec<String> {
        reply::capabilities(self.tls.is_some(), self.may_log_in())
    }

    fn say(&mut self, tag: Option<&Tag>, status: StatusLine) {
        let mut out = Vec::new();
        status.write(&mut out, tag);
        self.stream.write(&out);
    }

    fn ok(&mut self, tag: &Tag, text: &'static str) -> After {
        self.say(Some(tag), StatusLine::new(Condition::Ok, text));
        After::Next
    }

    fn bad(&mut self, tag: Option<&Tag>, text: &'static str) -> After {
        self.errors += 1;
        self.say(tag, StatusLine::new(Condition::Bad, text));
        After::Next
    }

    async fn bye(self, text: &'static str) {
        let mut stream = self.stream;
        let mut out = Vec::new();
        StatusLine::new(Condition::Bye, text).write(&mut out, None);
        stream.write(&out);
        stream.close(FAREWELL).await;
    }

    /// The next command; `None` when it was answered already because it makes no sense.
    async fn read_command(&mut self) -> Result<Option<Command>, ReadError> {
        let mut assembler = Assembler::new(MAX_COMMAND);
        loop {
            let line = match self.stream.read_line(self.left()).await {
                Err(ReadError::LineTooLong) => {
                    self.bad(None, "Command line too long.");
                    return Ok(None);
                }
                other => other?,
            };
            match assembler.line(&line) {
                Err(_) => {
                    self.bad(None, "Command too large.");
                    return Ok(None);
                }
                Ok(Next::Complete(command)) => match Command::parse(&command) {
                    Ok(command) => return Ok(Some(command)),
                    Err(error) => {
                        self.bad(error.tag.as_ref(), "Unknown command or wrong arguments.");
                        return Ok(None);
                    }
                },
                Ok(Next::Literal(header)) => {
                    let synchronizing = header.kind == LiteralKind::Synchronizing;
                    if !assembler.has_room(header.size) {
                        self.bad(None, "Literal too large.");
                        if synchronizing {
                            return Ok(None);
                        }
                        // RFC 7888 section 4: the octets come anyway; closing is the way out.
                        self.errors = MAX_ERRORS;
                        return Ok(None);
                    }
                    if synchronizing {
                        self.stream.write(b"+ go on\r\n");
                    }
                    let size = usize::try_from(header.size).unwrap_or(MAX_COMMAND);
                    let data = self.stream.read_exact(size, self.left()).await?;
                    // There is room: it was asked for above.
                    let _ = assembler.literal(&data);
                }
            }
        }
    }

    async fn command(&mut self, command: Command) -> After {
        let tag = command.tag;
        match command.body {
            CommandBody::Capability => {
                let line = format!("* CAPABILITY {}\r\n", self.capabilities().join(" "));
                self.stream.write(line.as_bytes());
                self.ok(&tag, "Capabilities listed.")
            }
            CommandBody::Noop => self.ok(&tag, "Nothing done."),
            CommandBody::Id(fields) => self.id(&tag, &fields),
            CommandBody::Logout => {
                self.say(None, StatusLine::new(Condition::Bye, "Goodbye."));
                self.ok(&tag, "Logged out.");
                After::End
            }
            CommandBody::StartTls => self.start_tls(&tag).await,
            CommandBody::Login { .. } | CommandBody::Authenticate { .. } if !self.may_log_in() => {
                let status =
                    StatusLine::new(Condition::No, "Start TLS first.").with_code(Code::PrivacyRequired);
                self.say(Some(&tag), status);
                self.errors += 1;
                After::Next
            }
            CommandBody::Login { user, password } => match String::from_utf8(user) {
                Ok(login) if !login.is_empty() && !login.chars().any(char::is_control) => {
                    let login = Login {
                        login,
                        authzid: None,
                        credential: Credential::Password(password),
                    };
                    self.log_in(&tag, login).await
                }
                _ => self.bad(Some(&tag), "The user name must be text."),
            },
            CommandBody::Authenticate { mechanism, initial } => {
                let initial = initial.map(|secret| match secret.is_empty() {
                    true => "=".to_owned(),
                    false => encode_base64(secret.expose()),
                });
                self.authenticate(&tag, &mechanism, initial.as_deref()).await
            }
            _ => self.bad(Some(&tag), "Log in first."),
        }
    }

    fn id(&mut self, tag: &Tag, fields: &IdFields) -> After {
        // Claims are believed from trusted networks only.
        if self.trusted {
            for (name, value) in fields {
                if let (Ok(name), Some(Ok(value))) = (
                    std::str::from_utf8(name),
                    value.as_deref().map(std::str::from_utf8),
                ) {
                    self.claims.take(&mut self.peer, name, value);
                }
            }
        }
        self.stream.write(b"* ID (\"name\" \"Homing\")\r\n");
        self.ok(tag, "Pleased to meet you.")
    }

    async fn start_tls(&mut self, tag: &Tag) -> After {
        let Some(tls) = self.tls.take() else {
            return self.bad(Some(tag), "STARTTLS is not available.");
        };
        self.ok(tag, "Begin TLS now.");
        let left = self.left();
        if let Err(error) = self.stream.start_tls(&tls, left).await {
            tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, %error, "STARTTLS failed");
            return After::End;
        }
        // Claims from before the handshake may be anybody's who sits on the way.
        self.peer = self.connected.clone();
        self.peer.tls = TlsState::Encrypted;
        self.claims = Claims::new(&self.peer);
        After::Next
    }

    async fn authenticate(&mut self, tag: &Tag, mechanism: &str, initial: Option<&str>) -> After {
        let Some(mechanism) = Mechanism::parse(mechanism.as_bytes()) else {
            self.errors += 1;
            self.say(
                Some(tag),
                StatusLine::new(Condition::No, "Mechanism not supported."),
            );
            return After::Next;
        };
        let (mut exchange, mut step) = ServerExchange::start(mechanism, initial.map(str::as_bytes));
        loop {
            match step {
                Step::Done(login) => return self.log_in(tag, login).await,
                Step::Failed(_) => return self.bad(Some(tag), "The exchange was cancelled or malformed."),
                Step::Challenge(challenge) => {
                    self.stream.write(format!("+ {challenge}\r\n").as_bytes());
                    match self.stream.read_line(self.left()).await {
                        Ok(line) => step = exchange.respond(&line),
                        Err(ReadError::LineTooLong) => return self.bad(Some(tag), "Response too long."),
                        Err(_) => return After::End,
                    }
                }
            }
        }
    }

    async fn log_in(&mut self, tag: &Tag, login: Login) -> After {
        let typed = login.login.clone();
        match self.go_home(login).await {
            Ok(home) => {
                let mut status = StatusLine::new(Condition::Ok, "Logged in.");
                // RFC 3501 section 6.2.3: what the home can do, which the client cannot know yet.
                if !home.capabilities.is_empty() {
                    status = status.with_code(Code::Capability(home.capabilities));
                }
                self.say(Some(tag), status);
                tracing::info!(
                    protocol = "imap", trace = %self.peer.trace, client = %self.peer.client, login = typed, "logged in"
                );
                After::Relay(Box::new(home.stream))
            }
            Err(failure) => {
                log_failure(Protocol::Imap, &self.peer, &typed, &failure);
                self.refused += u32::from(failure.blames_client());
                self.say(Some(tag), reply::failure(&failure));
                After::Next
            }
        }
    }

    async fn go_home(&mut self, login: Login) -> Result<home::LoggedIn, Failure> {
        let gate = self.gate;
        let shutdown = self.shutdown.clone();
        let work = async {
            let admitted = gate.admit(login, Protocol::Imap, &self.peer).await?;
            home::log_in(gate, &admitted, &self.peer, &self.claims).await
        };
        tokio::select! {
            result = Box::pin(work) => result,
            () = shutdown.requested() => Err(Failure::ShuttingDown),
        }
    }
}
