//! The session before the login, and the hand-over to the relay.

use super::assemble::{Assembled, MAX_COMMAND, assemble};
use super::reply;
use crate::config::ManageSieveProxyConfig;
use crate::edge::{After, Edge, Enough};
use crate::edge_sasl::{Carrier, Exchanged};
use crate::failure::Failure;
use crate::login::{Gate, ProxyContext};
use crate::relaying::Handover;
use model::{Authenticator, Protocol, Secret};
use net::{Accepted, ReadError, Rest};
use std::sync::Arc;
use wire::managesieve::{ClientClaims, Code, Command, CommandError, Status, Word};

/// The ManageSieve proxy of this server.
pub struct ManageSieveProxy {
    gate: Gate,
    /// What scripts may require at every home.
    sieve: Vec<String>,
}

impl ManageSieveProxy {
    /// Builds the proxy; `authenticator` checks passwords with `authenticate = "edge"`.
    #[must_use]
    pub fn new(
        config: &ManageSieveProxyConfig,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Self {
        Self {
            gate: Gate {
                context,
                settings: config.login().login_settings(),
                authenticator,
            },
            sieve: config.sieve_extensions.clone(),
        }
    }
}

/// Serves one client up to its login; what is returned is the long rest of the session, if it comes to that.
pub async fn serve(accepted: Accepted, proxy: Arc<ManageSieveProxy>) -> Rest {
    let session = Session {
        edge: Edge::new(accepted, &proxy.gate, Protocol::ManageSieve, MAX_COMMAND),
        sieve: &proxy.sieve,
    };
    match Box::pin(session.run()).await {
        Some(handover) => Rest::of(handover.run()),
        None => ().into(),
    }
}

struct Session<'a> {
    edge: Edge<'a>,
    sieve: &'a [String],
}

impl Session<'_> {
    async fn run(mut self) -> Option<Handover> {
        let name = self.edge.gate.context.server_name.clone();
        self.capabilities(format!("{name} Homing ready."));
        loop {
            let shutdown = self.edge.shutdown.clone();
            let left = self.edge.left();
            let read = tokio::select! {
                read = assemble(&mut self.edge.stream, left) => read,
                () = shutdown.requested() => {
                    self.bye("Shutting down; try again.").await;
                    return None;
                }
            };
            let after = match read {
                Ok(Assembled::Whole(line)) => match Command::parse(&line) {
                    Ok(command) => self.command(command).await,
                    Err(CommandError::Unknown) => self.error("Unknown command."),
                    Err(CommandError::Arguments) => self.error("Wrong arguments."),
                },
                Ok(Assembled::TooLong) => self.error("Line too long."),
                Ok(Assembled::OutOfStep) => {
                    self.bye("Literal too large, or not of the form {n+}.").await;
                    return None;
                }
                Err(ReadError::TimedOut) => {
                    self.bye("Login took too long.").await;
                    return None;
                }
                Err(_) => return None,
            };
            match (after, self.edge.enough()) {
                (After::Relay(arrived), _) => return self.edge.hand_over(*arrived).await,
                (After::Next, None) => {}
                (After::End, _) => {
                    self.edge.close().await;
                    return None;
                }
                (After::Next, Some(Enough::Errors)) => {
                    self.bye("Too many errors.").await;
                    return None;
                }
                (After::Next, Some(Enough::Refusals)) => {
                    self.bye("Too many failed logins.").await;
                    return None;
                }
            }
        }
    }

    fn say(&mut self, status: &Status) -> After {
        let mut out = Vec::new();
        status.encode(&mut out);
        self.edge.stream.write(&out);
        After::Next
    }

    fn ok(&mut self, text: &'static str) -> After {
        self.say(&Status::new(Word::Ok, text))
    }

    fn error(&mut self, text: &'static str) -> After {
        self.edge.errors += 1;
        self.say(&Status::new(Word::No, text))
    }

    async fn bye(mut self, text: &'static str) {
        self.say(&Status::new(Word::Bye, text));
        self.edge.close().await;
    }

    /// The list and the OK after it: the greeting, the answer to CAPABILITY, and what follows a TLS handshake.
    fn capabilities(&mut self, text: String) -> After {
        let (channel, tls) = (self.edge.channel(), self.edge.tls.is_some());
        let capabilities = reply::capabilities(self.sieve, &channel, tls, self.edge.trusted);
        let mut out = Vec::new();
        capabilities.encode(&mut out);
        self.edge.stream.write(&out);
        self.say(&Status::new(Word::Ok, text))
    }

    async fn command(&mut self, command: Command) -> After {
        match command {
            Command::Capability => self.capabilities("Capabilities listed.".to_owned()),
            Command::Noop(None) => self.ok("Nothing done."),
            // RFC 5804 section 2.13.
            Command::Noop(Some(text)) => {
                self.say(&Status::new(Word::Ok, "Nothing done.").with_code(Code::Tag(text)))
            }
            Command::Logout => {
                self.ok("Goodbye.");
                After::End
            }
            Command::StartTls => self.start_tls().await,
            Command::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            // Claims are believed from trusted networks only; to others the verb does not exist.
            Command::Xclient(about) if self.edge.trusted => self.take_over(&about),
            Command::Xclient(_) => self.error("Unknown command."),
            Command::Script => self.error("Log in first."),
        }
    }

    /// A front end before this one names its client.
    fn take_over(&mut self, about: &ClientClaims) -> After {
        self.edge.take_over(about);
        self.ok("Updated.")
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.edge.tls.take() else {
            return self.error("STARTTLS is not available.");
        };
        self.ok("Begin TLS now.");
        match self.edge.start_tls(&tls).await {
            // RFC 5804 section 2.2: the server says again what it can do.
            Some(()) => self.capabilities("TLS is established.".to_owned()),
            None => After::End,
        }
    }

    async fn authenticate(&mut self, mechanism: &str, initial: Option<Secret>) -> After {
        let initial = initial.as_ref().map(|initial| match initial.expose() {
            [] => &b"="[..],
            text => text,
        });
        let exchanged = self
            .edge
            .exchange(mechanism.as_bytes(), initial, Carrier::Strings);
        match exchanged.await {
            Exchanged::Judged(Ok(arrived)) => {
                self.ok("Logged in.");
                After::Relay(arrived)
            }
            Exchanged::Judged(Err(failure)) => self.refused(&failure),
            Exchanged::NeedsTls => {
                self.edge.errors += 1;
                self.say(&Status::new(Word::No, "Start TLS first.").with_code(Code::EncryptNeeded))
            }
            Exchanged::Unsupported => self.error("Mechanism not supported."),
            Exchanged::Broken => self.error("The exchange was cancelled or malformed."),
            Exchanged::TooLong => self.error("Response too long."),
            Exchanged::Gone => After::End,
        }
    }

    fn refused(&mut self, failure: &Failure) -> After {
        self.say(&reply::failure(failure))
    }
}
