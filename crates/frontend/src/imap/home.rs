//! The login at an IMAP home.

use crate::config::AuthenticateAt;
use crate::dial::{Dialer, Dialled};
use crate::failure::Failure;
use crate::login::{Admitted, Claims, Gate};
use bytes::Bytes;
use model::{Peer, Protocol};
use net::{LinePolicy, LineStream, ReadError, TlsMode};
use std::time::Duration;
use wire::imap::{
    Assembler, Code, Command, CommandBody, Condition, IdFields, Literals, Next, Response, StatusLine, Tag,
    Untagged,
};
use wire::sasl::{ClientExchange, Mechanism};

/// The longest line that a home may send before login; capability lists have grown long.
const MAX_LINE: usize = 16 * 1024;
/// The largest response, and responses to one command: a home that sends more is out of its mind.
const MAX_RESPONSE: usize = 64 * 1024;
const MAX_RESPONSES: usize = 100;

/// A home with the user logged in.
pub(super) struct LoggedIn {
    pub(super) stream: LineStream,
    /// What the home can do after the login.
    pub(super) capabilities: Vec<String>,
}

/// The talk with one home up to the login.
struct Talk {
    stream: LineStream,
    name: String,
    limit: Duration,
    /// `None` until the home has said them.
    capabilities: Option<Vec<String>>,
    /// ID has been sent, and its result is still to come.
    introduced: Option<Tag>,
    commands: u32,
}

/// Connects, tells who the client is, and replays the login.
pub(super) async fn log_in(
    gate: &Gate,
    admitted: &Admitted,
    peer: &Peer,
    claims: &Claims,
) -> Result<LoggedIn, Failure> {
    let hops = claims.next_hop()?;
    let dialer: &Dialer = &gate.context.dialer;
    let dialled = dialer.dial(&admitted.home, Protocol::Imap).await?;
    let name = dialled.name.clone();
    let id = id_fields(peer, claims, hops);
    let result = talk(gate, dialled, admitted, id).await;
    match &result {
        Ok(_) => dialer.well(&name),
        Err(failure) => dialer.report(&name, failure),
    }
    result
}

async fn talk(gate: &Gate, dialled: Dialled, admitted: &Admitted, id: IdFields) -> Result<LoggedIn, Failure> {
    let Dialled {
        connection,
        target,
        name,
    } = dialled;
    let mut talk = Talk {
        stream: LineStream::new(connection, MAX_LINE).with_policy(LinePolicy::AcceptLf),
        name,
        limit: target.connect_timeout,
        capabilities: None,
        introduced: None,
        commands: 0,
    };
    talk.greeting().await?;
    talk.limit = gate.settings.home_timeout;
    if target.tls == TlsMode::StartTls {
        let done = talk.run(CommandBody::StartTls).await?;
        if done.condition != Condition::Ok {
            return Err(talk.tls("it does not offer STARTTLS"));
        }
        let encrypted = talk
            .stream
            .start_tls_client(&target.trust, &target.host, talk.limit)
            .await;
        encrypted.map_err(|error| talk.tls(&error.to_string()))?;
        // RFC 3501 section 6.2.1: what was said before the handshake no longer counts.
        talk.forget_capabilities();
    }
    if !talk.has("IMAP4REV1").await? && !talk.has("IMAP4REV2").await? {
        return Err(talk.broken("it announces no version of IMAP that we speak"));
    }
    if talk.has("ID").await? {
        // In one packet with the login. Whatever it answers: a home that does not trust us ignores it.
        talk.introduced = Some(talk.send(CommandBody::Id(id))?);
    }
    let done = talk.replay(admitted).await?;
    if done.condition != Condition::Ok {
        return Err(refusal(gate, &talk.name, &done));
    }
    let capabilities = talk.capabilities().await?.to_vec();
    Ok(LoggedIn {
        stream: talk.stream,
        capabilities,
    })
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
fn id_fields(peer: &Peer, claims: &Claims, hops: u8) -> IdFields {
    let fields = [
        ("name", "Homing".to_owned()),
        ("x-originating-ip", peer.client.ip().to_string()),
        ("x-originating-port", peer.client.port().to_string()),
        ("x-connected-ip", peer.local.ip().to_string()),
        ("x-connected-port", peer.local.port().to_string()),
        ("x-session-id", claims.session.clone()),
        ("x-session-ext", claims.session.clone()),
        ("x-proxy-ttl", hops.to_string()),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), Some(value.into_bytes())))
        .collect()
}

impl Talk {
    fn broken(&self, cause: &str) -> Failure {
        Failure::Protocol {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    fn tls(&self, cause: &str) -> Failure {
        Failure::Tls {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    fn lost(&self, error: &ReadError) -> Failure {
        match error {
            ReadError::TimedOut => Failure::Timeout(self.name.clone()),
            other => self.broken(&other.to_string()),
        }
    }

    async fn greeting(&mut self) -> Result<(), Failure> {
        match self.response().await? {
            Response::Untagged(Untagged::Status(status)) => match status.condition {
                Condition::Ok => {
                    self.note(status.code);
                    Ok(())
                }
                Condition::Bye => Err(self.temporary(&status)),
                // RFC 3501 section 7.1.4: PREAUTH would be somebody else's session.
                _ => Err(self.broken("its greeting is neither OK nor BYE")),
            },
            _ => Err(self.broken("it does not greet")),
        }
    }

    fn temporary(&self, status: &StatusLine) -> Failure {
        Failure::HomeTemporary {
            home: self.name.clone(),
            text: status.text.to_string(),
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

    /// Sends the password by the best way that the home offers.
    async fn replay(&mut self, admitted: &Admitted) -> Result<StatusLine, Failure> {
        let address = admitted.address.as_str();
        if self.has("AUTH=PLAIN").await? {
            let mut exchange =
                ClientExchange::new(Mechanism::Plain, address, None, admitted.password.clone());
            let inline = self.has("SASL-IR").await?;
            self.forget_capabilities();
            let tag = self.tag()?;
            self.stream.write(format!("{tag} AUTHENTICATE PLAIN").as_bytes());
            if inline && let Some(response) = exchange.initial() {
                self.stream.write(b" ");
                self.stream.write(response.expose());
            }
            self.stream.write(b"\r\n");
            return self
                .finish(&tag, |_| {
                    exchange.respond(b"").ok().map(|answer| answer.expose().to_vec())
                })
                .await;
        }
        if self.has("LOGINDISABLED").await? {
            return Err(self.broken("it takes no password over this connection"));
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
                password: admitted.password.clone(),
            },
        };
        let command = command.to_bytes(literals);
        let mut pieces = command.pieces().iter();
        self.stream.write(pieces.next().map_or(&[][..], Vec::as_slice));
        self.finish(&tag, |_| pieces.next().cloned()).await
    }

    /// A login changes them: RFC 3501 section 6.2.3. The home may tell the new ones in its result.
    fn forget_capabilities(&mut self) {
        self.capabilities = None;
    }

    fn tag(&mut self) -> Result<Tag, Failure> {
        self.commands += 1;
        let tag = Tag::parse(format!("H{}", self.commands).as_bytes());
        tag.ok_or_else(|| self.broken("too many commands"))
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
        self.stream
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
                Response::Tagged(..) => return Err(self.broken("it answers a command that was not sent")),
                Response::Continuation(text) => match go_on(&text) {
                    Some(more) => {
                        self.stream.write(&more);
                        if !more.ends_with(b"\r\n") {
                            self.stream.write(b"\r\n");
                        }
                    }
                    None => return Err(self.broken("it asks for more when there is no more")),
                },
                Response::Untagged(Untagged::Capability(words)) => self.capabilities = Some(words),
                Response::Untagged(Untagged::Status(status)) if status.condition == Condition::Bye => {
                    return Err(self.temporary(&status));
                }
                Response::Untagged(_) => {}
            }
        }
        Err(self.broken("it sends responses without end"))
    }

    async fn response(&mut self) -> Result<Response, Failure> {
        let mut assembler = Assembler::new(MAX_RESPONSE);
        loop {
            let line = self.line().await?;
            let next = assembler
                .response_line(&line)
                .map_err(|error| self.broken(&error.to_string()))?;
            match next {
                Next::Complete(response) => {
                    return Response::parse(&response).map_err(|_| self.broken("it does not speak IMAP"));
                }
                Next::Literal(header) if assembler.has_room(header.size) => {
                    let size = usize::try_from(header.size).unwrap_or(MAX_RESPONSE);
                    let data = self.stream.read_exact(size, self.limit).await;
                    let data = data.map_err(|error| self.lost(&error))?;
                    assembler
                        .literal(&data)
                        .map_err(|error| self.broken(&error.to_string()))?;
                }
                Next::Literal(_) => return Err(self.broken("it sends too large a literal")),
            }
        }
    }

    async fn line(&mut self) -> Result<Bytes, Failure> {
        let line = self.stream.read_line(self.limit).await;
        line.map_err(|error| self.lost(&error))
    }
}
