//! The session before the login, and the hand-over to the relay.

use super::reply;
use crate::config::ImapProxyConfig;
use crate::edge::{After, Edge, Enough};
use crate::edge_sasl::{Carrier, Exchanged};
use crate::failure::Failure;
use crate::login::{Arrived, Gate, ProxyContext};
use crate::relaying::Handover;
use model::{Authenticator, Credential, Protocol};
use net::{Accepted, ReadError, Rest};
use std::sync::Arc;
use wire::imap::{
    Assembler, Code, Command, CommandBody, Condition, IdFields, LiteralKind, Next, StatusLine, Tag,
};
use wire::sasl::{Login, encode_base64};

/// The longest command before login, literals included.
const MAX_COMMAND: usize = 16 * 1024;

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

/// Serves one client up to its login; what is returned is the long rest of the session, if it comes to that.
pub async fn serve(accepted: Accepted, proxy: Arc<ImapProxy>) -> Rest {
    match Box::pin(Session::new(accepted, &proxy.gate).run()).await {
        Some(handover) => Rest::of(handover.run()),
        None => ().into(),
    }
}

struct Session<'a> {
    edge: Edge<'a>,
}

impl<'a> Session<'a> {
    fn new(accepted: Accepted, gate: &'a Gate) -> Self {
        Self {
            edge: Edge::new(accepted, gate, Protocol::Imap, MAX_COMMAND),
        }
    }

    async fn run(mut self) -> Option<Handover> {
        let greeting = format!("{} Homing ready.", self.edge.gate.context.server_name);
        self.say(
            None,
            StatusLine::new(Condition::Ok, greeting).with_code(Code::Capability(self.capabilities())),
        );
        loop {
            let shutdown = self.edge.shutdown.clone();
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
            match (after, self.edge.enough()) {
                (After::Relay(arrived), _) => return self.edge.hand_over(*arrived).await,
                (After::End, _) => {
                    self.edge.close().await;
                    return None;
                }
                (After::Next, None) => {}
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

    fn capabilities(&self) -> Vec<String> {
        reply::capabilities(self.edge.tls.is_some(), &self.edge.channel())
    }

    fn say(&mut self, tag: Option<&Tag>, status: StatusLine) {
        let mut out = Vec::new();
        status.write(&mut out, tag);
        self.edge.stream.write(&out);
    }

    fn ok(&mut self, tag: &Tag, text: &'static str) -> After {
        self.say(Some(tag), StatusLine::new(Condition::Ok, text));
        After::Next
    }

    fn bad(&mut self, tag: Option<&Tag>, text: &'static str) -> After {
        self.edge.errors += 1;
        self.say(tag, StatusLine::new(Condition::Bad, text));
        After::Next
    }

    async fn bye(mut self, text: &'static str) {
        self.say(None, StatusLine::new(Condition::Bye, text));
        self.edge.close().await;
    }

    /// The next command; `None` when it was answered already because it makes no sense.
    async fn read_command(&mut self) -> Result<Option<Command>, ReadError> {
        let mut assembler = Assembler::new(MAX_COMMAND);
        // RFC 3501 section 2.2.1: what is refused has a tagged answer, or the client waits for one.
        let mut tag = None;
        loop {
            let line = match self.edge.stream.read_line(self.edge.left()).await {
                Err(ReadError::LineTooLong) => {
                    self.bad(tag.as_ref(), "Command line too long.");
                    return Ok(None);
                }
                other => other?,
            };
            if assembler.so_far().is_empty() {
                tag = Tag::leading(&line);
            }
            match assembler.line(&line) {
                Err(_) => {
                    self.bad(tag.as_ref(), "Command too large.");
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
                        self.bad(tag.as_ref(), "Literal too large.");
                        if synchronizing {
                            return Ok(None);
                        }
                        // RFC 7888 section 4: the octets come anyway; closing is the way out.
                        self.edge.give_up();
                        return Ok(None);
                    }
                    if synchronizing {
                        self.edge.stream.write(b"+ go on\r\n");
                    }
                    let size = usize::try_from(header.size).unwrap_or(MAX_COMMAND);
                    let data = self.edge.stream.read_exact(size, self.edge.left()).await?;
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
                self.edge.stream.write(line.as_bytes());
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
            CommandBody::Login { .. } if !self.edge.channel().allows_password() => self.tls_first(&tag),
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

    fn tls_first(&mut self, tag: &Tag) -> After {
        let status = StatusLine::new(Condition::No, "Start TLS first.").with_code(Code::PrivacyRequired);
        self.say(Some(tag), status);
        self.edge.errors += 1;
        After::Next
    }

    fn id(&mut self, tag: &Tag, fields: &IdFields) -> After {
        // Claims are believed from trusted networks only.
        if self.edge.trusted {
            for (name, value) in fields {
                if let (Ok(name), Some(Ok(value))) = (
                    std::str::from_utf8(name),
                    value.as_deref().map(std::str::from_utf8),
                ) {
                    self.edge.claims.take(&mut self.edge.peer, name, value);
                }
            }
        }
        self.edge.stream.write(b"* ID (\"name\" \"Homing\")\r\n");
        self.ok(tag, "Pleased to meet you.")
    }

    async fn start_tls(&mut self, tag: &Tag) -> After {
        let Some(tls) = self.edge.tls.take() else {
            return self.bad(Some(tag), "STARTTLS is not available.");
        };
        self.ok(tag, "Begin TLS now.");
        match self.edge.start_tls(&tls).await {
            Some(()) => After::Next,
            None => After::End,
        }
    }

    async fn authenticate(&mut self, tag: &Tag, mechanism: &str, initial: Option<&str>) -> After {
        let initial = initial.map(str::as_bytes);
        let carrier = Carrier::Lines("+ ");
        match self.edge.exchange(mechanism.as_bytes(), initial, carrier).await {
            Exchanged::Judged(result) => self.logged_in(tag, result),
            Exchanged::NeedsTls => self.tls_first(tag),
            Exchanged::Unsupported => {
                self.edge.errors += 1;
                let status = StatusLine::new(Condition::No, "Mechanism not supported.");
                self.say(Some(tag), status);
                After::Next
            }
            Exchanged::Broken => self.bad(Some(tag), "The exchange was cancelled or malformed."),
            Exchanged::TooLong => self.bad(Some(tag), "Response too long."),
            Exchanged::Gone => After::End,
        }
    }

    async fn log_in(&mut self, tag: &Tag, login: Login) -> After {
        let result = self.edge.log_in(login).await.map(Box::new);
        self.logged_in(tag, result)
    }

    fn logged_in(&mut self, tag: &Tag, result: Result<Box<Arrived>, Failure>) -> After {
        match result {
            Ok(mut arrived) => {
                let mut status = StatusLine::new(Condition::Ok, "Logged in.");
                // RFC 3501 section 6.2.3: what the home can do, which the client cannot know yet.
                let capabilities = std::mem::take(&mut arrived.capabilities);
                if !capabilities.is_empty() {
                    status = status.with_code(Code::Capability(capabilities));
                }
                self.say(Some(tag), status);
                After::Relay(arrived)
            }
            Err(failure) => {
                self.say(Some(tag), reply::failure(&failure));
                After::Next
            }
        }
    }
}
