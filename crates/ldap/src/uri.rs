//! Server addresses: `ldap://host:port`, `ldaps://host:port`, `ldapi://%2Frun%2Fldapi`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where an LDAP server listens. The URI names a server and nothing more: a DN or a query after it is refused,
/// because the search base and the filter have their own settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LdapUri {
    /// `ldap://`: TCP in clear text, or with StartTLS.
    Ldap {
        /// The host name or address; an IPv6 address has no brackets here.
        host: String,
        /// The port; 389 when the URI names none.
        port: u16,
    },
    /// `ldaps://`: TLS from the first byte.
    Ldaps {
        /// The host name or address; an IPv6 address has no brackets here.
        host: String,
        /// The port; 636 when the URI names none.
        port: u16,
    },
    /// `ldapi://`: a Unix socket on this machine.
    Ldapi {
        /// The socket's path.
        path: PathBuf,
    },
}

/// Why a text is not the URI of an LDAP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("an LDAP URI starts with ldap://, ldaps:// or ldapi://")]
    Scheme,
    /// No host, or one with characters a host never has.
    #[error("a host name, an IPv4 address or an IPv6 address in brackets must follow ldap://")]
    Host,
    /// Not a port.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// The path of the socket is not absolute.
    #[error("ldapi:// is followed by the socket's absolute path with each / written as %2F")]
    Path,
    /// A percent sign without two hex digits after it.
    #[error("a percent sign is followed by two hex digits")]
    Percent,
    /// A DN, attributes or a filter follow the server.
    #[error("the URI names a server only; leave out what follows the host and port")]
    Rest,
}

impl LdapUri {
    /// Reads a URI (RFC 4516 section 2, and the ldapi scheme of OpenLDAP).
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        let (authority, rest) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        if !matches!(rest, "" | "/") {
            return Err(UriError::Rest);
        }
        // RFC 3986 section 3.1: schemes do not tell upper from lower case.
        match scheme.to_ascii_lowercase().as_str() {
            "ldap" => host_and_port(authority, 389).map(|(host, port)| Self::Ldap { host, port }),
            "ldaps" => host_and_port(authority, 636).map(|(host, port)| Self::Ldaps { host, port }),
            "ldapi" => socket(authority).map(|path| Self::Ldapi { path }),
            _ => Err(UriError::Scheme),
        }
    }

    /// The host, for DNS and for the certificate; none for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Ldap { host, .. } | Self::Ldaps { host, .. } => Some(host),
            Self::Ldapi { .. } => None,
        }
    }

    /// The TCP port; none for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ldap { port, .. } | Self::Ldaps { port, .. } => Some(*port),
            Self::Ldapi { .. } => None,
        }
    }

    /// True when the bytes cannot leave this machine: a Unix socket, a loopback address, or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host().is_none_or(|host| {
            host.eq_ignore_ascii_case("localhost")
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        })
    }
}

fn host_and_port(authority: &str, default_port: u16) -> Result<(String, u16), UriError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or(UriError::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UriError::Host)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(UriError::Host),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => default_port,
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => return Err(UriError::Port),
            Ok(port) => port,
        },
        Some(_) => return Err(UriError::Port),
    };
    let host = percent_decode(host)?;
    let of_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(of_host) {
        return Err(UriError::Host);
    }
    Ok((host, port))
}

/// Where Debian's slapd listens, and `ldapsearch -H ldapi:///` looks.
const DEFAULT_SOCKET: &str = "/var/run/slapd/ldapi";

fn socket(authority: &str) -> Result<PathBuf, UriError> {
    if authority.is_empty() {
        return Ok(PathBuf::from(DEFAULT_SOCKET));
    }
    let path = PathBuf::from(percent_decode(authority)?);
    if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0) {
        Ok(path)
    } else {
        Err(UriError::Path)
    }
}

/// The text behind percent signs (RFC 3986 section 2.1), which must be UTF-8.
pub fn percent_decode(text: &str) -> Result<String, UriError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            octets.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(crate::octet::hex_digit);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UriError::Percent);
        };
        octets.push(high << 4 | low);
    }
    String::from_utf8(octets).map_err(|_| UriError::Percent)
}

impl std::str::FromStr for LdapUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl fmt::Display for LdapUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = |f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16| {
            if host.contains(':') {
                write!(f, "{scheme}://[{host}]:{port}")
            } else {
                write!(f, "{scheme}://{host}:{port}")
            }
        };
        match self {
            Self::Ldap { host, port } => authority(f, "ldap", host, *port),
            Self::Ldaps { host, port } => authority(f, "ldaps", host, *port),
            Self::Ldapi { path } => {
                f.write_str("ldapi://")?;
                encode_path(f, path)
            }
        }
    }
}

fn encode_path(f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
    for octet in path.as_os_str().as_encoded_bytes() {
        // RFC 3986 section 2.3: the unreserved characters.
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            write!(f, "{}", char::from(*octet))?;
        } else {
            write!(f, "%{octet:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (text, shown) in [
            ("ldap://dir.example.test", "ldap://dir.example.test:389"),
            ("LDAP://dir.example.test:1389/", "ldap://dir.example.test:1389"),
            ("ldaps://[::1]", "ldaps://[::1]:636"),
            ("ldaps://127.0.0.1:7", "ldaps://127.0.0.1:7"),
            (
                "ldapi://%2Fvar%2frun%2Fslapd%2Fldapi",
                "ldapi://%2Fvar%2Frun%2Fslapd%2Fldapi",
            ),
            ("ldapi:///", "ldapi://%2Fvar%2Frun%2Fslapd%2Fldapi"),
            ("ldapi://%2Ftmp%2Fa%20b/", "ldapi://%2Ftmp%2Fa%20b"),
        ] {
            let uri = LdapUri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(uri.to_string(), shown, "{text}");
            assert_eq!(LdapUri::parse(shown), Ok(uri), "{text}");
        }
        for (text, error) in [
            ("dir.example.test", UriError::Scheme),
            ("http://dir.example.test", UriError::Scheme),
            ("ldap://", UriError::Host),
            ("ldap://:389", UriError::Host),
            ("ldap://a b", UriError::Host),
            ("ldap://user@host", UriError::Host),
            ("ldap://[::1", UriError::Host),
            ("ldap://[::g]", UriError::Host),
            ("ldap://[::1]389", UriError::Host),
            ("ldap://h:", UriError::Port),
            ("ldap://h:0", UriError::Port),
            ("ldap://h:+1", UriError::Port),
            ("ldap://h:65536", UriError::Port),
            ("ldap://h/dc=x", UriError::Rest),
            ("ldap://h?x", UriError::Rest),
            ("ldapi:///run/ldapi", UriError::Rest),
            ("ldapi://run", UriError::Path),
            ("ldapi://%2Frun%00", UriError::Path),
            ("ldapi://%2", UriError::Percent),
            ("ldapi://%+F", UriError::Percent),
        ] {
            assert_eq!(LdapUri::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn loopback() {
        for (text, loopback) in [
            ("ldap://localhost", true),
            ("ldap://127.9.9.9", true),
            ("ldap://[::1]", true),
            ("ldapi://%2Frun%2Fldapi", true),
            ("ldap://localhost.example.test", false),
            ("ldap://10.0.0.1", false),
        ] {
            assert_eq!(LdapUri::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
