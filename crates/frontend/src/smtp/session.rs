//! The receiving session: read a command, do it, write the reply.

use super::client::{Client, Hello};
use super::dialect::Verb;
use super::intake::{self, Chunks, NoMessage};
use super::leg::{Leg, LegSettings};
use super::message::Message;
use super::proxy::SmtpProxy;
use super::reply;
use super::transaction::{Recipient, Sender, Transaction};
use bytes::Bytes;
use model::{ReversePath, TraceId};
use net::{Accepted, LineStream, ListenerConfig, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::smtp::{
    Capabilities, ClientClaims, Command, CommandError, Extensions, ForwardPath, MailParameters,
    RcptParameters, Received, Reply, hop_count,
};

/// The longest command. RFC 5321 section 4.5.3.1.4 has 512 octets; extensions lengthen MAIL.
const MAX_LINE: usize = 2048;
/// Commands that make no sense, after which the session ends.
const MAX_ERRORS: u32 = 20;
/// Commands that bring no message closer, after which each counts as an error.
const MAX_IDLE_COMMANDS: u32 = 100;
/// Recipients that were put off since the last message that somebody took; each one further counts as an error. A list
/// with many homes has many, and asking for them without end is no way to send mail.
const MAX_PUT_OFF: u32 = 2_000;
/// RCPT commands that are brought to the homes together when the client pipelines them.
const MAX_BATCH: usize = 100;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one client to its end.
pub async fn serve(accepted: Accepted, proxy: Arc<SmtpProxy>) {
    Box::pin(Session::new(accepted, proxy).run()).await;
}

/// What follows a command.
enum After {
    Next,
    End,
}

struct Session {
    proxy: Arc<SmtpProxy>,
    stream: LineStream,
    client: Client,
    tls: Option<net::ServerTls>,
    shutdown: net::Shutdown,
    listener: Arc<ListenerConfig>,
    transaction: Option<Transaction>,
    /// The message, when it comes in chunks and is not whole yet.
    chunks: Option<Chunks>,
    /// Homes that are open, between transactions.
    kept: Vec<Leg>,
    /// This connection, whatever is claimed of it.
    own: TraceId,
    /// The session that this one is asked for, as a front end before us says.
    told: Option<TraceId>,
    /// A line that was read already.
    pending: Option<Result<Bytes, ReadError>>,
    /// Since the last message that somebody took.
    errors: u32,
    /// Commands since the last message that brought none closer.
    idle_commands: u32,
    /// Recipients since the last message that somebody took that were to be named again later.
    put_off: u32,
}

impl Session {
    fn new(accepted: Accepted, proxy: Arc<SmtpProxy>) -> Self {
        let trusted = accepted.is_trusted();
        Self {
            own: accepted.peer.trace,
            told: None,
            stream: LineStream::new(accepted.connection, MAX_LINE),
            client: Client::new(accepted.peer, trusted),
            tls: accepted.tls,
            shutdown: accepted.shutdown,
            listener: accepted.config,
            transaction: None,
            chunks: None,
            kept: Vec::new(),
            pending: None,
            errors: 0,
            idle_commands: 0,
            put_off: 0,
            proxy,
        }
    }

    async fn run(mut self) {
        self.greet();
        let last = loop {
            let read = match self.pending.take() {
                Some(pending) => Some(pending),
                None => self.next_line().await,
            };
            let Some(read) = read else {
                break Some(reply::shutting_down());
            };
            let after = match read {
                Ok(line) => match Command::parse(&line, self.extensions()) {
                    Ok(command) => self.command(command).await,
                    // What follows is data or commands, nobody knows.
                    Err(error @ CommandError::ChunkSize) => {
                        self.error(&reply::command_error(&error));
                        After::End
                    }
                    Err(error) => self.error(&reply::command_error(&error)),
                },
                Err(ReadError::LineTooLong) => self.error(&reply::line_too_long()),
                Err(ReadError::TimedOut) => break Some(reply::timed_out()),
                Err(_) => break None,
            };
            match after {
                After::Next if self.errors >= MAX_ERRORS => break Some(reply::too_many_errors()),
                After::Next => {}
                After::End => break None,
            }
        };
        if let Some(last) = last {
            self.say(&last);
        }
        self.let_go().await;
        let (trace, client) = (self.client.peer.trace, self.client.peer.client);
        let protocol = self.proxy.dialect.name();
        tracing::debug!(protocol, %trace, %client, errors = self.errors, "session ended");
        self.stream.close(FAREWELL).await;
    }

    /// The next line; nothing when we stop. Between transactions we stop at once; one that has begun may end
    /// within the time to drain.
    async fn next_line(&mut self) -> Option<Result<Bytes, ReadError>> {
        let (shutdown, in_transaction) = (self.shutdown.clone(), self.transaction.is_some());
        let limit = self.proxy.command_limit();
        let stop = async move {
            match in_transaction {
                true => shutdown.drained().await,
                false => shutdown.requested().await,
            }
        };
        tokio::select! {
            read = self.stream.read_line(limit) => Some(read),
            () = stop => None,
        }
    }

    fn greet(&mut self) -> After {
        let greeting = self.proxy.dialect.greeting(&self.proxy.context.server_name);
        // RFC 2034 section 3: the greeting has no enhanced code.
        self.say(&Reply::new(220, None, greeting))
    }

    /// What this session has announced. Before EHLO everything is understood, so that errors are about order.
    fn extensions(&self) -> Extensions {
        match &self.client.hello {
            Some(hello) if !hello.esmtp => Extensions::NONE,
            _ => self.capabilities().extensions,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut announced = self.proxy.announced(&self.client);
        if self.tls.is_some() {
            announced.extensions = announced.extensions.with(Extensions::STARTTLS);
        }
        announced
    }

    fn say(&mut self, reply: &Reply) -> After {
        let mut out = Vec::new();
        reply.encode(&mut out);
        self.stream.write(&out);
        After::Next
    }

    fn error(&mut self, reply: &Reply) -> After {
        self.errors += 1;
        self.say(reply)
    }

    /// Ends the transaction without a message.
    async fn abandon(&mut self) {
        self.chunks = None;
        self.client.forget_forwarded();
        if let Some(transaction) = self.transaction.take() {
            self.kept = transaction.abandon().await;
        }
    }

    /// The same, and lets go of all homes: the client is gone, or is no longer what they were told.
    async fn let_go(&mut self) {
        self.abandon().await;
        self.told = None;
        for leg in std::mem::take(&mut self.kept) {
            leg.quit().await;
        }
    }

    async fn command(&mut self, command: Command) -> After {
        if !matches!(
            command,
            Command::Mail { .. }
                | Command::Rcpt { .. }
                | Command::Data
                | Command::Bdat { size: 1.., .. }
                | Command::Quit
        ) {
            self.idle_commands += 1;
            self.errors += u32::from(self.idle_commands > MAX_IDLE_COMMANDS);
        }
        match command {
            Command::Ehlo(name) => self.hello(name, Verb::Ehlo).await,
            Command::Lhlo(name) => self.hello(name, Verb::Lhlo).await,
            Command::Helo(name) => self.hello(name, Verb::Helo).await,
            Command::StartTls => self.start_tls().await,
            Command::Mail { from, parameters } => self.mail(from, parameters),
            Command::Rcpt { to, parameters } => self.rcpt(to, parameters).await,
            Command::Data => self.data().await,
            Command::Bdat { size, last } => self.bdat(size, last).await,
            Command::Rset => {
                self.abandon().await;
                self.say(&reply::ok())
            }
            Command::Noop => self.say(&reply::ok()),
            Command::Quit => {
                self.say(&reply::bye());
                After::End
            }
            Command::Vrfy => self.say(&reply::cannot_verify()),
            Command::Expn => self.error(&reply::no_expansion()),
            Command::Help => self.say(&reply::help()),
            Command::Xclient(claims) => self.xclient(claims).await,
            Command::Xforward(claims) => self.xforward(claims),
            Command::Xtrace(first) => self.xtrace(first),
            Command::Auth { .. } => self.error(&reply::not_here()),
        }
    }

    async fn hello(&mut self, name: String, verb: Verb) -> After {
        if let Some(refusal) = self.proxy.dialect.refuses(verb) {
            return self.error(&refusal);
        }
        self.let_go().await;
        let (esmtp, reply) = match verb {
            Verb::Ehlo | Verb::Lhlo => (true, self.capabilities().reply(&name)),
            Verb::Helo => {
                let own = self.proxy.context.server_name.clone();
                (false, Reply::new(250, None, own))
            }
        };
        self.client.hello = Some(Hello { name, esmtp });
        self.say(&reply)
    }

    /// The session is the named client's from now on.
    async fn xclient(&mut self, claims: ClientClaims) -> After {
        if !self.client.trusted || self.transaction.is_some() {
            return self.error(&reply::not_here());
        }
        // The homes know the client as somebody else.
        self.let_go().await;
        self.client.take_over(claims);
        self.greet()
    }

    fn xforward(&mut self, claims: ClientClaims) -> After {
        if !self.client.trusted || self.transaction.is_some() {
            return self.error(&reply::not_here());
        }
        self.client.forward(claims);
        self.say(&reply::ok())
    }

    /// Believed from everybody, and used for nothing but circles.
    fn xtrace(&mut self, first: TraceId) -> After {
        if self.transaction.is_some() {
            return self.error(&reply::not_here());
        }
        self.told = Some(first);
        self.say(&reply::ok())
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.tls.take() else {
            return self.error(&reply::no_tls());
        };
        self.let_go().await;
        // RFC 3207 section 4.2: the client starts over, and nothing it sent before counts.
        self.say(&reply::start_tls());
        if let Err(error) = self.stream.start_tls(&tls, self.proxy.command_limit()).await {
            let (trace, client) = (self.client.peer.trace, self.client.peer.client);
            tracing::debug!(%trace, %client, %error, "STARTTLS failed");
            return After::End;
        }
        self.client.encrypted();
        self.client.trusted |= self.listener.trusts_holder(self.stream.connection());
        After::Next
    }

    fn mail(&mut self, from: ReversePath, parameters: MailParameters) -> After {
        if self.client.hello.is_none() {
            return self.error(&reply::hello_first());
        }
        if self.transaction.is_some() {
            return self.error(&reply::nested_mail());
        }
        // RFC 1870 section 6.1: a declared size that cannot fit is refused at once.
        if parameters
            .size
            .is_some_and(|size| size > self.proxy.config.max_message_size.0)
        {
            return self.error(&reply::too_large());
        }
        let sender = Sender { from, parameters };
        // RFC 6531 section 3.5.
        if sender
            .address()
            .is_some_and(|from| from.needs_smtputf8() && !sender.parameters.smtputf8)
        {
            return self.error(&reply::undeclared_utf8());
        }
        let origin = self.client.as_origin();
        let known = origin.ident.as_deref().and_then(TraceId::parse);
        let config = &self.proxy.config;
        let settings = LegSettings {
            peer: self.client.peer.clone(),
            tls: self
                .client
                .is_itself()
                .then(|| self.stream.connection().tls_facts())
                .flatten(),
            shutdown: self.shutdown.clone(),
            trace: known.unwrap_or(self.client.peer.trace),
            first: self.told.unwrap_or(self.own),
            server_name: self.proxy.context.server_name.clone(),
            limit: Duration::from_secs(config.home_timeout),
            data_limit: Duration::from_secs(config.home_data_timeout),
            client: self.client.as_client(),
            origin,
            tells: self.proxy.spill_home.is_some(),
            home_protocol: config.home_protocol,
        };
        let mut kept = std::mem::take(&mut self.kept);
        // XFORWARD is told anew with each transaction.
        for leg in &mut kept {
            leg.set_origin(&settings);
        }
        self.transaction = Some(Transaction::new(self.proxy.clone(), settings, sender, kept));
        self.say(&reply::sender_ok())
    }

    /// RCPT, and those that the client has pipelined behind it (RFC 2920 section 3.2).
    async fn rcpt(&mut self, to: ForwardPath, parameters: RcptParameters) -> After {
        if self.chunks.is_some() {
            return self.error(&reply::chunks_begun());
        }
        let extensions = self.extensions();
        let standing = self.client.standing(&self.proxy.config, self.stream.connection());
        let Some(transaction) = &mut self.transaction else {
            return self.error(&reply::mail_first());
        };
        let mut batch = vec![Recipient { to, parameters }];
        while batch.len() < MAX_BATCH {
            match self.stream.buffered_line() {
                Ok(None) => break,
                Ok(Some(line)) => match Command::parse(&line, extensions) {
                    Ok(Command::Rcpt { to, parameters }) => batch.push(Recipient { to, parameters }),
                    _ => {
                        self.pending = Some(Ok(line));
                        break;
                    }
                },
                Err(error) => {
                    self.pending = Some(Err(error));
                    break;
                }
            }
        }
        for reply in transaction.rcpts(batch, standing).await {
            self.put_off += u32::from(reply.code() / 100 == 4);
            let is_error = match reply.code() / 100 {
                4 => self.put_off > MAX_PUT_OFF,
                code => code == 5,
            };
            self.errors += u32::from(is_error);
            self.say(&reply);
        }
        After::Next
    }

    async fn data(&mut self) -> After {
        if self.chunks.is_some() {
            return self.error(&reply::chunks_begun());
        }
        let refusal = match &self.transaction {
            None => Some(reply::mail_first()),
            // RFC 5321 section 3.3; the transaction stays open for further recipients.
            Some(transaction) if transaction.recipients() == 0 => Some(self.proxy.dialect.no_recipients()),
            // RFC 3030 section 3.
            Some(transaction) if transaction.is_binary() => Some(reply::binary_needs_chunks()),
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            return self.error(&refusal);
        }
        if self.proxy.space.is_exhausted() {
            // Refusing now spares the client the message.
            return self.say(&reply::no_space());
        }
        self.say(&reply::go_on());
        let message = intake::data(&mut self.stream, &self.proxy).await;
        let answers = self.answers();
        self.deliver(message, answers).await
    }

    /// A chunk (RFC 3030 section 2). A refused one ends the transaction: the next must not begin a message that
    /// lacks it.
    async fn bdat(&mut self, size: u64, last: bool) -> After {
        let limit = self.proxy.command_limit();
        let refusal = match &self.transaction {
            None => Some(reply::mail_first()),
            Some(transaction) if transaction.recipients() == 0 => Some(self.proxy.dialect.no_recipients()),
            Some(_) if self.chunks.is_none() && self.proxy.space.is_exhausted() => Some(reply::no_space()),
            Some(transaction) => {
                let (proxy, binary) = (&self.proxy, transaction.is_binary());
                self.chunks.get_or_insert_with(|| Chunks::new(proxy, binary));
                None
            }
        };
        let taken = match (refusal, &mut self.chunks) {
            (None, Some(chunks)) => chunks.take(&mut self.stream, size, limit).await,
            (refusal, _) => {
                let skipped = intake::skip(&mut self.stream, &self.proxy, size).await;
                let refusal = refusal.unwrap_or_else(reply::mail_first);
                skipped.and(Err(NoMessage::Refused(refusal)))
            }
        };
        if taken.is_ok() && !last {
            return self.say(&reply::chunk_taken());
        }
        let message = match (taken, self.chunks.take()) {
            (Ok(()), Some(chunks)) => chunks.finish().await,
            (Ok(()), None) => Err(NoMessage::Lost),
            (Err(error), _) => Err(error),
        };
        // RFC 2033 section 4.3: a chunk that is not the last one has one reply.
        let answers = if last { self.answers() } else { 1 };
        self.deliver(message, answers).await
    }

    /// How many replies the end of a message has.
    fn answers(&self) -> usize {
        let dialect = self.proxy.dialect;
        // Outside of a transaction it is a command in the wrong place, like any other.
        let recipients = self.transaction.as_ref().map(Transaction::recipients);
        recipients.map_or(1, |recipients| dialect.answers(recipients))
    }

    /// Brings a message to its homes, or says so many times why there is none; either way the transaction is over.
    async fn deliver(&mut self, message: Result<Message, NoMessage>, answers: usize) -> After {
        // RFC 5321 section 6.3.
        let most = usize::try_from(self.proxy.config.max_received).unwrap_or(usize::MAX);
        let message = message.and_then(|message| match hop_count(message.head()) >= most {
            true => Err(NoMessage::Refused(reply::looping())),
            false => Ok(message),
        });
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                self.abandon().await;
                return match error {
                    NoMessage::Refused(reply) => {
                        self.errors += 1;
                        for _ in 0..answers {
                            self.say(&reply);
                        }
                        After::Next
                    }
                    NoMessage::End(reply) => {
                        self.say(&reply);
                        After::End
                    }
                    NoMessage::Lost => After::End,
                };
            }
        };
        let Some(transaction) = self.transaction.take() else {
            return self.error(&reply::mail_first());
        };
        let received = self.received(&transaction);
        self.idle_commands = 0;
        let (from, to, homes) = transaction.describe();
        let (size, started) = (message.len(), Instant::now());
        let (replies, kept) = transaction.deliver(received, message).await;
        self.kept = kept;
        self.client.forget_forwarded();
        // Who delivers mail may be wrong about some recipients of each message.
        if replies.iter().any(Reply::is_completed) {
            (self.errors, self.put_off) = (0, 0);
        }
        let took = started.elapsed();
        self.proxy.tally().message(&replies, took);
        let reply: Vec<String> = replies.iter().map(ToString::to_string).collect();
        tracing::info!(
            protocol = self.proxy.dialect.name(), trace = %self.client.peer.trace,
            client = %self.client.peer.client, from, ?to, ?homes, size,
            milliseconds = took.as_millis(), reply = reply.join("; "), "message"
        );
        for reply in &replies {
            self.say(reply);
        }
        After::Next
    }

    /// The trace field (RFC 5321 section 4.4).
    fn received(&self, transaction: &Transaction) -> String {
        let with = self.proxy.dialect.transmission(&self.client, &self.stream);
        let received = Received {
            helo: self.client.helo(),
            client: self.client.peer.client.ip(),
            by: &self.proxy.context.server_name,
            with: match transaction.is_utf8() {
                true => with.with_utf8(),
                false => with,
            },
            id: self.client.peer.trace,
            recipient: transaction.only_recipient(),
            at: self.proxy.context.clock.now(),
        };
        received.to_string()
    }
}
