//! The session before the login, and the hand-over to the relay.

use super::reply;
use crate::config::Pop3ProxyConfig;
use crate::edge::{After, Edge, Enough};
use crate::edge_sasl::{Carrier, Exchanged};
use crate::failure::Failure;
use crate::login::{Arrived, Gate, ProxyContext};
use crate::relaying::Handover;
use model::{Authenticator, Credential, Protocol};
use net::{Accepted, ReadError, Rest};
use std::sync::Arc;
use wire::pop3::{Capabilities, ClientClaims, Command, CommandError, Response, XCLIENT_GREETING};
use wire::sasl::Login;

/// The longest command. RFC 2449 section 4 has 255 octets; SASL responses are longer.
const MAX_LINE: usize = 16 * 1024;

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

/// Serves one client up to its login; what is returned is the long rest of the session, if it comes to that.
pub async fn serve(accepted: Accepted, proxy: Arc<Pop3Proxy>) -> Rest {
    match Box::pin(Session::new(accepted, &proxy.gate).run()).await {
        Some(handover) => Rest::of(handover.run()),
        None => ().into(),
    }
}

struct Session<'a> {
    edge: Edge<'a>,
    /// The name that USER gave.
    user: Option<String>,
}

impl<'a> Session<'a> {
    fn new(accepted: Accepted, gate: &'a Gate) -> Self {
        Self {
            edge: Edge::new(accepted, gate, Protocol::Pop3, MAX_LINE),
            user: None,
        }
    }

    async fn run(mut self) -> Option<Handover> {
        let announce = if self.edge.trusted {
            format!("{XCLIENT_GREETING} ")
        } else {
            String::new()
        };
        let name = &self.edge.gate.context.server_name;
        self.ok(&format!("{announce}{name} Homing ready."));
        loop {
            let shutdown = self.edge.shutdown.clone();
            let left = self.edge.left();
            let read = tokio::select! {
                read = self.edge.stream.read_line(left) => read,
                () = shutdown.requested() => {
                    self.say(&reply::failure(&Failure::ShuttingDown));
                    self.edge.close().await;
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
            match (after, self.edge.enough()) {
                (After::Relay(arrived), _) => return self.edge.hand_over(*arrived).await,
                (After::Next, None) => {}
                (After::Next, Some(Enough::Errors)) => {
                    self.error("Too many errors.");
                    self.edge.close().await;
                    return None;
                }
                (After::End, _) | (After::Next, Some(Enough::Refusals)) => {
                    self.edge.close().await;
                    return None;
                }
            }
        }
    }

    fn say(&mut self, response: &Response) {
        let mut out = Vec::new();
        response.encode(&mut out);
        self.edge.stream.write(&out);
    }

    fn ok(&mut self, text: &str) -> After {
        self.say(&Response::Ok(text.to_owned().into()));
        After::Next
    }

    fn error(&mut self, text: &'static str) -> After {
        self.edge.errors += 1;
        self.say(&Response::Err(None, text.into()));
        After::Next
    }

    async fn command(&mut self, command: Command) -> After {
        match command {
            Command::Capa => {
                self.ok("Capability list follows.");
                let capabilities = Capabilities {
                    xclient: self.edge.trusted,
                    ..reply::capabilities(self.edge.tls.is_some(), &self.edge.channel())
                };
                for line in capabilities.lines() {
                    self.edge.stream.write(line.as_bytes());
                    self.edge.stream.write(b"\r\n");
                }
                self.edge.stream.write(b".\r\n");
                After::Next
            }
            Command::Quit => {
                self.ok("Goodbye.");
                After::End
            }
            Command::Stls => self.start_tls().await,
            // Claims are believed from trusted networks only; to others the verb does not exist.
            Command::Xclient(about) if self.edge.trusted => self.take_over(&about),
            Command::Xclient(_) => self.error("Unknown command."),
            Command::User(_) | Command::Pass(_) if !self.edge.channel().allows_password() => {
                self.error("Start TLS first.")
            }
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
                for mechanism in self.edge.channel().offered() {
                    self.edge
                        .stream
                        .write(format!("{}\r\n", mechanism.name()).as_bytes());
                }
                self.edge.stream.write(b".\r\n");
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
        self.edge.take_over(about);
        self.ok("Updated.")
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.edge.tls.take() else {
            return self.error("STLS is not available.");
        };
        self.ok("Begin TLS now.");
        // RFC 2595 section 4: nothing that was said before counts.
        self.user = None;
        match self.edge.start_tls(&tls).await {
            Some(()) => After::Next,
            None => After::End,
        }
    }

    async fn authenticate(&mut self, mechanism: &str, initial: Option<&[u8]>) -> After {
        // RFC 5034 section 4.
        let carrier = Carrier::Lines("+ ");
        match self.edge.exchange(mechanism.as_bytes(), initial, carrier).await {
            Exchanged::Judged(result) => self.logged_in(result),
            Exchanged::NeedsTls => self.error("Start TLS first."),
            Exchanged::Unsupported => self.error("Mechanism not supported."),
            Exchanged::Broken => self.error("The exchange was cancelled or malformed."),
            Exchanged::TooLong => self.error("Response too long."),
            Exchanged::Gone => After::End,
        }
    }

    async fn log_in(&mut self, login: Login) -> After {
        let result = self.edge.log_in(login).await.map(Box::new);
        self.logged_in(result)
    }

    fn logged_in(&mut self, result: Result<Box<Arrived>, Failure>) -> After {
        match result {
            Ok(arrived) => {
                self.ok("Logged in.");
                After::Relay(arrived)
            }
            Err(failure) => {
                self.say(&reply::failure(&failure));
                After::Next
            }
        }
    }
}
