//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt), as a receiver, and version 2 as a sender.
//!
//! [`decode`] is pure; [`receive`] takes exactly the header off a socket and not one octet more, because what
//! follows belongs to TLS.

mod encode;

pub use encode::{TlsFacts, Told, local, proxied};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.1: the longest line of version 1, with CRLF.
const MAX_V1: usize = 107;
/// Addresses take 36 octets; the rest is for options that nobody needs here. The protocol allows 65535.
const MAX_V2: usize = 4096;

/// What the proxy says about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy speaks for itself: it looks whether somebody is there.
    Local,
    /// There is a client, and the proxy has no address of it.
    Unknown,
    /// The client and the address it connected to.
    Proxied {
        /// The client.
        client: SocketAddr,
        /// Where the client connected to.
        local: SocketAddr,
    },
}

/// The outcome of looking at the start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// A header of this many octets.
    Header(ProxyHeader, usize),
    /// More octets are needed; at least so many in total.
    Incomplete(usize),
    /// Not a PROXY header.
    Invalid,
}

/// Decodes the header at the start of `input`.
#[must_use]
pub fn decode(input: &[u8]) -> Decoded {
    let start = input.get(..12).unwrap_or(input);
    if SIGNATURE.starts_with(start) {
        return if start.len() < 12 {
            Decoded::Incomplete(12)
        } else {
            decode_v2(input)
        };
    }
    let shorter = start.get(..6).unwrap_or(start);
    if b"PROXY ".starts_with(shorter) {
        decode_v1(input)
    } else {
        Decoded::Invalid
    }
}

fn decode_v1(input: &[u8]) -> Decoded {
    let window = input.get(..MAX_V1).unwrap_or(input);
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if window.len() == MAX_V1 {
            Decoded::Invalid
        } else {
            Decoded::Incomplete(window.len() + 1)
        };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    match line
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(parse_v1)
    {
        Some(header) => Decoded::Header(header, end + 1),
        None => Decoded::Invalid,
    }
}

fn parse_v1(line: &str) -> Option<ProxyHeader> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(ProxyHeader::Unknown);
    }
    let client: IpAddr = words.next()?.parse().ok()?;
    let local: IpAddr = words.next()?.parse().ok()?;
    let client_port = words.next()?.parse().ok()?;
    let local_port = words.next()?.parse().ok()?;
    let wanted = match family {
        "TCP4" => client.is_ipv4() && local.is_ipv4(),
        "TCP6" => client.is_ipv6() && local.is_ipv6(),
        _ => false,
    };
    (wanted && words.next().is_none()).then_some(ProxyHeader::Proxied {
        client: SocketAddr::new(client, client_port),
        local: SocketAddr::new(local, local_port),
    })
}

fn decode_v2(input: &[u8]) -> Decoded {
    let Some(&[command, family, high, low]) = input.get(12..16) else {
        return Decoded::Incomplete(16);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_V2 {
        return Decoded::Invalid;
    }
    let Some(body) = input.get(16..16 + len) else {
        return Decoded::Incomplete(16 + len);
    };
    let header = match (command, family >> 4) {
        // Section 2.2: version 2 in the high half, LOCAL is 0 and PROXY is 1; families AF_UNSPEC and AF_UNIX.
        (0x20, _) => Some(ProxyHeader::Local),
        (0x21, 0x0 | 0x3) => Some(ProxyHeader::Unknown),
        (0x21, 0x1) => addresses::<4>(body),
        (0x21, 0x2) => addresses::<16>(body),
        _ => None,
    };
    match header {
        Some(header) => Decoded::Header(header, 16 + len),
        None => Decoded::Invalid,
    }
}

fn addresses<const N: usize>(body: &[u8]) -> Option<ProxyHeader> {
    let (client, rest) = body.split_at_checked(N)?;
    let (local, rest) = rest.split_at_checked(N)?;
    let (ports, _options) = rest.split_first_chunk::<4>()?;
    let ip = |bytes: &[u8]| -> Option<IpAddr> {
        match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
            _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        }
    };
    let [a, b, c, d] = *ports;
    Some(ProxyHeader::Proxied {
        client: SocketAddr::new(ip(client)?, u16::from_be_bytes([a, b])),
        local: SocketAddr::new(ip(local)?, u16::from_be_bytes([c, d])),
    })
}

/// Takes the header off the socket. The caller sets the deadline.
pub(crate) async fn receive(stream: &mut TcpStream) -> io::Result<ProxyHeader> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "no valid PROXY protocol header");
    let mut header = Vec::with_capacity(MAX_V1);
    let mut wanted = 12;
    loop {
        // No header is shorter than 12 octets, and a line of version 1 ends at its LF, which is looked for
        // with a peek: so nothing behind the header is ever taken.
        let missing = wanted - header.len();
        let mut chunk = vec![0; missing.max(MAX_V1)];
        let peeked = stream.peek(&mut chunk).await?;
        if peeked == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = chunk.get(..peeked).unwrap_or_default();
        let line_end = seen.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let take = if header.len() < 12 || header.starts_with(SIGNATURE) {
            peeked.min(missing)
        } else {
            line_end.unwrap_or(peeked).min(MAX_V1 - header.len())
        };
        let taken = header.len();
        header.resize(taken + take, 0);
        stream
            .read_exact(header.get_mut(taken..).unwrap_or_default())
            .await?;
        match decode(&header) {
            Decoded::Header(found, _) => return Ok(found),
            Decoded::Incomplete(total) => wanted = total.max(header.len() + 1),
            Decoded::Invalid => return Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    fn proxied(client: &str, local: &str) -> ProxyHeader {
        ProxyHeader::Proxied {
            client: client.parse().expect("an address"),
            local: local.parse().expect("an address"),
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family, 0, u8::try_from(body.len()).expect("short")]);
        header.extend(body);
        header
    }

    #[test]
    fn version_1() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 143\r\nrest";
        assert_eq!(
            decode(line),
            Decoded::Header(proxied("192.0.2.1:1000", "192.0.2.2:143"), 41)
        );
        assert_eq!(
            decode(b"PROXY UNKNOWN\r\n"),
            Decoded::Header(ProxyHeader::Unknown, 15)
        );
        assert!(matches!(
            decode(b"PROXY TCP6 ::1 ::1 1 2\r\n"),
            Decoded::Header(..)
        ));
        assert!(matches!(decode(b"PROXY TCP4 1.2"), Decoded::Incomplete(_)));
        for bad in [
            &b"PROXY TCP4 ::1 ::1 1 2\r\n"[..],
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
            b"PROXY UNKNOWN\n",
            b"a1 LOGIN\r\n",
            b"\r\n\r\n\0\r\nQUIX\n",
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        ] {
            assert_eq!(decode(bad), Decoded::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn version_2() {
        let body = [192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 0, 143, 4, 0, 0];
        let header = v2(0x21, 0x11, &body);
        assert_eq!(
            decode(&header),
            Decoded::Header(proxied("192.0.2.1:1000", "192.0.2.2:143"), header.len())
        );
        assert!(matches!(
            decode(&v2(0x20, 0, &[])),
            Decoded::Header(ProxyHeader::Local, 16)
        ));
        for family in [0x00, 0x31] {
            let header = v2(0x21, family, &[0; 12]);
            assert_eq!(decode(&header), Decoded::Header(ProxyHeader::Unknown, 28));
        }
        assert_eq!(decode(&v2(0x21, 0x11, &[1, 2, 3])), Decoded::Invalid);
        assert_eq!(decode(&v2(0x31, 0x11, &body)), Decoded::Invalid);
        assert_eq!(
            decode(&[SIGNATURE.as_slice(), &[0x21, 0x11, 0xff, 0xff]].concat()),
            Decoded::Invalid
        );
    }

    #[tokio::test]
    async fn takes_the_header_and_nothing_else() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let v6 = v2(0x21, 0x21, &[[1u8; 32].as_slice(), &[0, 1, 0, 2]].concat());
        for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 143\r\n".to_vec(), v6] {
            for split in [0, 3, 14, 30] {
                let mut client = TcpStream::connect(listener.local_addr().expect("bound"))
                    .await
                    .expect("connect");
                let (mut server, _) = listener.accept().await.expect("accept");
                let bytes = [header.as_slice(), b"rest\r\n"].concat();
                let task = tokio::spawn(async move {
                    let found = receive(&mut server).await.expect("a header");
                    let mut rest = String::new();
                    server.read_to_string(&mut rest).await.expect("the rest");
                    (found, rest)
                });
                client.write_all(&bytes[..split]).await.expect("write");
                tokio::task::yield_now().await;
                client.write_all(&bytes[split..]).await.expect("write");
                drop(client);
                let (found, rest) = task.await.expect("no panic");
                assert!(matches!(found, ProxyHeader::Proxied { .. }));
                assert_eq!(rest, "rest\r\n");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_panics(tail: Vec<u8>, kind in 0..3) {
            let start: &[u8] = match kind { 0 => b"", 1 => b"PROXY ", _ => SIGNATURE };
            let input = [start, &tail].concat();
            if let Decoded::Header(_, len) = decode(&input) {
                prop_assert!(len <= input.len());
            }
        }
    }
}
