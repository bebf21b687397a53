//! Writing the header, in version 2: the client, and what is known of its own connection.

use super::SIGNATURE;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Section 2.2: LOCAL and PROXY, in version 2.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families, over a stream.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Section 2.2.7: the fields behind the addresses.
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// The client has used TLS, and has shown a certificate.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT: u8 = 0x02 | 0x04;
/// The longest unique id, and more than any other text has.
const MAX_ID: usize = 128;
const MAX_TEXT: usize = 255;

/// The TLS of a client's own connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// As the registry calls it.
    pub cipher: Option<&'static str>,
    /// What both have agreed to speak inside of it.
    pub alpn: Option<Vec<u8>>,
    /// The name that the client has asked for.
    pub server_name: Option<String>,
    /// The common name of the certificate that it has shown, when that was verified.
    pub common_name: Option<String>,
    /// Whether it has shown one that was verified.
    pub has_certificate: bool,
}

/// The client of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Where it is.
    pub client: SocketAddr,
    /// Where it has connected to.
    pub local: SocketAddr,
    /// The name of its session in the logs.
    pub id: &'a str,
    /// Its TLS, where it is known.
    pub tls: Option<&'a TlsFacts>,
}

/// The header of a connection that is our own: nobody stands behind it.
#[must_use]
pub fn local() -> Vec<u8> {
    header(LOCAL, UNSPECIFIED, &[])
}

/// The header of a connection for a client.
#[must_use]
pub fn proxied(told: &Told<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    // Both addresses are of one family: the client's, or its home would not know its address again. Whom nobody has
    // named is 0.0.0.0, as in XCLIENT: a receiver takes PROXY without addresses for an error (Dovecot, Postfix), or for
    // a connection of our own (section 2.2).
    let family = match (told.client.ip().to_canonical(), told.local.ip().to_canonical()) {
        (IpAddr::V6(client), local) if !client.is_unspecified() => {
            let local = match local {
                IpAddr::V6(local) => local,
                IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
            };
            body.extend(client.octets());
            body.extend(local.octets());
            TCP6
        }
        (client, local) => {
            for address in [client, local] {
                let address = match address {
                    IpAddr::V4(address) => address,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                body.extend(address.octets());
            }
            TCP4
        }
    };
    body.extend(told.client.port().to_be_bytes());
    body.extend(told.local.port().to_be_bytes());
    field(&mut body, UNIQUE_ID, told.id.as_bytes(), MAX_ID);
    if let Some(tls) = told.tls {
        describe(&mut body, tls);
    }
    header(PROXY, family, &body)
}

fn describe(body: &mut Vec<u8>, tls: &TlsFacts) {
    if let Some(alpn) = &tls.alpn {
        field(body, ALPN, alpn, MAX_TEXT);
    }
    if let Some(name) = &tls.server_name {
        field(body, AUTHORITY, name.as_bytes(), MAX_TEXT);
    }
    let flags = match tls.has_certificate {
        true => CLIENT_SSL | CLIENT_CERT,
        false => CLIENT_SSL,
    };
    // Zero for a certificate that was verified; anything else for none.
    let mut ssl = vec![flags, 0, 0, 0, u8::from(!tls.has_certificate)];
    field(&mut ssl, SSL_VERSION, tls.version.as_bytes(), MAX_TEXT);
    if let Some(name) = &tls.common_name {
        field(&mut ssl, SSL_CN, name.as_bytes(), MAX_TEXT);
    }
    if let Some(cipher) = tls.cipher {
        field(&mut ssl, SSL_CIPHER, cipher.as_bytes(), MAX_TEXT);
    }
    field(body, SSL, &ssl, 4 * MAX_TEXT);
}

/// A field that is too long is left out: half a name is somebody else's.
fn field(body: &mut Vec<u8>, kind: u8, value: &[u8], most: usize) {
    let Ok(length) = u16::try_from(value.len()) else {
        return;
    };
    if value.is_empty() || value.len() > most {
        return;
    }
    body.push(kind);
    body.extend(length.to_be_bytes());
    body.extend(value);
}

fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    // Bounded by the fields: no more than two kilobytes.
    let length = u16::try_from(body.len()).unwrap_or(0);
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(body.iter().take(usize::from(length)));
    header
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, ProxyHeader, decode};
    use super::*;

    fn told<'a>(client: &str, local: &str, tls: Option<&'a TlsFacts>) -> Told<'a> {
        Told {
            client: client.parse().expect("an address"),
            local: local.parse().expect("an address"),
            id: "00000000000000ff",
            tls,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (client, local) in [
            ("192.0.2.7:4242", "192.0.2.1:143"),
            ("[2001:db8::7]:4242", "[2001:db8::1]:143"),
        ] {
            let octets = proxied(&told(client, local, None));
            let header = ProxyHeader::Proxied {
                client: client.parse().expect("an address"),
                local: local.parse().expect("an address"),
            };
            assert_eq!(decode(&octets), Decoded::Header(header, octets.len()));
        }
        let octets = local();
        assert_eq!(decode(&octets), Decoded::Header(ProxyHeader::Local, octets.len()));
    }

    // Section 2.2: the octets themselves, because our own reader is kinder than others.
    #[test]
    fn the_family_is_the_clients() {
        for (client, local, family, addresses) in [
            (
                "0.0.0.0:0",
                "192.0.2.1:143",
                0x11,
                &b"\0\0\0\0\xc0\0\x02\x01\0\0\0\x8f"[..],
            ),
            ("[::]:0", "[2001:db8::1]:143", 0x11, b"\0\0\0\0\0\0\0\0\0\0\0\x8f"),
            (
                "[::ffff:192.0.2.7]:4242",
                "[2001:db8::1]:143",
                0x11,
                b"\xc0\0\x02\x07\0\0\0\0\x10\x92\0\x8f",
            ),
            (
                "[2001:db8::7]:4242",
                "192.0.2.1:143",
                0x21,
                b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\x92\0\x8f",
            ),
        ] {
            let octets = proxied(&told(client, local, None));
            assert_eq!(octets[12..14], [0x21, family], "{client} {local}");
            assert_eq!(&octets[16..16 + addresses.len()], addresses, "{client} {local}");
            assert!(matches!(decode(&octets), Decoded::Header(_, length) if length == octets.len()));
        }
    }

    // Section 2.2.7: the fields, as they stand in the text.
    #[test]
    fn fields_behind_the_addresses() {
        let tls = TlsFacts {
            version: "TLSv1.3",
            cipher: Some("C"),
            alpn: Some(b"imap".to_vec()),
            server_name: Some("mail.test".to_owned()),
            common_name: Some("alice".to_owned()),
            has_certificate: true,
        };
        let octets = proxied(&told("192.0.2.7:4242", "192.0.2.1:143", Some(&tls)));
        let wanted = b"\x05\0\x1000000000000000ff\x01\0\x04imap\x02\0\x09mail.test\
            \x20\0\x1b\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice\x23\0\x01C";
        assert_eq!(&octets[28..], wanted);
        assert!(matches!(decode(&octets), Decoded::Header(_, length) if length == octets.len()));
        let long = "x".repeat(300);
        let tls = TlsFacts {
            version: "TLSv1.2",
            server_name: Some(long),
            ..TlsFacts::default()
        };
        let octets = proxied(&told("192.0.2.7:4242", "192.0.2.1:143", Some(&tls)));
        assert_eq!(&octets[47..], b"\x20\0\x0f\x01\0\0\0\x01\x21\0\x07TLSv1.2");
    }
}
