//! Listening sockets: accept within limits, learn who the client is, do implicit TLS, drain.

mod admission;
mod control;
mod crowd;
mod guest;
mod inherited;

pub use control::ListenerControl;
pub(crate) use guest::Guest;
pub use inherited::Inherited;

use crate::access::{Pass, Verdict};
use crate::proxy_protocol::{self, ProxyHeader};
use crate::{
    Access, AccessRule, Alpn, Connection, ListenerConfig, ServerTls, Shutdown, TlsMode, new_trace_id,
};
use admission::{Admission, Limits, Slot};
use arc_swap::ArcSwap;
use control::Settings;
use crowd::Crowd;
use model::{Peer, Protocol, TlsState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// The client of a proxy that names none: not the proxy, whose word counts. Nobody connects from there.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// How long a PROXY header or a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Connections that the kernel keeps for us.
const BACKLOG: u32 = 1024;
/// How often what ended sessions have left is looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be used.
    #[error("cannot listen on {address} for {protocol}: {cause}{hint}", hint = hint(cause))]
    Address {
        /// The address.
        address: SocketAddr,
        /// The service.
        protocol: Protocol,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// TLS is asked for and there is no certificate.
    #[error(
        "the {protocol} listener on {address} wants TLS, but no certificate is configured; add a [tls] section"
    )]
    NoCertificate {
        /// The address.
        address: SocketAddr,
        /// The service.
        protocol: Protocol,
    },
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "; another process uses this port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The connection; TLS is established already when the listener's TLS is implicit.
    pub connection: Connection,
    /// The client: behind a PROXY protocol sender, the one that the header names, and an unspecified address when it
    /// names none.
    pub peer: Peer,
    /// Whose word this is: the other end of the socket, or the one that a PROXY header names. A load balancer
    /// is trusted for its header, and its clients are strangers all the same.
    pub connected: SocketAddr,
    /// The listener's settings.
    pub config: Arc<ListenerConfig>,
    /// For STARTTLS: none when it is not offered, or when TLS is on already.
    pub tls: Option<ServerTls>,
    /// The order to stop.
    pub shutdown: Shutdown,
}

impl Accepted {
    /// Whether what the other side says about its client is believed.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.config.trusts(self.connected.ip()) || self.config.trusts_holder(&self.connection)
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// Whether the queue of those who are not accepted yet is another process's too.
    handed_over: bool,
    retired: CancellationToken,
    door: Door,
}

/// Who is let in, and how.
#[derive(Debug)]
struct Door {
    local: SocketAddr,
    protocol: Protocol,
    settings: Arc<ArcSwap<Settings>>,
    admission: Arc<Admission>,
    last_words: &'static [u8],
}

impl Listener {
    /// Binds the address. Nothing is accepted before [`Listener::run`].
    pub async fn bind(
        config: ListenerConfig,
        protocol: Protocol,
        tls: Option<ServerTls>,
    ) -> Result<Self, BindError> {
        Self::bind_or_take(config, protocol, tls, &Inherited::default()).await
    }

    /// The same; a socket for this address that was handed over is taken instead.
    pub async fn bind_or_take(
        config: ListenerConfig,
        protocol: Protocol,
        tls: Option<ServerTls>,
        inherited: &Inherited,
    ) -> Result<Self, BindError> {
        let address = config.address;
        let reuse_port = config.reuse_port;
        let settings = Settings::new(config, protocol, tls)?;
        let failed = |cause| BindError::Address {
            address,
            protocol,
            cause,
        };
        let handed_over = inherited.take(address);
        let (socket, handed_over) = match handed_over {
            Some(socket) => (adopt(socket).map_err(failed)?, true),
            None => (open(address, reuse_port).map_err(failed)?, false),
        };
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            handed_over,
            retired: CancellationToken::new(),
            door: Door {
                local,
                protocol,
                settings: Arc::new(ArcSwap::from_pointee(settings)),
                admission: Arc::default(),
                last_words: b"",
            },
        })
    }

    /// What changes or ends the listener while it runs.
    #[must_use]
    pub fn control(&self) -> ListenerControl {
        ListenerControl {
            settings: Arc::clone(&self.door.settings),
            retired: self.retired.clone(),
            protocol: self.door.protocol,
            local: self.door.local,
        }
    }

    /// What a client hears that is one too many: the protocol's own "try later", with its line end. Behind
    /// implicit TLS it hears nothing, since a handshake is too much for a server that is full.
    #[must_use]
    pub fn turning_away_with(mut self, last_words: &'static [u8]) -> Self {
        self.door.last_words = last_words;
        self
    }

    /// Where it listens: the port that was given for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.door.local
    }

    /// Serves until shutdown is requested or the listener is retired, then closes the socket and waits for the
    /// sessions; those that are not done when the drain of a shutdown is over are dropped.
    pub async fn run<F, Fut>(self, shutdown: Shutdown, handler: F)
    where
        F: Fn(Accepted) -> Fut + Clone + Send + 'static,
        Fut: Future<Output: Into<Rest>> + Send + 'static,
    {
        let Self {
            socket,
            handed_over,
            retired,
            door,
        } = self;
        let protocol = door.protocol;
        let sessions = Crowd::new(protocol);
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.closed() => break,
                () = retired.cancelled() => break,
                _ = sweep.tick(), if sessions.len() > 0 => {
                    sessions.sweep();
                    continue;
                }
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = Duration::ZERO;
                    door.admit(&sessions, stream, from, &shutdown, &handler);
                }
                Err(error) => {
                    // EMFILE and friends: the connection stays in the backlog, so trying again at once would
                    // only burn time. Sessions end meanwhile and give descriptors back.
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                    ) {
                        pause = (pause * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
                        tracing::warn!(%protocol, %error, "accept failed");
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
        if !handed_over {
            door.let_the_queue_in(socket, &sessions, &shutdown, &handler);
        }
        tokio::select! {
            () = sessions.left() => {}
            () = shutdown.drained() => {
                tracing::info!(%protocol, sessions = sessions.len(), "drain is over");
                sessions.disperse().await;
            }
        }
    }
}

impl Door {
    /// Closes the socket. Those who are in its queue already would be reset, so they are let in.
    fn let_the_queue_in<F, Fut>(
        &self,
        socket: TcpListener,
        sessions: &Crowd,
        shutdown: &Shutdown,
        handler: &F,
    ) where
        F: Fn(Accepted) -> Fut + Clone + Send + 'static,
        Fut: Future<Output: Into<Rest>> + Send + 'static,
    {
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((stream, from)) = socket.accept() {
            let nonblocking = stream.set_nonblocking(true);
            if let Ok(stream) = nonblocking.and_then(|()| TcpStream::from_std(stream)) {
                self.admit(sessions, stream, from, shutdown, handler);
            }
        }
    }

    fn admit<F, Fut>(
        &self,
        sessions: &Crowd,
        stream: TcpStream,
        from: SocketAddr,
        shutdown: &Shutdown,
        handler: &F,
    ) where
        F: Fn(Accepted) -> Fut + Clone + Send + 'static,
        Fut: Future<Output: Into<Rest>> + Send + 'static,
    {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let settings = self.settings.load_full();
        let config = &settings.config;
        let words = words_in_clear(&settings, self.last_words);
        let trusted = config.trusts(from.ip());
        // Whoever speaks for others is judged by whom it names.
        let pass = match trusted && config.proxy_protocol {
            true => None,
            false => match judge(config, self.protocol, from, trusted) {
                Judged::In(pass) => pass,
                Judged::Out => return,
                Judged::Later => return turn_away(&stream, words),
            },
        };
        let limits = Limits {
            total: config.max_connections,
            per_peer: config.max_connections_per_peer,
        };
        let Some(mut slot) = self.admission.enter(limits, (!trusted).then_some(from.ip())) else {
            tracing::warn!(protocol = %self.protocol, client = %from, "too many connections");
            turn_away(&stream, words);
            return;
        };
        slot.keep(pass);
        let handler = handler.clone();
        let opening = Opening {
            stream,
            from,
            trusted,
            local: self.local,
            config: Arc::clone(config),
            protocol: self.protocol,
            tls: settings.tls.clone(),
            slot,
            last_words: words,
            shutdown: shutdown.clone(),
        };
        sessions.admit(async move {
            // Boxed, so that the memory of the handshake is not kept for the whole session.
            let (accepted, slot) = Box::pin(opening.open()).await?;
            let rest: Rest = handler(accepted).await.into();
            rest.0.map(|rest| (rest, slot))
        });
    }
}

/// What the rules of access say about a connection that has just been made.
enum Judged {
    In(Option<Pass>),
    /// It is closed without a word.
    Out,
    /// It hears "try later".
    Later,
}

fn judge(config: &ListenerConfig, protocol: Protocol, client: SocketAddr, trusted: bool) -> Judged {
    // Those who are trusted speak for many, and are not counted like one.
    if trusted {
        return match AccessRule::decide(&config.access, client.ip()) {
            Access::Allow => Judged::In(None),
            Access::Deny => denied(protocol, client),
        };
    }
    match AccessRule::judge(&config.access, client.ip(), Instant::now()) {
        Verdict::Allowed(pass) => Judged::In(pass),
        Verdict::Denied => denied(protocol, client),
        Verdict::TooOften(limit) => {
            tracing::info!(%protocol, %client, %limit, "a rule of access is exceeded");
            Judged::Later
        }
    }
}

fn denied(protocol: Protocol, client: SocketAddr) -> Judged {
    tracing::info!(%protocol, %client, "access denied");
    Judged::Out
}

fn words_in_clear(settings: &Settings, last_words: &'static [u8]) -> &'static [u8] {
    match settings.config.tls_mode(settings.tls.as_ref()) {
        TlsMode::Implicit => b"",
        TlsMode::None | TlsMode::StartTls => last_words,
    }
}

/// Says so, as far as it goes without waiting; the socket is closed by the caller.
fn turn_away(stream: &TcpStream, last_words: &[u8]) {
    if !last_words.is_empty() {
        let _ = stream.try_write(last_words);
    }
}

/// The long rest of a session, once its task has done what came first. It becomes a task of its own, so that a
/// session that waits for hours holds nothing of its handshake and its login.
pub struct Rest(Option<Tail>);

type Tail = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Rest {
    /// There is more.
    #[must_use]
    pub fn of(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }

    /// The same, with a value that is dropped at the end of the session.
    #[must_use]
    pub fn holding<T: Send + 'static>(self, value: T) -> Self {
        match self.0 {
            None => Self(None),
            Some(tail) => Self::of(async move {
                tail.await;
                drop(value);
            }),
        }
    }
}

impl From<()> for Rest {
    /// The session is over.
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rest({})", if self.0.is_some() { "more" } else { "over" })
    }
}

/// A socket that another process has bound.
fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    // No child of ours is to hold it.
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    TcpListener::from_std(socket)
}

fn open(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for old connections to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    if reuse_port {
        socket.set_reuseport(true)?;
    }
    if address.is_ipv6() {
        // `[::]` means both families whatever net.ipv6.bindv6only says.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection between accept and the handler.
struct Opening {
    stream: TcpStream,
    from: SocketAddr,
    trusted: bool,
    local: SocketAddr,
    config: Arc<ListenerConfig>,
    protocol: Protocol,
    tls: Option<ServerTls>,
    slot: Slot,
    last_words: &'static [u8],
    shutdown: Shutdown,
}

impl Opening {
    async fn open(mut self) -> Option<(Accepted, Slot)> {
        let mut peer = Peer {
            client: self.from,
            local: match self.local.ip().is_unspecified() {
                true => self.stream.local_addr().unwrap_or(self.local),
                false => self.local,
            },
            tls: TlsState::Plain,
            trace: new_trace_id(),
        };
        if self.config.proxy_protocol && self.trusted {
            self.proxied(&mut peer).await?;
        }
        let mut connection = Connection::from(self.stream);
        let mut tls = self.tls;
        // Who is trusted by network is not counted; but a load balancer is not whom it speaks for.
        let counted = !self.trusted || self.config.proxy_protocol;
        if counted && !self.config.trusted_certificates.is_empty() {
            let counted = self.slot.share();
            tls = tls.map(|tls| tls.of(Guest::new(Arc::clone(&self.config), peer.client, counted)));
        }
        if self.config.tls_mode(tls.as_ref()) == TlsMode::Implicit
            && let Some(tls) = tls.take()
        {
            let alpn = match self.protocol {
                Protocol::Http => Alpn::Http,
                _ => Alpn::None,
            };
            connection = match connection.accept_tls_with(&tls, alpn, HANDSHAKE).await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(protocol = %self.protocol, client = %peer.client, %error, "no TLS");
                    return None;
                }
            };
            peer.tls = TlsState::Encrypted;
        }
        let accepted = Accepted {
            connection,
            peer,
            connected: self.from,
            config: self.config,
            tls,
            shutdown: self.shutdown,
        };
        Some((accepted, self.slot))
    }

    async fn proxied(&mut self, peer: &mut Peer) -> Option<()> {
        let header = tokio::time::timeout(HANDSHAKE, proxy_protocol::receive(&mut self.stream)).await;
        match header {
            // The balancer's own look, whatever the rules are for clients. But some say so of clients, too.
            Ok(Ok(ProxyHeader::Local)) => {
                peer.client = NOBODY;
                self.from = NOBODY;
            }
            Ok(Ok(header)) => {
                let client = match header {
                    ProxyHeader::Proxied { client, local } => {
                        peer.local = local;
                        SocketAddr::new(client.ip().to_canonical(), client.port())
                    }
                    ProxyHeader::Unknown | ProxyHeader::Local => NOBODY,
                };
                peer.client = client;
                self.from = client;
                match judge(&self.config, self.protocol, peer.client, false) {
                    Judged::In(pass) => self.slot.keep(pass),
                    Judged::Out => return None,
                    Judged::Later => {
                        turn_away(&self.stream, self.last_words);
                        return None;
                    }
                }
                if self.slot.name_peer(client.ip()).is_none() {
                    tracing::warn!(protocol = %self.protocol, %client, "too many connections");
                    turn_away(&self.stream, self.last_words);
                    return None;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(protocol = %self.protocol, proxy = %self.from, %error, "PROXY header refused");
                return None;
            }
            Err(_) => {
                tracing::warn!(protocol = %self.protocol, proxy = %self.from, "no PROXY header in time");
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
