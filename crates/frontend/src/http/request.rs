//! What a request asks for, before anybody asks who sent it. Whatever two servers could read in two ways is refused
//! here (RFC 9112 sections 3.2, 6.1 and 11.2).

use super::headers::{self, connection_has};
use super::reply::Fault;
use hyper::ext::Protocol;
use hyper::header::{HOST, HeaderMap, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Version};

/// The longest host with its port.
const MAX_HOST: usize = 260;

/// How the answer is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One request, one answer.
    Plain,
    /// RFC 6455.
    WebSocket,
    /// RFC 8441: the same inside an HTTP/2 stream.
    WebSocketStream,
}

/// A request that can be understood in one way only.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Host and port as the client names them.
    pub(super) host: String,
    pub(super) path: PathAndQuery,
    pub(super) kind: Kind,
    /// RFC 9112 section 6.1: whoever sends a body in chunks may mean its length otherwise; nothing that follows on
    /// the connection is read.
    pub(super) last: bool,
}

/// What is asked of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Stands in for a host that HTTP/1.0 need not name.
    pub(super) server_name: &'a str,
    /// The hosts that are served; empty for any.
    pub(super) hosts: &'a [String],
    /// Octets of a head. The buffers below end near it, not at it.
    pub(super) max_head: u64,
}

/// Reads the head of a request.
pub(super) fn read(parts: &Parts, rules: Rules<'_>) -> Result<Target, Fault> {
    let Rules {
        server_name,
        hosts,
        max_head,
    } = rules;
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let size = headers::size(&parts.headers).saturating_add(target);
    if u64::try_from(size).map_or(true, |size| size > max_head) {
        return Err(Fault::HeadTooLarge);
    }
    let kind = kind(parts)?;
    let host = host(parts, server_name)?;
    let name = host_name(&host);
    if !hosts.is_empty() && !hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Fault::Misdirected);
    }
    let path = parts.uri.path_and_query().cloned();
    let path = path.ok_or(Fault::Malformed("there is no path"))?;
    // RFC 9112 section 3.2.4.
    let asterisk = path.as_str() == "*" && parts.method == Method::OPTIONS;
    if !path.as_str().starts_with('/') && !asterisk {
        return Err(Fault::Malformed("the target is not a path"));
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let last = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        // RFC 9112 section 6.1: a coding that is not understood is 501.
        _ => return Err(Fault::Unsupported),
    };
    Ok(Target {
        host,
        path,
        kind,
        last,
    })
}

fn kind(parts: &Parts) -> Result<Kind, Fault> {
    if parts.method == Method::CONNECT {
        return match parts.extensions.get::<Protocol>() {
            Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => {
                Ok(Kind::WebSocketStream)
            }
            Some(_) => Err(Fault::Unsupported),
            None => Err(Fault::Method),
        };
    }
    // It would answer with the credentials (RFC 9110 section 9.3.8).
    if parts.method == Method::TRACE {
        return Err(Fault::Method);
    }
    let wanted = parts.headers.get(UPGRADE).map(|value| value.as_bytes());
    let upgrades = wanted.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && connection_has(&parts.headers, &UPGRADE)
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11;
    // RFC 9110 section 7.8: any other upgrade may be ignored, h2c among them.
    Ok(if upgrades { Kind::WebSocket } else { Kind::Plain })
}

/// RFC 9112 section 3.2: exactly one Host; section 3.2.2: a host in the target wins. RFC 9113 section 8.3.1: in
/// HTTP/2 both must be the same.
fn host(parts: &Parts, server_name: &str) -> Result<String, Fault> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err(Fault::Malformed("there are two Host fields")),
        (Some(field), None) => {
            let text = field
                .to_str()
                .map_err(|_| Fault::Malformed("the host is malformed"))?;
            Some(text.to_owned())
        }
        (None, None) => None,
    };
    let in_target = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    if parts.version == Version::HTTP_11 && field.is_none() {
        return Err(Fault::Malformed("there is no Host field"));
    }
    if let (Some(one), Some(other), Version::HTTP_2) = (&field, &in_target, parts.version)
        && !one.eq_ignore_ascii_case(other)
    {
        return Err(Fault::Malformed("two hosts are named"));
    }
    let host = in_target.or(field).unwrap_or_else(|| server_name.to_owned());
    match is_host(&host) {
        true => Ok(host),
        false => Err(Fault::Malformed("the host is malformed")),
    }
}

/// A name or an address, with or without a port; nothing that a home could read as something else.
fn is_host(text: &str) -> bool {
    let (name, port) = split_port(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good_name = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(plain),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    text.len() <= MAX_HOST && good_name && good_port
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    }
}

fn host_name(host: &str) -> &str {
    split_port(host).0.trim_end_matches('.')
}

/// The site that a request is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) host: &'a str,
    /// Whether the client asks by https.
    pub(super) secure: bool,
}

/// Whether a browser sends the request on behalf of another site's page (RFC 6454 section 7). Reading is no harm:
/// that page does not see the answer.
pub(super) fn is_cross_site(method: &Method, kind: Kind, headers: &HeaderMap, own: Site<'_>) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads && kind == Kind::Plain {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let text = String::from_utf8_lossy(origin.as_bytes()).into_owned();
    let Some((scheme, host)) = text.split_once("://") else {
        // "null": a page that hides where it is from.
        return true;
    };
    let is_https = scheme.eq_ignore_ascii_case("https");
    // RFC 6454 section 4: anybody on the way can write a plain page of this host. The other way round nothing is
    // gained, and somebody before us who ends TLS may not tell.
    if own.secure && !is_https {
        return true;
    }
    let default = if is_https { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
    bare(host) != bare(own.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(method: &str, uri: &str, version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn read(parts: &Parts, server_name: &str, hosts: &[String]) -> Result<Target, Fault> {
        let rules = Rules {
            server_name,
            hosts,
            max_head: 100,
        };
        super::read(parts, rules)
    }

    fn one(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<Target, Fault> {
        read(&parts(method, uri, Version::HTTP_11, fields), "front", &[])
    }

    #[test]
    fn one_host_and_one_meaning() {
        for (uri, fields, host) in [
            ("/a?b", &[("host", "mail:8080")][..], "mail:8080"),
            ("http://other/a", &[("host", "mail")], "other"),
            ("/", &[("host", "[::1]:80")], "[::1]:80"),
            ("/", &[("host", "192.0.2.1")], "192.0.2.1"),
        ] {
            assert_eq!(
                one("GET", uri, fields).map(|target| target.host).ok().as_deref(),
                Some(host),
                "{uri}"
            );
        }
        for fields in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "a b")],
            &[("host", "a/b")],
            &[("host", "user@a")],
            &[("host", "a:b")],
            &[("host", "a:+1")],
            &[("host", "a:99999")],
            &[("host", "[::1")],
            &[("host", "")],
            &[("host", "a\"")],
        ] {
            assert!(
                matches!(one("GET", "/", fields), Err(Fault::Malformed(_))),
                "{fields:?}"
            );
        }
        assert!(one("GET", "http://user@a/", &[("host", "a")]).is_err());
        let long = "x".repeat(100);
        assert!(matches!(
            one("GET", "/", &[("host", &long)]),
            Err(Fault::HeadTooLarge)
        ));
        let old = read(&parts("GET", "/", Version::HTTP_10, &[]), "front", &[]);
        assert_eq!(old.expect("HTTP/1.0 names none").host, "front");
        let two = parts("GET", "https://a/", Version::HTTP_2, &[("host", "b")]);
        assert!(read(&two, "front", &[]).is_err());
    }

    #[test]
    fn methods_codings_and_hosts() {
        let host = ("host", "a");
        assert!(matches!(one("TRACE", "/", &[host]), Err(Fault::Method)));
        assert!(matches!(one("CONNECT", "a:443", &[host]), Err(Fault::Method)));
        assert!(one("OPTIONS", "*", &[host]).is_ok() && one("GET", "*", &[host]).is_err());
        let chunked = one("POST", "/", &[host, ("transfer-encoding", "Chunked")]);
        assert!(chunked.is_ok_and(|target| target.last));
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "x"] {
            assert!(matches!(
                one("POST", "/", &[host, ("transfer-encoding", coding)]),
                Err(Fault::Unsupported)
            ));
        }
        let twice = [
            host,
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ];
        assert!(matches!(one("POST", "/", &twice), Err(Fault::Unsupported)));
        let named = ["Mail.example.test".to_owned()];
        for (host, good) in [
            ("mail.example.test:8443", true),
            ("MAIL.example.test.", true),
            ("other", false),
        ] {
            let parts = parts("GET", "/", Version::HTTP_11, &[("host", host)]);
            assert_eq!(read(&parts, "front", &named).is_ok(), good, "{host}");
        }
    }

    #[test]
    fn only_websockets_are_upgraded() {
        let kind = |method: &str, upgrade: &str, connection: &str| {
            let fields = [("host", "a"), ("upgrade", upgrade), ("connection", connection)];
            one(method, "/", &fields).expect("a good request").kind
        };
        assert_eq!(kind("GET", "WebSocket", "keep-alive, Upgrade"), Kind::WebSocket);
        assert_eq!(kind("GET", "websocket", "close"), Kind::Plain);
        assert_eq!(kind("POST", "websocket", "upgrade"), Kind::Plain);
        assert_eq!(kind("GET", "h2c", "upgrade"), Kind::Plain);
    }

    #[test]
    fn other_sites_may_not_write() {
        let own = |secure| Site {
            host: "mail.example.test",
            secure,
        };
        for (method, origin, cross) in [
            ("POST", "https://mail.example.test", false),
            ("POST", "https://Mail.example.test:443", false),
            ("POST", "https://evil.test", true),
            ("POST", "https://mail.example.test.evil.test", true),
            ("DELETE", "null", true),
            ("GET", "https://evil.test", false),
        ] {
            let parts = parts(method, "/", Version::HTTP_11, &[("origin", origin)]);
            let method = parts.method.clone();
            assert_eq!(
                is_cross_site(&method, Kind::Plain, &parts.headers, own(true)),
                cross,
                "{origin}"
            );
            assert_eq!(
                is_cross_site(&method, Kind::WebSocket, &parts.headers, own(true)),
                cross || origin.contains("evil"),
                "a WebSocket reads what its page may not"
            );
        }
        let plain = parts(
            "POST",
            "/",
            Version::HTTP_11,
            &[("origin", "http://mail.example.test")],
        );
        for secure in [true, false] {
            let cross = is_cross_site(&plain.method, Kind::Plain, &plain.headers, own(secure));
            assert_eq!(cross, secure, "a plain page may be anybody's");
        }
        let ends_tls = parts(
            "POST",
            "/",
            Version::HTTP_11,
            &[("origin", "https://mail.example.test")],
        );
        assert!(!is_cross_site(
            &ends_tls.method,
            Kind::Plain,
            &ends_tls.headers,
            own(false)
        ));
    }
}
