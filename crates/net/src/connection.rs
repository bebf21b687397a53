//! One connection, whatever it runs over.

use crate::proxy_protocol::TlsFacts;
use crate::tls::{client_certificate, dns_names, server_end_point};
use crate::{Alpn, ClientTls, Resolver, ServerTls, TlsBindings, TlsError};
use model::ClientCertificate;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How much a connection in memory holds in each direction.
const MEMORY_BUFFER: usize = 64 * 1024;

/// A byte stream to a client or a server.
#[derive(Debug)]
pub enum Connection {
    /// TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS with a client.
    TlsServer(Box<ServerStream>),
    /// TLS with a server.
    TlsClient(Box<tokio_rustls::client::TlsStream<Connection>>),
    /// A pipe inside this process.
    Memory(DuplexStream),
    /// Gone: reads end, writes fail. What a failed handshake leaves behind.
    Closed,
}

/// The server's end of TLS.
#[derive(Debug)]
pub struct ServerStream {
    stream: tokio_rustls::server::TlsStream<Connection>,
    /// The hash of the certificate that was shown.
    end_point: Option<Arc<[u8]>>,
    /// Whether the client has shown a certificate of an authority that counts here.
    is_vouched_for: bool,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        // Small replies would otherwise wait 40 ms for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }
}

impl Connection {
    /// Two ends of a pipe in memory.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (left, right) = tokio::io::duplex(MEMORY_BUFFER);
        (Self::Memory(left), Self::Memory(right))
    }

    /// Whether the bytes are encrypted on the wire.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::TlsServer(_) | Self::TlsClient(_))
    }

    /// What a login can be bound to; nothing without TLS.
    #[must_use]
    pub fn tls_bindings(&self) -> TlsBindings {
        use rustls::ProtocolVersion::TLSv1_3;
        // RFC 9266 section 2: this label, an empty context, 32 octets.
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
        match self {
            Self::TlsServer(server) => {
                let (_, tls) = server.stream.get_ref();
                let export = || tls.export_keying_material(vec![0; 32], LABEL, Some(b"")).ok();
                TlsBindings {
                    exporter: (tls.protocol_version() == Some(TLSv1_3)).then(export).flatten(),
                    server_end_point: server.end_point.as_deref().map(<[u8]>::to_vec),
                }
            }
            Self::TlsClient(stream) => {
                let (_, tls) = stream.get_ref();
                let export = || tls.export_keying_material(vec![0; 32], LABEL, Some(b"")).ok();
                TlsBindings {
                    exporter: (tls.protocol_version() == Some(TLSv1_3)).then(export).flatten(),
                    server_end_point: tls
                        .peer_certificates()
                        .and_then(<[_]>::first)
                        .and_then(|leaf| server_end_point(leaf)),
                }
            }
            _ => TlsBindings::default(),
        }
    }

    /// Whom the client's certificate names, when it has shown one that an authority of `client_ca` vouches for.
    #[must_use]
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        let Self::TlsServer(server) = self else {
            return None;
        };
        if !server.is_vouched_for {
            return None;
        }
        let (_, tls) = server.stream.get_ref();
        client_certificate(tls.peer_certificates()?.first()?)
    }

    /// Whether the client has shown a certificate with one of these DNS names that an authority of `client_ca` vouches for.
    #[must_use]
    pub fn holds_certificate_of(&self, names: &[String]) -> bool {
        matches!(self, Self::TlsServer(server) if server.is_vouched_for) && self.shows_certificate_of(names)
    }

    /// The same, whoever vouches for it.
    pub(crate) fn shows_certificate_of(&self, names: &[String]) -> bool {
        let Self::TlsServer(server) = self else {
            return false;
        };
        let (_, tls) = server.stream.get_ref();
        let Some(leaf) = tls.peer_certificates().and_then(<[_]>::first) else {
            return false;
        };
        // Most listeners name nobody, and a certificate need not be read for them.
        !names.is_empty()
            && dns_names(leaf)
                .iter()
                .any(|own| names.iter().any(|name| is_same_name(own, name)))
    }

    /// What the client and this server have agreed to speak inside TLS (RFC 7301).
    #[must_use]
    pub fn agreed_protocol(&self) -> Option<&[u8]> {
        match self {
            Self::TlsServer(server) => server.stream.get_ref().1.alpn_protocol(),
            _ => None,
        }
    }

    /// What can be told of a client's TLS; none without it.
    #[must_use]
    pub fn tls_facts(&self) -> Option<TlsFacts> {
        let Self::TlsServer(server) = self else {
            return None;
        };
        let (_, tls) = server.stream.get_ref();
        let certificate = self.client_certificate();
        Some(TlsFacts {
            version: match tls.protocol_version()? {
                rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: tls
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str()),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            server_name: tls.server_name().map(str::to_owned),
            has_certificate: certificate.is_some(),
            common_name: certificate.and_then(|shown| shown.common_name),
        })
    }

    /// Connects over TCP.
    pub async fn connect(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(stream) => stream.map(Self::from),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Looks a host up and connects to the first of its addresses that answers, all within `limit`.
    pub async fn connect_host(
        resolver: &Resolver,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> io::Result<Self> {
        let attempt = async {
            let addresses = resolver.addresses(host).await.map_err(io::Error::other)?;
            let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
            let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
            for address in addresses {
                match Self::connect(SocketAddr::new(address, port), share).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        match timeout(limit, attempt).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Connects to a Unix socket.
    pub async fn connect_unix(path: &std::path::Path, limit: Duration) -> io::Result<Self> {
        match timeout(limit, UnixStream::connect(path)).await {
            Ok(stream) => stream.map(Self::Unix),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// TLS handshake as a server.
    pub async fn accept_tls(self, tls: &ServerTls, limit: Duration) -> Result<Self, TlsError> {
        self.accept_tls_with(tls, Alpn::None, limit).await
    }

    /// TLS handshake as a server that agrees with the client on what is spoken inside.
    pub async fn accept_tls_with(
        self,
        tls: &ServerTls,
        alpn: Alpn,
        limit: Duration,
    ) -> Result<Self, TlsError> {
        let handshake = tls.handshake(alpn);
        match timeout(limit, handshake.acceptor.accept(self)).await {
            Ok(Ok(stream)) => {
                let (_, state) = stream.get_ref();
                let vouched = handshake.has_vouched(state.peer_certificates());
                let accepted = Self::TlsServer(Box::new(ServerStream {
                    end_point: handshake.end_point(state.server_name()),
                    is_vouched_for: matches!(vouched, Ok(true)),
                    stream,
                }));
                if let Err(why) = &vouched {
                    tls.has_doubted(&accepted, why);
                }
                tls.has_accepted(&accepted);
                Ok(accepted)
            }
            Ok(Err(error)) => Err(TlsError::from_handshake(error, None)),
            Err(_) => Err(TlsError::TimedOut),
        }
    }

    /// TLS handshake as a client; the certificate must be good for `server_name`, a host name or an address.
    pub async fn connect_tls(
        self,
        tls: &ClientTls,
        server_name: &str,
        limit: Duration,
    ) -> Result<Self, TlsError> {
        let name = rustls_pki_types::ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::Config(format!("{server_name:?} is not a name a certificate can have")))?;
        match timeout(limit, tls.connector().connect(name, self)).await {
            Ok(Ok(stream)) => Ok(Self::TlsClient(Box::new(stream))),
            Ok(Err(error)) => Err(TlsError::from_handshake(error, Some(server_name))),
            Err(_) => Err(TlsError::TimedOut),
        }
    }
}

/// Whether two DNS names are one. No wildcard: a certificate for many is nobody's in particular.
fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    plain(one) == plain(other)
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr, $closed:expr) => {
        match $self.get_mut() {
            Connection::Tcp($stream) => $call,
            Connection::Unix($stream) => $call,
            Connection::TlsServer(server) => {
                let $stream = &mut server.stream;
                $call
            }
            Connection::TlsClient($stream) => $call,
            Connection::Memory($stream) => $call,
            Connection::Closed => Poll::Ready($closed),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf), Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf), Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx), Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx), Ok(()))
    }
}
/// Whether a connection failed for want of something of this machine: descriptors, ports, memory.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| own.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::is_exhausted;
    use rustix::io::Errno;
    use std::io;

    #[test]
    fn only_this_machines_own_want_is_its_fault() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(is_exhausted(&of(Errno::MFILE)) && is_exhausted(&of(Errno::NFILE)));
        assert!(!is_exhausted(&of(Errno::CONNREFUSED)) && !is_exhausted(&of(Errno::HOSTUNREACH)));
        assert!(!is_exhausted(&io::ErrorKind::TimedOut.into()));
    }
}
