//! The dialogue with one home for one transaction.

use super::message::Message;
use super::needs::Home;
use super::reply;
use super::routing::Destination;
use super::transaction::{Recipient, Sender};
use crate::config::HomeProtocol;
use crate::dial::{Caller, Dialer, Dialled, Named};
use crate::failure::Failure;
use crate::home_line::HomeLine;
use model::{Peer, Protocol, TraceId};
use net::proxy_protocol::TlsFacts;
use net::{LinePolicy, Shutdown, TlsMode};
use std::time::Duration;
use wire::smtp::{Capabilities, ClientClaims, Command, DotEncoder, Extensions, Reply, ReplyReader, Severity};

/// The longest reply line: RFC 5321 section 4.5.3.1.5 has 512, and some servers do not care.
const MAX_LINE: usize = 4096;
/// Output that is queued before it is sent.
const FLUSH_AT: usize = 64 * 1024;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of the client's identity a home is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The home acts as if the client were its own: XCLIENT where it is announced, else XFORWARD.
    Client,
    /// The home takes the mail from us, a trusted relay, and is told the client for its logs: XFORWARD only.
    Relay,
}

/// What every leg of a session needs to know.
#[derive(Debug, Clone)]
pub(super) struct LegSettings {
    /// The client, for a home in this process.
    pub(super) peer: Peer,
    /// The client's own TLS, where it has connected to us itself.
    pub(super) tls: Option<TlsFacts>,
    /// The order to stop, for the same.
    pub(super) shutdown: Shutdown,
    /// The session, for logs.
    pub(super) trace: TraceId,
    /// The first of the sessions that wait for one another, for circles only. Not the trace, which a queue says again
    /// in all of its deliveries.
    pub(super) first: TraceId,
    /// Our name.
    pub(super) server_name: String,
    /// Time for the reply to a command.
    pub(super) limit: Duration,
    /// Time for the reply to a message.
    pub(super) data_limit: Duration,
    /// The client, as XCLIENT says it; nothing when the session may pass no more front ends.
    pub(super) client: Result<ClientClaims, Failure>,
    /// Where the message comes from, as XFORWARD says it.
    pub(super) origin: ClientClaims,
    /// We can send notifications that a home does not send.
    pub(super) tells: bool,
    /// What the homes speak.
    pub(super) home_protocol: HomeProtocol,
}

/// What became of an offer.
#[derive(Debug)]
pub(super) enum Offered {
    /// The home takes mail from the sender; what it says of each recipient, in their order.
    Answers(Vec<Result<Reply, Failure>>),
    /// It takes nothing from the sender, or could not keep what was asked for the message.
    Refused(Reply),
}

/// One home, with MAIL not yet sent or sent.
pub(super) struct Leg {
    line: HomeLine,
    pub(super) to: Destination,
    protocol: HomeProtocol,
    capabilities: Capabilities,
    /// Nobody can listen in: verified TLS, or a home in this process.
    private: bool,
    data_limit: Duration,
    /// What XFORWARD tells the home with each transaction.
    origin: ClientClaims,
    /// What XTRACE tells it.
    first: TraceId,
    /// Recipients that the home has accepted, by their place in the transaction.
    pub(super) recipients: Vec<usize>,
    /// MAIL commands of this connection, and RCPT commands of this transaction: homes may limit both.
    mails: u32,
    rcpts: u32,
    /// The message goes with BDAT.
    in_chunks: bool,
    /// We can send notifications that the home does not send, and there is somebody to read them.
    tells: bool,
    hears: bool,
    /// Nothing more can be said: the home hung up, said that it will, or owes a reply that would be taken for
    /// the one to what is said next.
    over: bool,
}

impl Leg {
    /// Connects and greets; the home knows who the client is when this returns.
    pub(super) async fn open(
        dialer: &Dialer,
        to: &Destination,
        settings: &LegSettings,
    ) -> Result<Self, Failure> {
        let caller = Caller {
            peer: &settings.peer,
            shutdown: &settings.shutdown,
            named: match to.identity {
                Identity::Client => Named::Client(settings.tls.as_ref()),
                // Or it would judge the client, for whom it does not relay.
                Identity::Relay => Named::Ours,
            },
        };
        let protocol = match to.identity {
            Identity::Client => settings.home_protocol,
            // Only SMTP relays (RFC 2033 section 5).
            Identity::Relay => HomeProtocol::Smtp,
        };
        let dialled = match protocol {
            HomeProtocol::Smtp => dialer.dial(&to.home, Protocol::Smtp, caller).await?,
            HomeProtocol::Lmtp => dialer.dial(&to.home, Protocol::Lmtp, caller).await?,
        };
        let name = dialled.name.clone();
        let greeted = Self::greet(dialled, to, protocol, settings).await;
        dialer.learn(&name, greeted)
    }

    async fn greet(
        dialled: Dialled,
        to: &Destination,
        protocol: HomeProtocol,
        settings: &LegSettings,
    ) -> Result<Self, Failure> {
        let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::Strict);
        // A home in this process is no further hop.
        let client = match (to.identity, &settings.client) {
            (Identity::Relay, Ok(_)) => None,
            (Identity::Client, Ok(client)) => Some(client),
            (_, Err(_)) if line.stream.is_internal() => None,
            (_, Err(failure)) => return Err(failure.clone()),
        };
        let verified = target.tls != TlsMode::None && target.trust.verifies();
        let mut leg = Self {
            private: line.stream.is_internal() || verified,
            line,
            to: to.clone(),
            protocol,
            capabilities: Capabilities::default(),
            data_limit: settings.data_limit,
            origin: settings.origin.clone(),
            first: settings.first,
            recipients: Vec::new(),
            mails: 0,
            rcpts: 0,
            in_chunks: false,
            tells: settings.tells,
            hears: false,
            over: false,
        };
        let greeting = leg.reply().await?;
        leg.expect(&greeting)?;
        leg.line.limit = settings.limit;
        leg.hello(&settings.server_name).await?;
        if target.tls == TlsMode::StartTls {
            let reply = leg.run(&Command::StartTls).await?;
            if !reply.is_completed() {
                return Err(leg.line.tls("it does not offer STARTTLS"));
            }
            leg.line.start_tls(&target).await?;
            // RFC 3207 section 4.2: what was said before the handshake no longer counts.
            leg.hello(&settings.server_name).await?;
        }
        if let Some(client) = client {
            leg.identify(client, &settings.server_name).await?;
        }
        Ok(leg)
    }

    async fn identify(&mut self, client: &ClientClaims, server_name: &str) -> Result<(), Failure> {
        if let Some(claims) = client.clone().limited_to(&self.capabilities.xclient) {
            let reply = self.run(&Command::Xclient(claims)).await?;
            match reply.code() {
                // It trusts us, and cannot take what we say or take it now: whatever follows would count as ours.
                421 | 450..=459 | 501 => return Err(self.line.temporary(&reply.to_string())),
                // A home that announces XCLIENT and refuses it does not trust us: it will judge us instead.
                code if code >= 400 => {}
                _ => {
                    let helo = client.helo.as_deref().unwrap_or(server_name);
                    self.hello(helo).await?;
                }
            }
        }
        Ok(())
    }

    async fn hello(&mut self, name: &str) -> Result<(), Failure> {
        let hello = match self.protocol {
            HomeProtocol::Smtp => Command::Ehlo(name.to_owned()),
            HomeProtocol::Lmtp => Command::Lhlo(name.to_owned()),
        };
        let mut reply = self.run(&hello).await?;
        self.capabilities = Capabilities::default();
        if reply.is_completed() {
            self.capabilities = Capabilities::parse(&reply);
        } else if self.protocol == HomeProtocol::Smtp && reply.code() / 100 == 5 {
            // RFC 5321 section 3.2: a server that does not know EHLO is greeted with HELO.
            reply = self.run(&Command::Helo(name.to_owned())).await?;
        }
        self.expect(&reply)
    }

    /// Where the next transaction's message comes from.
    pub(super) fn set_origin(&mut self, settings: &LegSettings) {
        self.origin = settings.origin.clone();
        self.first = settings.first;
    }

    /// `host:port`, as the home's health is kept.
    pub(super) fn name(&self) -> &str {
        &self.line.name
    }

    /// What the home can do.
    pub(super) fn home(&self) -> Home<'_> {
        Home {
            capabilities: &self.capabilities,
            private: self.private,
        }
    }

    /// Opens the transaction and offers recipients, all in one piece where the home takes PIPELINING (RFC 2920
    /// section 3.1).
    pub(super) async fn begin(
        &mut self,
        sender: &Sender,
        recipients: &[Recipient],
    ) -> Result<Offered, Failure> {
        let mail = match self.home().mail(sender) {
            Ok(mail) => mail,
            Err(reply) => return Ok(Offered::Refused(reply)),
        };
        self.in_chunks = self.home().in_chunks(sender);
        self.hears = sender.address().is_some();
        self.rcpts = 0;
        self.mails += 1;
        // XFORWARD holds for one transaction. It goes besides XCLIENT too, for the trace; a home that now sees
        // the client in our place no longer announces it.
        let origin = self.origin.clone().limited_to(&self.capabilities.xforward);
        let traces = self.home().has(Extensions::XTRACE);
        let trace = traces.then_some(Command::Xtrace(self.first));
        let before: Vec<_> = origin.map(Command::Xforward).into_iter().chain(trace).collect();
        if !self.pipelines() {
            for command in &before {
                self.run(command).await?;
            }
            let reply = self.run(&mail).await?;
            return match reply.is_completed() {
                true => Ok(Offered::Answers(self.offer(recipients).await)),
                false => Ok(Offered::Refused(reply)),
            };
        }
        for command in &before {
            self.queue(command);
        }
        self.queue(&mail);
        let asked = self.queue_rcpts(recipients);
        for _ in &before {
            self.reply().await?;
        }
        let reply = self.reply().await?;
        let answers = self.answers(asked).await;
        Ok(match reply.is_completed() {
            true => Offered::Answers(answers),
            false => Offered::Refused(reply),
        })
    }

    /// Offers more recipients; what the home says of each, in their order. After an error there are only errors.
    pub(super) async fn offer(&mut self, recipients: &[Recipient]) -> Vec<Result<Reply, Failure>> {
        if self.pipelines() {
            let asked = self.queue_rcpts(recipients);
            return self.answers(asked).await;
        }
        let mut answers = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let asked = self.queue_rcpts(std::slice::from_ref(recipient));
            answers.append(&mut self.answers(asked).await);
        }
        answers
    }

    fn pipelines(&self) -> bool {
        self.home().has(Extensions::PIPELINING)
    }

    /// Queues RCPT, but for recipients that are refused here: their replies are given.
    fn queue_rcpts(&mut self, recipients: &[Recipient]) -> Vec<Option<Reply>> {
        let mut refused = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let reply = self.refuses(recipient);
            if reply.is_none() {
                let rcpt = self.home().rcpt(recipient);
                self.queue(&rcpt);
                self.rcpts += 1;
            }
            refused.push(reply);
        }
        refused
    }

    /// Why a recipient is not offered.
    fn refuses(&self, recipient: &Recipient) -> Option<Reply> {
        // RFC 9422 section 4: what is over the limit is not sent.
        if self
            .capabilities
            .limits
            .rcpt_max
            .is_some_and(|most| self.rcpts >= most)
        {
            return Some(reply::too_many_recipients());
        }
        if self.hears && !self.tells && self.home().keeps_silent(recipient) {
            tracing::error!(home = %self.to.home, "the home knows no DSN, and there is no spill_home to send notifications by");
            return Some(reply::no_notification());
        }
        None
    }

    /// The home's word on each of them.
    async fn answers(&mut self, refused: Vec<Option<Reply>>) -> Vec<Result<Reply, Failure>> {
        let mut answers = Vec::with_capacity(refused.len());
        for refused in refused {
            answers.push(match refused {
                Some(reply) => Ok(reply),
                None => self.reply().await,
            });
        }
        answers
    }

    /// Whether somebody waits to hear of this recipient from us.
    pub(super) fn leaves_untold(&self, recipient: &Recipient) -> bool {
        self.hears && self.home().keeps_silent(recipient)
    }

    /// Whether the home still listens, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether another transaction may follow.
    pub(super) fn is_worth_keeping(&self) -> bool {
        // RFC 9422 section 4.
        let most = self.capabilities.limits.mail_max;
        !self.over && most.is_none_or(|most| self.mails < most)
    }

    /// Asks to send the message. The inner error is the home's refusal, which is never a 2xx.
    pub(super) async fn data(&mut self) -> Result<Result<(), Reply>, Failure> {
        if self.in_chunks {
            // BDAT asks for nothing; this finds out whether the home has lost patience meanwhile.
            self.run(&Command::Noop).await?;
            return Ok(Ok(()));
        }
        let reply = self.run(&Command::Data).await?;
        match (reply.code(), reply.severity()) {
            (354, _) => Ok(Ok(())),
            (_, Severity::Transient | Severity::Permanent) => Ok(Err(reply)),
            // RFC 5321 section 4.3.2 knows no such answer. Taking it for a yes would lose the message.
            (_, Severity::Completed | Severity::Intermediate) => {
                self.over = true;
                Err(self.line.broken("its reply to DATA is neither 354 nor a refusal"))
            }
        }
    }

    /// Sends the whole message but for its end, so that nothing is committed yet. The inner error is the home's
    /// refusal.
    pub(super) async fn send(
        &mut self,
        trace: &str,
        message: &Message,
    ) -> Result<Result<(), Reply>, Failure> {
        let mut encoder = DotEncoder::new();
        let mut out = Vec::new();
        let size = trace.len() as u64 + message.len();
        match self.in_chunks {
            true => {
                self.queue(&Command::Bdat { size, last: false });
                self.line.stream.write(trace.as_bytes());
            }
            false => encoder.encode(trace.as_bytes(), &mut out),
        }
        let mut offset = 0;
        loop {
            // A message that cannot be read back is our own fault.
            let piece = message
                .piece(offset)
                .await
                .map_err(|error| Failure::Buffer(error.to_string()))?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            for part in piece.chunks(FLUSH_AT) {
                match self.in_chunks {
                    true => self.line.stream.write(part),
                    false => encoder.encode(part, &mut out),
                }
                self.line.stream.write(&out);
                out.clear();
                if self.line.stream.queued() >= FLUSH_AT {
                    self.line.flush().await?;
                }
            }
        }
        if self.in_chunks {
            let reply = self.reply().await?;
            return Ok(match reply.severity() {
                Severity::Completed => Ok(()),
                _ => Err(reply),
            });
        }
        let mut end = Vec::new();
        encoder.finish(&mut end);
        // All but the line with the dot: the end of the last line goes with the message.
        let line_end = end.len().saturating_sub(b".\r\n".len());
        self.line.stream.write(&out);
        self.line.stream.write(end.get(..line_end).unwrap_or_default());
        self.line.flush().await.map(Ok)
    }

    /// Ends the message and reads the replies: one for each recipient that the home accepted. They are fewer
    /// when an LMTP home breaks off in the middle of them.
    pub(super) async fn commit(&mut self) -> Result<Vec<Reply>, Failure> {
        match self.in_chunks {
            // RFC 3030 section 2: the last chunk may be empty.
            true => self.queue(&Command::Bdat { size: 0, last: true }),
            false => self.line.stream.write(b".\r\n"),
        }
        let limit = std::mem::replace(&mut self.line.limit, self.data_limit);
        let wanted = self.recipients.len();
        let first = self.reply().await?;
        let mut replies = match self.protocol {
            HomeProtocol::Smtp => vec![first; wanted],
            HomeProtocol::Lmtp => vec![first],
        };
        // RFC 2033 section 4.2: LMTP gives one reply for each accepted recipient, in their order.
        while replies.len() < wanted && !self.over {
            match self.reply().await {
                Ok(reply) => replies.push(reply),
                Err(failure) => {
                    tracing::warn!(home = %self.to.home, %failure, "leg lost between its replies")
                }
            }
        }
        self.line.limit = limit;
        Ok(replies)
    }

    /// Says goodbye without waiting for an answer.
    pub(super) async fn quit(mut self) {
        if self.over {
            return;
        }
        self.line.stream.write(b"QUIT\r\n");
        self.line.stream.close(FAREWELL).await;
    }

    async fn run(&mut self, command: &Command) -> Result<Reply, Failure> {
        self.queue(command);
        self.reply().await
    }

    fn queue(&mut self, command: &Command) {
        let mut line = Vec::new();
        command.encode(&mut line);
        self.line.stream.write(&line);
    }

    /// The next reply. After an error, and after 421, no other may be read.
    async fn reply(&mut self) -> Result<Reply, Failure> {
        if self.over {
            return Err(self.line.broken("it broke off before"));
        }
        self.over = true;
        let reply = self.read_reply().await?;
        // RFC 5321 section 3.8: 421 says that the home closes.
        self.over = reply.code() == 421;
        Ok(reply)
    }

    async fn read_reply(&mut self) -> Result<Reply, Failure> {
        let mut reader = ReplyReader::new();
        loop {
            let line = self.line.read().await?;
            if let Some(reply) = reader
                .push_line(&line)
                .map_err(|error| self.line.broken(&error.to_string()))?
            {
                return Ok(reply);
            }
        }
    }

    fn expect(&self, reply: &Reply) -> Result<(), Failure> {
        if reply.is_completed() {
            return Ok(());
        }
        Err(self.line.temporary(&reply.to_string()))
    }
}
