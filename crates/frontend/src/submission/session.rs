//! The session before the login, and the hand-over to the home.

use super::guard::Guard;
use super::passage::Passage;
use super::reply;
use crate::config::SubmissionProxyConfig;
use crate::edge::{After, Edge, Enough};
use crate::edge_sasl::{Carrier, Exchanged};
use crate::login::{Arrived, Gate, ProxyContext};
use crate::relaying::Handover;
use model::{Authenticator, Protocol};
use net::{Accepted, ReadError, Rest};
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::smtp::{ClientClaims, Command, CommandError, Extensions, Reply};

/// The longest command. RFC 4954 section 4 has 12288 octets for what AUTH carries.
const MAX_LINE: usize = 16 * 1024;
/// What a front end before this one may tell.
const XCLIENT: &str = "XCLIENT ADDR PORT PROTO HELO SESSION TTL CLIENT-TRANSPORT";
/// Commands that are of use only after the login.
const AFTER_LOGIN: [&str; 7] = ["MAIL", "RCPT", "DATA", "BDAT", "BURL", "VRFY", "EXPN"];

/// The submission proxy of this server.
pub struct SubmissionProxy {
    gate: Gate,
    extensions: Vec<String>,
}

impl SubmissionProxy {
    /// Builds the proxy; `authenticator` checks passwords with `authenticate = "edge"`.
    #[must_use]
    pub fn new(
        config: &SubmissionProxyConfig,
        context: ProxyContext,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Self {
        let mut settings = config.login().login_settings();
        settings.announced.clone_from(&config.extensions);
        let size = config.max_message_size;
        let line = |name: &String| match (name.as_str(), size) {
            ("SIZE", Some(size)) => format!("SIZE {}", size.0),
            _ => name.clone(),
        };
        Self {
            extensions: config.extensions.iter().map(line).collect(),
            gate: Gate {
                context,
                settings,
                authenticator,
            },
        }
    }
}

/// Serves one client up to its login; what is returned is the long rest of the session, if it comes to that.
pub async fn serve(accepted: Accepted, proxy: Arc<SubmissionProxy>) -> Rest {
    let session = Session {
        edge: Edge::new(accepted, &proxy.gate, Protocol::Submission, MAX_LINE),
        extensions: &proxy.extensions,
        greeted: false,
    };
    match Box::pin(session.run()).await {
        Some((handover, passage)) => {
            let (tell, told) = oneshot::channel();
            // The passage knows where a reply is right, and homes of submission take no orders.
            let relay = handover.run_until_told(move |_, _| tell.send(()).is_ok());
            Rest::of(async move {
                let mut relay = Box::pin(relay);
                // The relay has the last word: it tells the client what the home said last, and knows when to end.
                tokio::select! {
                    () = &mut relay => {}
                    () = passage.run(told) => relay.await,
                }
            })
        }
        None => ().into(),
    }
}

struct Session<'a> {
    edge: Edge<'a>,
    /// The lines of the EHLO reply that do not change.
    extensions: &'a [String],
    /// EHLO or HELO has been said.
    greeted: bool,
}

impl Session<'_> {
    async fn run(mut self) -> Option<(Handover, Passage)> {
        self.greet();
        let last = loop {
            let shutdown = self.edge.shutdown.clone();
            let left = self.edge.left();
            let read = tokio::select! {
                read = self.edge.stream.read_line(left) => read,
                () = shutdown.requested() => break Some(reply::shutting_down()),
            };
            let after = match read {
                Ok(line) => self.line(&line).await,
                Err(ReadError::LineTooLong) => self.error(&reply::line_too_long()),
                Err(ReadError::TimedOut) => break Some(reply::timed_out()),
                Err(_) => return None,
            };
            match (after, self.edge.enough()) {
                (After::Relay(arrived), _) => return self.hand_over(*arrived).await,
                (After::Next, None) => {}
                (After::End, _) => break None,
                (After::Next, Some(Enough::Errors)) => break Some(reply::too_many_errors()),
                (After::Next, Some(Enough::Refusals)) => break Some(reply::too_many_refusals()),
            }
        };
        if let Some(last) = last {
            self.say(&last);
        }
        self.edge.close().await;
        None
    }

    /// From now on the home answers, behind the guard.
    async fn hand_over(self, mut arrived: Arrived) -> Option<(Handover, Passage)> {
        let home = std::mem::take(&mut arrived.capabilities);
        let (near, passage) = Passage::new(arrived.stream, Guard::new(&home));
        arrived.stream = near;
        Some((self.edge.hand_over(arrived).await?, passage))
    }

    fn greet(&mut self) -> After {
        let greeting = format!("{} ESMTP Homing", self.edge.gate.context.server_name);
        // RFC 2034 section 3: the greeting has no enhanced code.
        self.say(&Reply::new(220, None, greeting))
    }

    fn say(&mut self, reply: &Reply) -> After {
        let mut out = Vec::new();
        reply.encode(&mut out);
        self.edge.stream.write(&out);
        After::Next
    }

    fn error(&mut self, reply: &Reply) -> After {
        self.edge.errors += 1;
        self.say(reply)
    }

    async fn line(&mut self, line: &[u8]) -> After {
        let verb = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let is_one_of = |verbs: &[&str]| {
            verbs
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(verb))
        };
        if is_one_of(&AFTER_LOGIN) {
            // RFC 4954 section 6.
            return match self.edge.channel().offered().is_empty() {
                true => self.error(&reply::tls_first()),
                false => self.error(&reply::log_in_first()),
            };
        }
        let mut extensions = Extensions::AUTH.with(Extensions::STARTTLS);
        if self.edge.trusted {
            extensions = extensions.with(Extensions::XCLIENT);
        }
        match Command::parse(line, extensions) {
            Ok(command) => self.command(command).await,
            Err(
                CommandError::UnknownVerb | CommandError::NotImplemented | CommandError::ControlCharacter,
            ) => self.error(&reply::unknown()),
            Err(_) => self.error(&reply::wrong_arguments()),
        }
    }

    async fn command(&mut self, command: Command) -> After {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::StartTls => self.start_tls().await,
            Command::Auth { .. } if !self.greeted => self.error(&reply::hello_first()),
            Command::Auth { mechanism, initial } => {
                let initial = initial.as_ref().map(model::Secret::expose);
                self.authenticate(&mechanism, initial).await
            }
            Command::Xclient(about) => self.take_over(&about),
            Command::Noop | Command::Rset => self.say(&reply::ok()),
            Command::Help => self.say(&reply::help()),
            Command::Quit => {
                self.say(&reply::bye());
                After::End
            }
            _ => self.error(&reply::unknown()),
        }
    }

    fn hello(&mut self, name: String, extended: bool) -> After {
        self.greeted = true;
        let own = self.edge.gate.context.server_name.clone();
        let mut lines = vec![format!("{own} greets {name}")];
        self.edge.claims.helo = Some(name);
        if !extended {
            return self.say(&Reply::new(250, None, own));
        }
        lines.extend(self.extensions.iter().cloned());
        if self.edge.tls.is_some() {
            lines.push("STARTTLS".to_owned());
        }
        let mechanisms: Vec<&str> = self
            .edge
            .channel()
            .offered()
            .iter()
            .map(|mechanism| mechanism.name())
            .collect();
        if !mechanisms.is_empty() {
            lines.push(format!("AUTH {}", mechanisms.join(" ")));
        }
        if self.edge.trusted {
            lines.push(XCLIENT.to_owned());
        }
        self.say(&Reply::multi(250, None, lines))
    }

    /// A front end before this one names its client; the session begins again.
    fn take_over(&mut self, about: &ClientClaims) -> After {
        self.edge.take_over(&wire::pop3::ClientClaims {
            addr: about.addr,
            port: about.port,
            session: about.session.clone(),
            ttl: about.ttl,
            tls: about.tls,
        });
        self.edge.claims.helo.clone_from(&about.helo);
        self.greeted = false;
        self.greet()
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.edge.tls.take() else {
            return self.error(&reply::no_tls());
        };
        // RFC 3207 section 4.2: the client starts over, and nothing it sent before counts.
        self.greeted = false;
        self.say(&reply::start_tls());
        match self.edge.start_tls(&tls).await {
            Some(()) => After::Next,
            None => After::End,
        }
    }

    async fn authenticate(&mut self, mechanism: &str, initial: Option<&[u8]>) -> After {
        // RFC 4954 section 4.
        let carrier = Carrier::Lines("334 ");
        match self.edge.exchange(mechanism.as_bytes(), initial, carrier).await {
            Exchanged::Judged(Ok(arrived)) => {
                self.say(&reply::logged_in());
                After::Relay(arrived)
            }
            Exchanged::Judged(Err(failure)) => self.say(&reply::failure(&failure)),
            Exchanged::NeedsTls => self.error(&reply::mechanism_needs_tls()),
            Exchanged::Unsupported => self.error(&reply::no_such_mechanism()),
            Exchanged::Broken => self.error(&reply::broken_exchange()),
            Exchanged::TooLong => self.error(&reply::response_too_long()),
            Exchanged::Gone => After::End,
        }
    }
}
