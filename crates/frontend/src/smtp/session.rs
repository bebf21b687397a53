//! The receiving session: read a command, do it, write the reply.

use super::leg::{Leg, LegSettings};
use super::message::{Message, MessageWriter};
use super::reply;
use super::transaction::Transaction;
use crate::config::SmtpProxyConfig;
use crate::login::ProxyContext;
use directory::{HomeRef, HomeRefError};
use model::{Peer, ReversePath, TlsState};
use net::{Accepted, Budget, LineStream, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::smtp::{
    BareLineEnds, Capabilities, ClientClaims, Command, DotDecoder, Extensions, MailParameters, Progress,
    Received, Reply, Transmission, hop_count,
};

/// The longest command. RFC 5321 section 4.5.3.1.4 has 512 octets; extensions lengthen MAIL.
const MAX_LINE: usize = 2048;
/// Commands that make no sense, after which the session ends.
const MAX_ERRORS: u32 = 20;
/// Commands that bring no message closer, after which each counts as an error.
const MAX_IDLE_COMMANDS: u32 = 100;
/// A message that is not there after this long comes from somebody who only wants to hold the connection.
const WHOLE: Duration = Duration::from_secs(3600);
/// Data taken from the connection at once.
const CHUNK: usize = 64 * 1024;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The SMTP proxy of this server.
pub struct SmtpProxy {
    pub(super) config: SmtpProxyConfig,
    pub(super) context: ProxyContext,
    pub(super) spill_home: Option<HomeRef>,
    pub(super) group_home: Option<HomeRef>,
    /// Space for the messages of all sessions.
    space: Budget,
}

impl SmtpProxy {
    /// Builds the proxy. Fails when a home in the configuration is none, which its `check` has reported.
    pub fn new(config: SmtpProxyConfig, context: ProxyContext) -> Result<Self, HomeRefError> {
        let spill_home = config.spill_home.as_deref().map(HomeRef::parse).transpose()?;
        let group_home = config.group_home.as_deref().map(HomeRef::parse).transpose()?;
        Ok(Self {
            group_home: group_home.or_else(|| spill_home.clone()),
            spill_home,
            space: Budget::new(config.max_buffered.0),
            config,
            context,
        })
    }

    fn command_limit(&self) -> Duration {
        Duration::from_secs(self.config.command_timeout)
    }
}

/// Serves one client to its end.
pub async fn serve(accepted: Accepted, proxy: Arc<SmtpProxy>) {
    Box::pin(Session::new(accepted, proxy).run()).await;
}

/// The client's name, and how it said it.
struct Hello {
    name: String,
    esmtp: bool,
}

/// What follows a command.
enum After {
    Next,
    End,
}

/// Why the data is not a message.
enum DataError {
    /// It was read to its end; the session goes on.
    Refused(Reply),
    /// The client is gone, or sends without end.
    Lost,
}

struct Session {
    proxy: Arc<SmtpProxy>,
    stream: LineStream,
    peer: Peer,
    tls: Option<net::ServerTls>,
    shutdown: net::Shutdown,
    hello: Option<Hello>,
    transaction: Option<Transaction>,
    /// Homes that are open, between transactions.
    kept: Vec<Leg>,
    errors: u32,
    /// Commands since the last message that brought none closer.
    idle_commands: u32,
}

impl Session {
    fn new(accepted: Accepted, proxy: Arc<SmtpProxy>) -> Self {
        Self {
            stream: LineStream::new(accepted.connection, MAX_LINE),
            peer: accepted.peer,
            tls: accepted.tls,
            shutdown: accepted.shutdown,
            hello: None,
            transaction: None,
            kept: Vec::new(),
            errors: 0,
            idle_commands: 0,
            proxy,
        }
    }

    async fn run(mut self) {
        let greeting = format!("{} ESMTP Homing", self.proxy.context.server_name);
        // RFC 2034 section 3: the greeting has no enhanced code.
        self.say(&Reply::new(220, None, greeting));
        let last = loop {
            let (shutdown, in_transaction) = (self.shutdown.clone(), self.transaction.is_some());
            let limit = self.proxy.command_limit();
            // Between transactions we stop at once; one that has begun may end within the time to drain.
            let stop = async move {
                match in_transaction {
                    true => shutdown.drained().await,
                    false => shutdown.requested().await,
                }
            };
            let read = tokio::select! {
                read = self.stream.read_line(limit) => read,
                () = stop => break Some(reply::shutting_down()),
            };
            let after = match read {
                Ok(line) => match Command::parse(&line, self.extensions()) {
                    Ok(command) => self.command(command).await,
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
        let (trace, client, errors) = (self.peer.trace, self.peer.client, self.errors);
        tracing::debug!(protocol = "smtp", %trace, %client, errors, "session ended");
        self.stream.close(FAREWELL).await;
    }

    /// What this session has announced. Before EHLO everything is understood, so that errors are about order.
    fn extensions(&self) -> Extensions {
        match &self.hello {
            Some(hello) if !hello.esmtp => Extensions::NONE,
            _ => self.capabilities().extensions,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut extensions = Extensions::PIPELINING
            .with(Extensions::SIZE)
            .with(Extensions::EIGHT_BIT_MIME)
            .with(Extensions::ENHANCED_STATUS_CODES);
        if self.tls.is_some() {
            extensions = extensions.with(Extensions::STARTTLS);
        }
        Capabilities {
            name: self.proxy.context.server_name.clone(),
            extensions,
            size_limit: Some(self.proxy.config.max_message_size.0),
            ..Capabilities::default()
        }
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
        if let Some(transaction) = self.transaction.take() {
            self.kept = transaction.abandon().await;
        }
    }

    /// The same, and lets go of all homes: the client is gone, or is no longer what they were told.
    async fn let_go(&mut self) {
        self.abandon().await;
        for leg in std::mem::take(&mut self.kept) {
            leg.quit().await;
        }
    }

    async fn command(&mut self, command: Command) -> After {
        if !matches!(
            command,
            Command::Mail { .. } | Command::Rcpt { .. } | Command::Data | Command::Quit
        ) {
            self.idle_commands += 1;
            self.errors += u32::from(self.idle_commands > MAX_IDLE_COMMANDS);
        }
        match command {
            Command::Ehlo(name) => {
                self.let_go().await;
                let reply = self.capabilities().reply(&name);
                self.hello = Some(Hello { name, esmtp: true });
                self.say(&reply)
            }
            Command::Helo(name) => {
                self.let_go().await;
                self.hello = Some(Hello { name, esmtp: false });
                let name = self.proxy.context.server_name.clone();
                self.say(&Reply::new(250, None, name))
            }
            Command::StartTls => self.start_tls().await,
            Command::Mail { from, parameters } => self.mail(from, parameters),
            Command::Rcpt { to, .. } => match &mut self.transaction {
                None => self.error(&reply::mail_first()),
                Some(transaction) => {
                    let reply = transaction.rcpt(to).await;
                    if reply.code() / 100 == 5 {
                        self.errors += 1;
                    }
                    self.say(&reply)
                }
            },
            Command::Data => self.data().await,
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
            Command::Lhlo(_)
            | Command::Auth { .. }
            | Command::Bdat { .. }
            | Command::Xclient(_)
            | Command::Xforward(_) => self.error(&reply::not_here()),
        }
    }

    async fn start_tls(&mut self) -> After {
        let Some(tls) = self.tls.take() else {
            return self.error(&reply::no_tls());
        };
        self.let_go().await;
        // RFC 3207 section 4.2: the client starts over, and nothing it sent before counts.
        self.hello = None;
        self.say(&reply::start_tls());
        if let Err(error) = self.stream.start_tls(&tls, self.proxy.command_limit()).await {
            tracing::debug!(trace = %self.peer.trace, client = %self.peer.client, %error, "STARTTLS failed");
            return After::End;
        }
        self.peer.tls = TlsState::Encrypted;
        After::Next
    }

    fn mail(&mut self, from: ReversePath, parameters: MailParameters) -> After {
        let Some(hello) = &self.hello else {
            return self.error(&reply::hello_first());
        };
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
        let settings = LegSettings {
            peer: self.peer.clone(),
            shutdown: self.shutdown.clone(),
            trace: self.peer.trace,
            server_name: self.proxy.context.server_name.clone(),
            limit: Duration::from_secs(self.proxy.config.home_timeout),
            data_limit: Duration::from_secs(self.proxy.config.home_data_timeout),
            claims: ClientClaims {
                name: None,
                addr: Some(self.peer.client.ip()),
                port: Some(self.peer.client.port()),
                proto: Some(if hello.esmtp { "ESMTP" } else { "SMTP" }.to_owned()),
                helo: Some(hello.name.clone()),
                ident: Some(self.peer.trace.to_string()),
                source: Some("REMOTE".to_owned()),
                ..ClientClaims::default()
            },
        };
        let kept = std::mem::take(&mut self.kept);
        self.transaction = Some(Transaction::new(
            self.proxy.clone(),
            settings,
            from,
            parameters,
            kept,
        ));
        self.say(&reply::sender_ok())
    }

    async fn data(&mut self) -> After {
        let Some(transaction) = self.transaction.take() else {
            return self.error(&reply::mail_first());
        };
        if !transaction.has_recipients() {
            // RFC 5321 section 3.3; the transaction stays open for further recipients.
            self.transaction = Some(transaction);
            return self.error(&reply::no_recipients());
        }
        if self.proxy.space.is_exhausted() {
            // Refusing now spares the client the message.
            self.transaction = Some(transaction);
            return self.say(&reply::no_space());
        }
        self.say(&reply::go_on());
        let received = tokio::time::timeout(WHOLE, self.receive()).await;
        let received = received.unwrap_or_else(|_| {
            self.say(&reply::timed_out());
            Err(DataError::Lost)
        });
        let message = match received {
            Ok(message) => message,
            Err(refused) => {
                self.kept = transaction.abandon().await;
                return match refused {
                    DataError::Refused(reply) => self.error(&reply),
                    DataError::Lost => After::End,
                };
            }
        };
        // RFC 5321 section 6.3.
        if hop_count(message.head()) >= usize::try_from(self.proxy.config.max_received).unwrap_or(usize::MAX)
        {
            self.kept = transaction.abandon().await;
            return self.error(&reply::looping());
        }
        let trace = self.received(&transaction);
        self.idle_commands = 0;
        let (from, to, homes) = transaction.describe();
        let (size, started) = (message.len(), Instant::now());
        let (reply, kept) = transaction.deliver(trace, message).await;
        self.kept = kept;
        tracing::info!(
            protocol = "smtp", trace = %self.peer.trace, client = %self.peer.client, from, ?to, ?homes, size,
            milliseconds = started.elapsed().as_millis(), reply = %reply, "message"
        );
        self.say(&reply)
    }

    /// The trace field (RFC 5321 section 4.4).
    fn received(&self, transaction: &Transaction) -> String {
        let hello = self.hello.as_ref();
        let received = Received {
            helo: hello.map_or("unknown", |hello| hello.name.as_str()),
            client: self.peer.client.ip(),
            by: &self.proxy.context.server_name,
            with: match (hello.is_some_and(|hello| hello.esmtp), self.stream.is_encrypted()) {
                (false, _) => Transmission::Smtp,
                (true, false) => Transmission::Esmtp,
                (true, true) => Transmission::Esmtps,
            },
            id: self.peer.trace,
            recipient: transaction.only_recipient(),
            at: self.proxy.context.clock.now(),
        };
        received.to_string()
    }

    /// Reads the data to its end. What is refused is read too, or its rest would be taken for commands.
    async fn receive(&mut self) -> Result<Message, DataError> {
        let config = &self.proxy.config;
        let limit = self.proxy.command_limit();
        let max = config.max_message_size.0;
        let dir = config.buffer_dir.clone().unwrap_or_else(std::env::temp_dir);
        let memory = usize::try_from(config.buffer_memory.0).unwrap_or(usize::MAX);
        let mut kept = Ok(MessageWriter::new(memory, &dir, self.proxy.space.share()));
        let mut decoder = DotDecoder::new(BareLineEnds::Reject);
        let mut total = 0;
        let mut piece = Vec::new();
        loop {
            let input = match self.stream.read_some(CHUNK, limit).await {
                Ok(input) => input,
                Err(ReadError::TimedOut) => {
                    self.say(&reply::timed_out());
                    return Err(DataError::Lost);
                }
                Err(_) => return Err(DataError::Lost),
            };
            total += input.len() as u64;
            let progress = decoder.decode(&input, &mut piece);
            // Once it is refused nothing of it is kept, and the space is free for others.
            kept = match kept {
                Ok(writer) => keep(writer, &mut piece, max).await,
                refused => refused,
            };
            piece.clear();
            if let Progress::Done { consumed } = progress {
                self.stream.unread(input.get(consumed..).unwrap_or_default());
                break;
            }
            // Twice the limit is patience enough for a client that does not stop.
            if total > max.saturating_mul(2).saturating_add(1 << 20) {
                self.say(&reply::too_large());
                return Err(DataError::Lost);
            }
        }
        match kept {
            Err(reply) => Err(DataError::Refused(reply)),
            Ok(_) if decoder.saw_bare_line_end() => Err(DataError::Refused(reply::bare_line_end())),
            Ok(writer) => Ok(writer.finish()),
        }
    }
}

/// Adds a piece to the message, within the size limit and the space for all messages.
async fn keep(mut writer: MessageWriter, piece: &mut Vec<u8>, max: u64) -> Result<MessageWriter, Reply> {
    if writer.len() + piece.len() as u64 > max {
        return Err(reply::too_large());
    }
    match writer.push(piece).await {
        Ok(()) => Ok(writer),
        Err(error) => {
            tracing::error!(%error, "cannot buffer a message");
            Err(reply::no_space())
        }
    }
}
