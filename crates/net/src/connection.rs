//! One connection, whatever it runs over.

use crate::{ClientTls, Resolver, ServerTls, TlsError};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
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
    TlsServer(Box<tokio_rustls::server::TlsStream<Connection>>),
    /// TLS with a server.
    TlsClient(Box<tokio_rustls::client::TlsStream<Connection>>),
    /// A pipe inside this process.
    Memory(DuplexStream),
    /// Gone: reads end, writes fail. What a failed handshake leaves behind.
    Closed,
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
        match timeout(limit, tls.acceptor().accept(self)).await {
            Ok(Ok(stream)) => Ok(Self::TlsServer(Box::new(stream))),
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

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr, $closed:expr) => {
        match $self.get_mut() {
            Connection::Tcp($stream) => $call,
            Connection::Unix($stream) => $call,
            Connection::TlsServer($stream) => $call,
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
