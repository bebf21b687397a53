//! The dialogue with one home for one transaction.

use super::message::Message;
use crate::config::HomeProtocol;
use crate::dial::{Caller, Dialer, Dialled};
use crate::failure::Failure;
use crate::home_line::HomeLine;
use directory::HomeRef;
use model::{Peer, Protocol, ReversePath, TraceId};
use net::{LinePolicy, Shutdown, TlsMode};
use std::time::Duration;
use wire::smtp::{
    Capabilities, ClientClaims, Command, DotEncoder, Extensions, ForwardPath, MailParameters, Reply,
    ReplyReader, Severity,
};

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
    /// The order to stop, for the same.
    pub(super) shutdown: Shutdown,
    /// The session, for logs.
    pub(super) trace: TraceId,
    /// Our name.
    pub(super) server_name: String,
    /// Time for the reply to a command.
    pub(super) limit: Duration,
    /// Time for the reply to a message.
    pub(super) data_limit: Duration,
    /// The client.
    pub(super) claims: ClientClaims,
}

/// One home, with MAIL not yet sent or sent.
pub(super) struct Leg {
    line: HomeLine,
    pub(super) home: HomeRef,
    protocol: HomeProtocol,
    capabilities: Capabilities,
    data_limit: Duration,
    /// What XFORWARD tells the home with each transaction.
    claims: ClientClaims,
    /// Recipients that the home has accepted, by their place in the transaction.
    pub(super) recipients: Vec<usize>,
    /// Nothing more can be said: the home hung up, said that it will, or owes a reply that would be taken for
    /// the one to what is said next.
    over: bool,
}

impl Leg {
    /// Connects and greets; the home knows who the client is when this returns.
    pub(super) async fn open(
        dialer: &Dialer,
        home: &HomeRef,
        protocol: HomeProtocol,
        identity: Identity,
        settings: &LegSettings,
    ) -> Result<Self, Failure> {
        let caller = Caller {
            peer: &settings.peer,
            shutdown: &settings.shutdown,
        };
        let dialled = match protocol {
            HomeProtocol::Smtp => dialer.dial(home, Protocol::Smtp, caller).await?,
            HomeProtocol::Lmtp => dialer.dial(home, Protocol::Lmtp, caller).await?,
        };
        let name = dialled.name.clone();
        let greeted = Self::greet(dialled, home, protocol, identity, settings).await;
        dialer.learn(&name, greeted)
    }

    async fn greet(
        dialled: Dialled,
        home: &HomeRef,
        protocol: HomeProtocol,
        identity: Identity,
        settings: &LegSettings,
    ) -> Result<Self, Failure> {
        let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::Strict);
        let mut leg = Self {
            line,
            home: home.clone(),
            protocol,
            capabilities: Capabilities::default(),
            data_limit: settings.data_limit,
            claims: settings.claims.clone(),
            recipients: Vec::new(),
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
        leg.identify(identity, settings).await?;
        Ok(leg)
    }

    async fn identify(&mut self, identity: Identity, settings: &LegSettings) -> Result<(), Failure> {
        if identity == Identity::Client
            && let Some(claims) = settings.claims.clone().limited_to(&self.capabilities.xclient)
        {
            // A home that announces XCLIENT and refuses it does not trust us: it will judge us instead.
            if self.run(&Command::Xclient(claims)).await?.is_completed() {
                let helo = settings
                    .claims
                    .helo
                    .as_deref()
                    .unwrap_or(&settings.server_name)
                    .to_owned();
                self.hello(&helo).await?;
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

    /// `host:port`, as the home's health is kept.
    pub(super) fn name(&self) -> &str {
        &self.line.name
    }

    /// Opens the transaction. Parameters that the home does not announce are left out: it has to take eight
    /// bits anyway, and finds the size itself.
    pub(super) async fn mail(
        &mut self,
        from: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<Reply, Failure> {
        let extensions = self.capabilities.extensions;
        let has = |extension| extensions.has(extension);
        let mut parameters = parameters.clone();
        parameters.size = parameters.size.filter(|_| has(Extensions::SIZE));
        parameters.body = parameters.body.filter(|_| has(Extensions::EIGHT_BIT_MIME));
        let from = from.clone();
        let mail = Command::Mail { from, parameters };
        // XFORWARD holds for one transaction. It goes besides XCLIENT too, for the trace; a home that now sees
        // the client in our place no longer announces it.
        let Some(claims) = self.claims.clone().limited_to(&self.capabilities.xforward) else {
            return self.run(&mail).await;
        };
        let forward = Command::Xforward(claims);
        if has(Extensions::PIPELINING) {
            self.queue(&forward);
            self.queue(&mail);
            self.reply().await?;
            return self.reply().await;
        }
        self.run(&forward).await?;
        self.run(&mail).await
    }

    /// Offers a recipient.
    pub(super) async fn rcpt(&mut self, to: &ForwardPath) -> Result<Reply, Failure> {
        let to = to.clone();
        let parameters = wire::smtp::RcptParameters::default();
        self.run(&Command::Rcpt { to, parameters }).await
    }

    /// Whether the home still listens, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Asks to send the message. The inner error is the home's refusal, which is never a 2xx.
    pub(super) async fn data(&mut self) -> Result<Result<(), Reply>, Failure> {
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

    /// Sends the whole message but for the final dot, so that nothing is committed yet.
    pub(super) async fn send(&mut self, trace: &str, message: &Message) -> Result<(), Failure> {
        let mut encoder = DotEncoder::new();
        let mut out = Vec::new();
        encoder.encode(trace.as_bytes(), &mut out);
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
                encoder.encode(part, &mut out);
                self.line.stream.write(&out);
                out.clear();
                if self.line.stream.queued() >= FLUSH_AT {
                    self.line.flush().await?;
                }
            }
        }
        let mut end = Vec::new();
        encoder.finish(&mut end);
        // All but the line with the dot: the end of the last line goes with the message.
        let line_end = end.len().saturating_sub(b".\r\n".len());
        self.line.stream.write(&out);
        self.line.stream.write(end.get(..line_end).unwrap_or_default());
        self.line.flush().await
    }

    /// Sends the final dot and reads the replies: one for each recipient that the home accepted. They are fewer
    /// when an LMTP home breaks off in the middle of them.
    pub(super) async fn commit(&mut self) -> Result<Vec<Reply>, Failure> {
        self.line.stream.write(b".\r\n");
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
                Err(failure) => tracing::warn!(home = %self.home, %failure, "leg lost between its replies"),
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
