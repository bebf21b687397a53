//! The session before the login, and the hand-over to the relay.

use super::{home, reply};
use crate::config::Pop3ProxyConfig;
use crate::failure::Failure;
use crate::login::{Claims, Gate, ProxyContext, log_failure, log_relay};
use model::{Authenticator, Credential, Peer, Protocol, TlsState};
use net::{Accepted, LinePolicy, LineStream, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::pop3::{ClientClaims, Command, CommandError, Response, XCLIENT_GREETING};
use wire::sasl::{Login, Mechanism, ServerExchange, Step};

/// The longest command. RFC 2449 section 4 has 255 octets; SASL responses are longer.
const MAX_LINE: usize = 4096;
/// Commands that make no sense, after which the session ends.
const MAX_ERRORS: u32 = 20;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The POP3 proxy of this server.
pub struct Pop3Proxy {
    gate: Gate,
}

impl Pop3Proxy {
    /// Builds the proxy; `authenticator` checks passwords with `authenticate = "edge"`.
    #[must_use]
    pub fn new(
        config: &Pop3ProxyConfig,
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
pub async fn serve(accepted: Accepted, proxy: Arc<Pop3Proxy>) {
    let shutdown = accepted.shutdown.clone();
    let idle = accepted.config.idle();
    // Boxed, so that the memory of the login is given back before the long time of the relay.
    let Some((client, home, peer)) = Box::pin(Session::new(accepted, &proxy.gate).run()).await else {
        return;
    };
    drop(proxy);
    let report = net::relay(client, home, idle, shutdown).await;
    log_relay(Protocol::Pop3, &peer, &report);
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
    /// The name that USER gave.
    user: Option<String>,
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
            stream: LineStream::new(accepted.connection, MAX_LINE).with_policy(LinePolicy::AcceptLf),
            connected: accepted.peer.clone(),
            peer: accepted.peer,
            tls: accepted.tls,
            plaintext_login: accepted.config.allows_plaintext_login(),
            deadline: Instant::now() + gate.settings.login_timeout,
            user: None,
            errors: 0,
            refused: 0,
            shutdown: accepted.shutdown,
        }
    }

    async fn run(mut self) -> Option<(LineStream, LineStream, Peer)> {
        let announce = if self.trusted {
            format!("{XCLIENT_GREETING} ")
        } else {
            String::new()
        };
        self.ok(&format!(
            "{announce}{} Homing ready.",
            self.gate.context.server_name
        ));
        loop {
            let shutdown = self.shutdown.clone();
            let left = self.left();
            let read = tokio::select! {
                read = self.stream.read_line(left) => read,
                () = shutdown.requested() => {
                    self.say(&reply::failure(&Failure::ShuttingDown));
                    self.stream.close(FAREWELL).await;
                    return None;
                }
            };
            let after = match read {
                Ok(line) => match Command::parse(&line) {
                    Ok(command) => self.command(command).await,
                    Err(CommandError::Unknown) => self.error("Unknown command."),
                    Err(CommandError::Arguments) => self.error("Wrong arguments."),
                },
                Err(ReadError::LineTooLong) => self.error("Line too long."),
                // RFC 1939 section 3: the autologout timer closes without a word.
                Err(_) => return None,
            };
            match after {
                After::Next if self.errors >= MAX_ERRORS => {
                    self.error("Too many errors.");
                    self.stream.close(FAREWELL).await;
                    return None;
                }
                After::Next if self.refused >= self.gate.settings.max_login_failures => {
                    self.stream.close(FAREWELL).await;
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

    fn say(&mut self, response: &Response) {
        let mut out = Vec::new();
        response.encode(&mut out);
        self.stream.write(&out);
    }

    fn ok(&mut self, text: &str) -> After {
        self.say(&Response::Ok(text.to_owned().into()));
        After::Next
    }

    fn error(&mut self, text: &'static str) -> After {
        self.errors += 1;
        self.say(&Response::Err(None, text.into()));
        After::Next
    }

    async fn command(&mut self, command: Command) -> After {
        match command {
            Command::Capa => {
                self.ok("Capability list follows.");
                for line in reply::capabilities(self.tls.is_some(), self.may_log_in()).lines() {
                    self.stream.write(line.as_bytes());
                    self.stream.write(b"\r\n");
                }
                self.stream.write(b".\r\n");
                After::Next
            }
            Command::Quit => {
                self.ok("Goodbye.");
                After::End
            }
            Command::Stls => self.start_tls().await,
            // Claims are believed from trusted networks only; to others the verb does not exist.
            Command::Xclient(about) if self.trusted => self.take_over(&about),
            Command::Xclient(_) => self.error("Unknown command."),
            Command::User(_)
            | Command::Pass(_)
            | Command::Auth {
                mechanism: Some(_), ..
            } if !self.may_log_in() => self.error("Start TLS first."),
            // RFC 1939 section 7: whether the name exists is not told before the password.
            Command::User(name) => {
                self.user = Some(name);
                self.ok("Send the password.")
            }
            Command::Pass(password) => match self.user.take() {
                Some(login) => {
                    let login = Login {
                        login,
                        authzid: None,
                        credential: Credential::Password(password),
                    };
                    self.log_in(login).await
                }
                None => self.error("USER comes first."),
            },
            Command::Auth { mechanism: None, .. } => {
                self.ok("Mechanisms follow.");
                if self.may_log_in() {
                    self.stream.write(b"PLAIN\r\nLOGIN\r\n");
                }
                self.stream.write(b".\r\n");
                After::Next
            }
            Command::Auth {
                mechanism: Some(mechanism),
                initial,
            } => {
                self.authenticate(&mechanism, initial.as_ref().map(model::Secret::expose))
                    .await
            }
            _ => self.error("Log in first."),
        }
    }

    /// A front end before this one names its client.
    fn take_over(&mut self, about: &ClientClaims) -> After {
        if let Some(addr) = about.addr {
            self.peer.client.set_ip(addr.to_canonical());
        }
        if let Some(port) = about.port {
            self.peer.client.set_port(port);
        }
        if let Some(session) = &about.session {
            self.claims.take_session(&mut self.peer, session);
        }
        self.claims.limit_hops(about.ttl.unwrap_or(u8::MAX));
        self.ok("Updated.")
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.tls.take() else {
            return self.error("STLS is not available.");
        };
        self.ok("Begin TLS now.");
        // RFC 2595 section 4: nothing that was said before counts.
        self.user = None;
        let left = self.left();
        if let Err(error) = self.stream.start_tls(&tls, left).await {
            tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, %error, "STLS failed");
            return After::End;
        }
        // Claims from before the handshake may be anybody's who sits on the way.
        self.peer = self.connected.clone();
        self.peer.tls = TlsState::Encrypted;
        self.claims = Claims::new(&self.peer);
        After::Next
    }

    async fn authenticate(&mut self, mechanism: &str, initial: Option<&[u8]>) -> After {
        let Some(mechanism) = Mechanism::parse(mechanism.as_bytes()) else {
            return self.error("Mechanism not supported.");
        };
        let (mut exchange, mut step) = ServerExchange::start(mechanism, initial);
        loop {
            match step {
                Step::Done(login) => return self.log_in(login).await,
                Step::Failed(_) => return self.error("The exchange was cancelled or malformed."),
                Step::Challenge(challenge) => {
                    self.say(&Response::Continue(challenge));
                    match self.stream.read_line(self.left()).await {
                        Ok(line) => step = exchange.respond(&line),
                        Err(ReadError::LineTooLong) => return self.error("Response too long."),
                        Err(_) => return After::End,
                    }
                }
            }
        }
    }

    async fn log_in(&mut self, login: Login) -> After {
        let typed = login.login.clone();
        match self.go_home(login).await {
            Ok(home) => {
                self.ok("Logged in.");
                tracing::info!(
                    protocol = "pop3", trace = %self.peer.trace, client = %self.peer.client, login = typed, "logged in"
                );
                After::Relay(Box::new(home))
            }
            Err(failure) => {
                log_failure(Protocol::Pop3, &self.peer, &typed, &failure);
                self.refused += u32::from(failure.blames_client());
                self.say(&reply::failure(&failure));
                After::Next
            }
        }
    }

    async fn go_home(&mut self, login: Login) -> Result<LineStream, Failure> {
        let gate = self.gate;
        let shutdown = self.shutdown.clone();
        let work = async {
            let admitted = gate.admit(login, Protocol::Pop3, &self.peer).await?;
            home::log_in(gate, &admitted, &self.peer, &self.claims).await
        };
        tokio::select! {
            result = Box::pin(work) => result,
            () = shutdown.requested() => Err(Failure::ShuttingDown),
        }
    }
}
