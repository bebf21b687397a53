//! The login at an IMAP home.

use crate::config::AuthenticateAt;
use crate::dial::Dialled;
use crate::failure::Failure;
use crate::farewell::Order;
use crate::home_key::{AFTER_REFUSAL, Exchange, HomeKey};
use crate::home_line::HomeLine;
use crate::login::{Admitted, Gate, Introduction, LoggedIn, client_port};
use crate::watch::{self, UNAUTHENTICATE};
use directory::HomeTarget;
use model::Secret;
use net::{LinePolicy, TlsMode};
use std::time::Duration;
use wire::imap::{
    Assembler, Code, Command, CommandBody, Condition, IdFields, Literals, Response, StatusLine, Tag, Untagged,
};

/// The longest line that a home may send before login; capability lists have grown long.
const MAX_LINE: usize = 16 * 1024;
/// The largest response, and responses to one command: a home that sends more is out of its mind.
const MAX_RESPONSE: usize = 64 * 1024;
const MAX_RESPONSES: usize = 100;

/// What a Homing home that trusts us announces before the login.
const ENDS_SESSIONS: &str = "XENDSESSION";

/// The talk with one home up to the login.
struct Talk {
    line: HomeLine,
    /// `None` until the home has said them.
    capabilities: Option<Vec<String>>,
    /// ID has been sent, and its result is still to come.
    introduced: Option<Tag>,
    commands: u32,
}

/// Tells the home who the client is, and logs in.
pub(crate) async fn log_in(
    gate: &Gate,
    dialled: Dialled,
    admitted: &Admitted,
    who: &Introduction<'_>,
) -> Result<LoggedIn, Failure> {
    let (mut talk, target) = Talk::open(dialled, gate.settings.home_timeout).await?;
    if !talk.has("IMAP4REV1").await? && !talk.has("IMAP4REV2").await? {
        return Err(talk.line.broken("it announces no version of IMAP that we speak"));
    }
    if talk.has("ID").await? {
        // In one packet with the login. Whatever it answers: a home that does not trust us ignores it.
        talk.introduced = Some(talk.send(CommandBody::Id(id_fields(who)))?);
    }
    let takes_orders = talk.has(ENDS_SESSIONS).await?;
    gate.context
        .dialer
        .farewells()
        .learn(&admitted.home, takes_orders);
    let mut guarded = talk.has(UNAUTHENTICATE).await?;
    let key = gate.key_for(&target, &talk.line.name, admitted, who)?;
    let done = talk.log_in(admitted, &target, &key).await?;
    if done.condition != Condition::Ok {
        return Err(refusal(gate, &talk.line.name, &done));
    }
    guarded |= talk.has(UNAUTHENTICATE).await?;
    let capabilities = talk.capabilities().await?.to_vec();
    Ok(LoggedIn {
        stream: talk.line.stream,
        capabilities: match guarded {
            true => watch::for_clients(capabilities),
            false => capabilities,
        },
        watch: guarded.then(watch::imap),
    })
}

/// A talk with a home about sessions that are to end there. Nobody logs in.
pub(crate) struct Orders(Talk);

impl Orders {
    /// None when the home takes none.
    pub(crate) async fn open(dialled: Dialled) -> Result<Option<Self>, Failure> {
        let limit = dialled.target.connect_timeout;
        let (mut talk, _) = Talk::open(dialled, limit).await?;
        Ok(talk.has(ENDS_SESSIONS).await?.then_some(Self(talk)))
    }

    /// How many of these sessions the home had and ends now.
    pub(crate) async fn end(&mut self, orders: &[Order]) -> Result<usize, Failure> {
        let mut tags = Vec::with_capacity(orders.len());
        for order in orders {
            tags.push(self.0.send(CommandBody::EndSession {
                trace: order.trace.to_string().into_bytes(),
                why: order.why.as_str().into(),
            })?);
        }
        let mut ended = 0;
        for tag in tags {
            let done = self.0.finish(&tag, |_| None).await?;
            ended += usize::from(done.condition == Condition::Ok);
        }
        Ok(ended)
    }

    pub(crate) async fn leave(mut self) {
        // Whatever it answers: the connection is closed.
        let _ = self.0.run(CommandBody::Logout).await;
    }
}

/// What a NO or BAD to the login means.
fn refusal(gate: &Gate, home: &str, done: &StatusLine) -> Failure {
    let temporary = matches!(
        done.code,
        Some(
            Code::Unavailable
                | Code::InUse
                | Code::Limit
                | Code::ServerBug
                | Code::Corruption
                | Code::ContactAdmin
        )
    );
    if temporary || done.condition == Condition::Bad {
        return Failure::HomeTemporary {
            home: home.to_owned(),
            text: done.text.to_string(),
        };
    }
    match done.code {
        // RFC 5530 section 3: our connection to the home is not what it wants, whatever the password.
        Some(Code::PrivacyRequired) => Failure::HomeRefusedLogin {
            home: home.to_owned(),
            text: done.text.to_string(),
        },
        Some(Code::Expired) if gate.settings.authenticate == AuthenticateAt::Home => Failure::Expired,
        _ => gate.home_refused(home, &done.text),
    }
}

/// Who the client is, in Dovecot's names.
fn id_fields(who: &Introduction<'_>) -> IdFields {
    let Introduction {
        peer, claims, hops, ..
    } = who;
    let fields = [
        ("name", "Homing".to_owned()),
        ("x-originating-ip", peer.client.ip().to_string()),
        ("x-connected-ip", peer.local.ip().to_string()),
        ("x-connected-port", peer.local.port().to_string()),
        ("x-session-id", claims.session.clone()),
        ("x-session-ext", claims.session.clone()),
        ("x-proxy-ttl", hops.to_string()),
    ];
    let port = client_port(peer).map(|port| ("x-originating-port", port.to_string()));
    let transport = claims.tls.map(wire::transport::word);
    let transport = transport.map(|word| ("x-forward-transport", word.to_owned()));
    fields
        .into_iter()
        .chain(port)
        .chain(transport)
        .map(|(name, value)| (name.into(), Some(value.into_bytes())))
        .collect()
}

impl Talk {
    /// Up to the first command, inside TLS where that is wanted.
    async fn open(dialled: Dialled, limit: Duration) -> Result<(Self, HomeTarget), Failure> {
        let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::AcceptLf);
        let mut talk = Self {
            line,
            capabilities: None,
            introduced: None,
            commands: 0,
        };
        talk.greeting().await?;
        talk.line.limit = limit;
        if target.tls == TlsMode::StartTls {
            let done = talk.run(CommandBody::StartTls).await?;
            if done.condition != Condition::Ok {
                return Err(talk.line.tls("it does not offer STARTTLS"));
            }
            talk.line.start_tls(&target).await?;
            // RFC 3501 section 6.2.1: what was said before the handshake no longer counts.
            talk.forget_capabilities();
        }
        Ok((talk, target))
    }

    async fn greeting(&mut self) -> Result<(), Failure> {
        match self.response().await? {
            Response::Untagged(Untagged::Status(status)) => match status.condition {
                Condition::Ok => {
                    self.note(status.code);
                    Ok(())
                }
                Condition::Bye => Err(self.line.temporary(&status.text)),
                // RFC 3501 section 7.1.4: PREAUTH would be somebody else's session.
                _ => Err(self.line.broken("its greeting is neither OK nor BYE")),
            },
            _ => Err(self.line.broken("it does not greet")),
        }
    }

    fn note(&mut self, code: Option<Code>) {
        if let Some(Code::Capability(words)) = code {
            self.capabilities = Some(words);
        }
    }

    async fn has(&mut self, capability: &str) -> Result<bool, Failure> {
        let words = self.capabilities().await?;
        Ok(words.iter().any(|word| word.eq_ignore_ascii_case(capability)))
    }

    async fn capabilities(&mut self) -> Result<&[String], Failure> {
        if self.capabilities.is_none() {
            self.run(CommandBody::Capability).await?;
        }
        // A home that answers nothing is judged by what it did not say.
        Ok(self.capabilities.get_or_insert_default())
    }

    /// Logs in by the best way that the home offers.
    async fn log_in(
        &mut self,
        admitted: &Admitted,
        target: &HomeTarget,
        key: &HomeKey,
    ) -> Result<StatusLine, Failure> {
        let address = admitted.address.as_str();
        let words = self.capabilities().await?;
        let has = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
        let exchange = key.exchange(address, target, |mechanism| has(&format!("AUTH={mechanism}")));
        let inline = has("SASL-IR");
        match (exchange, key) {
            (Some(exchange), _) => self.authenticate(&exchange, inline).await,
            (None, HomeKey::Password(password)) => self.plain_login(address, password).await,
            (None, _) => Err(self.line.no_way_in()),
        }
    }

    async fn authenticate(&mut self, exchange: &Exchange, inline: bool) -> Result<StatusLine, Failure> {
        self.forget_capabilities();
        let tag = self.tag()?;
        let command = format!("{tag} AUTHENTICATE {}", exchange.mechanism);
        self.line.stream.write(command.as_bytes());
        // RFC 4959 section 3; without it the home asks first (RFC 3501 section 6.2.2).
        let mut response = Some(exchange.response.expose());
        if inline && let Some(response) = response.take() {
            self.line.stream.write(b" ");
            self.line.stream.write(response);
        }
        self.line.stream.write(b"\r\n");
        let bearer = exchange.mechanism != "PLAIN";
        let mut refused = bearer.then_some(AFTER_REFUSAL);
        self.finish(&tag, |_| {
            let next = response.take().or_else(|| refused.take());
            next.map(<[u8]>::to_vec)
        })
        .await
    }

    async fn plain_login(&mut self, address: &str, password: &Secret) -> Result<StatusLine, Failure> {
        if self.has("LOGINDISABLED").await? {
            return Err(self.line.broken("it takes no password over this connection"));
        }
        let literals = if self.has("LITERAL+").await? {
            Literals::NonSynchronizing
        } else {
            Literals::Synchronizing
        };
        self.forget_capabilities();
        let tag = self.tag()?;
        let command = Command {
            tag: tag.clone(),
            body: CommandBody::Login {
                user: address.as_bytes().to_vec(),
                password: password.clone(),
            },
        };
        let command = command.to_bytes(literals);
        let mut pieces = command.pieces().iter();
        self.line
            .stream
            .write(pieces.next().map_or(&[][..], Vec::as_slice));
        self.finish(&tag, |_| pieces.next().cloned()).await
    }

    /// A login changes them: RFC 3501 section 6.2.3. The home may tell the new ones in its result.
    fn forget_capabilities(&mut self) {
        self.capabilities = None;
    }

    fn tag(&mut self) -> Result<Tag, Failure> {
        self.commands += 1;
        let tag = Tag::parse(format!("H{}", self.commands).as_bytes());
        tag.ok_or_else(|| self.line.broken("too many commands"))
    }

    async fn run(&mut self, body: CommandBody) -> Result<StatusLine, Failure> {
        let tag = self.send(body)?;
        self.finish(&tag, |_| None).await
    }

    fn send(&mut self, body: CommandBody) -> Result<Tag, Failure> {
        let tag = self.tag()?;
        let command = Command {
            tag: tag.clone(),
            body,
        };
        self.line
            .stream
            .write(&command.to_bytes(Literals::NonSynchronizing).concat());
        Ok(tag)
    }

    /// Reads up to the result of the command `tag`; `go_on` gives what follows a continuation.
    async fn finish(
        &mut self,
        tag: &Tag,
        mut go_on: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send,
    ) -> Result<StatusLine, Failure> {
        for _ in 0..MAX_RESPONSES {
            match self.response().await? {
                Response::Tagged(found, _) if self.introduced.as_ref() == Some(&found) => {
                    self.introduced = None
                }
                Response::Tagged(found, status) if found == *tag => {
                    self.note(status.code.clone());
                    return Ok(status);
                }
                Response::Tagged(..) => {
                    return Err(self.line.broken("it answers a command that was not sent"));
                }
                Response::Continuation(text) => match go_on(&text) {
                    Some(more) => {
                        self.line.stream.write(&more);
                        if !more.ends_with(b"\r\n") {
                            self.line.stream.write(b"\r\n");
                        }
                    }
                    None => return Err(self.line.broken("it asks for more when there is no more")),
                },
                Response::Untagged(Untagged::Capability(words)) => self.capabilities = Some(words),
                Response::Untagged(Untagged::Status(status)) if status.condition == Condition::Bye => {
                    return Err(self.line.temporary(&status.text));
                }
                Response::Untagged(_) => {}
            }
        }
        Err(self.line.broken("it sends responses without end"))
    }

    async fn response(&mut self) -> Result<Response, Failure> {
        let whole = self.line.response(MAX_RESPONSE, Assembler::response_line).await?;
        Response::parse(&whole).map_err(|_| self.line.broken("it does not speak IMAP"))
    }
}
