//! Who the client is, as proxies tell each other: Forwarded (RFC 7239), X-Forwarded-For, Via.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, VIA};
use std::net::{IpAddr, SocketAddr};

pub(super) const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Proxies that a request may have passed before this one.
const MAX_HOPS: usize = 6;

/// What the nearest proxy says about the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    /// Whether the client's own connection is encrypted.
    pub(super) secure: Option<bool>,
}

/// Reads what a trusted proxy has added last. When the two fields name different clients, one of them has been
/// passed on from a stranger, and neither is believed.
pub(super) fn claim(headers: &HeaderMap) -> Claim {
    let standard = last(headers, &FORWARDED).map(|element| element_claim(&element));
    let plain = last(headers, &X_FORWARDED_FOR).map(|text| {
        let proto = last(headers, &X_FORWARDED_PROTO);
        Claim {
            secure: proto.map(|proto| proto.trim().eq_ignore_ascii_case("https")),
            ..node(text.trim())
        }
    });
    match (standard, plain) {
        (Some(one), Some(other)) if one.address != other.address => Claim::default(),
        (Some(one), _) => one,
        (None, Some(other)) => other,
        (None, None) => {
            let proto = last(headers, &X_FORWARDED_PROTO);
            Claim {
                secure: proto.map(|proto| proto.trim().eq_ignore_ascii_case("https")),
                ..Claim::default()
            }
        }
    }
}

/// The last element of a list field; commas in quotes do not count.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let field = headers.get_all(name).iter().next_back()?;
    let text = field.to_str().ok()?;
    split(text, ',').pop().map(str::to_owned)
}

/// Splits outside of quoted strings (RFC 9110 section 5.6.4).
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.extend(text.get(start..index));
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// RFC 7239 section 4: `for=...;proto=...` in any order, names in any case.
fn element_claim(element: &str) -> Claim {
    let mut claim = Claim::default();
    for pair in split(element, ';') {
        let Some((name, value)) = pair.trim().split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"').replace('\\', "");
        if name.eq_ignore_ascii_case("for") {
            let node = node(&value);
            (claim.address, claim.port) = (node.address, node.port);
        } else if name.eq_ignore_ascii_case("proto") {
            claim.secure = Some(value.eq_ignore_ascii_case("https"));
        }
    }
    claim
}

/// RFC 7239 section 6: an address with or without a port, an IPv6 one in brackets; names and `unknown` say nothing.
fn node(text: &str) -> Claim {
    let (address, port) = if let Ok(both) = text.parse::<SocketAddr>() {
        (Some(both.ip()), Some(both.port()))
    } else {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        (bare.unwrap_or(text).parse::<IpAddr>().ok(), None)
    };
    Claim {
        address: address.map(|address| address.to_canonical()),
        port: port.filter(|port| *port != 0),
        secure: None,
    }
}

/// What this server tells a home.
pub(super) struct Told<'a> {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) host: &'a str,
    pub(super) secure: bool,
    /// Major and minor version that the client speaks.
    pub(super) version: &'static str,
    pub(super) server_name: &'a str,
}

/// Writes the fields anew. Whatever was there has been judged, and goes.
pub(super) fn tell(headers: &mut HeaderMap, told: &Told<'_>) {
    let proto = if told.secure { "https" } else { "http" };
    // A socket address has a colon, so it is quoted.
    let element = format!(
        "for=\"{}\";by=\"{}\";host=\"{}\";proto={proto}",
        told.client, told.local, told.host
    );
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    set(FORWARDED, &element);
    set(X_FORWARDED_FOR, &told.client.ip().to_string());
    set(X_FORWARDED_PROTO, proto);
    set(X_FORWARDED_HOST, told.host);
    // RFC 9110 section 7.6.3.
    if let Ok(value) = HeaderValue::try_from(format!("{} {}", told.version, told.server_name)) {
        headers.append(VIA, value);
    }
}

/// Whether the request has passed so many proxies that it must be going in circles. The count is kept whoever the
/// client is: whoever lies hurts nobody else.
pub(super) fn is_loop(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(VIA).iter().map(|field| {
        let text = String::from_utf8_lossy(field.as_bytes()).into_owned();
        split(&text, ',').len()
    });
    hops.sum::<usize>() > MAX_HOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(fields: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, text) in fields {
            headers.append(*name, HeaderValue::try_from(*text).expect("a value"));
        }
        headers
    }

    fn is(address: &str, port: Option<u16>, secure: Option<bool>) -> Claim {
        Claim {
            address: address.parse().ok(),
            port,
            secure,
        }
    }

    #[test]
    fn the_last_element_counts() {
        for (text, expected) in [
            ("for=192.0.2.1", is("192.0.2.1", None, None)),
            (
                "for=203.0.113.9, For=192.0.2.1;proto=HTTPS;by=10.0.0.1",
                is("192.0.2.1", None, Some(true)),
            ),
            (
                "for=\"[2001:db8::1]:4711\";proto=http",
                is("2001:db8::1", Some(4711), Some(false)),
            ),
            (
                "for=\"192.0.2.1:80\";host=\"a,for=1.2.3.4\"",
                is("192.0.2.1", Some(80), None),
            ),
            ("for=\"\\192.0.2.1\"", is("192.0.2.1", None, None)),
            ("for=_hidden;proto=https", is("", None, Some(true))),
            ("for=unknown", Claim::default()),
            ("for=192.0.2.1,", Claim::default()),
            ("", Claim::default()),
            ("for=\"192.0.2.1", is("192.0.2.1", None, None)),
        ] {
            assert_eq!(claim(&headers(&[(&FORWARDED, text)])), expected, "{text}");
        }
        let two = headers(&[
            (&X_FORWARDED_FOR, "203.0.113.9"),
            (&X_FORWARDED_FOR, "x, ::ffff:192.0.2.1"),
            (&X_FORWARDED_PROTO, "https"),
        ]);
        assert_eq!(claim(&two), is("192.0.2.1", None, Some(true)));
    }

    #[test]
    fn two_stories_are_no_story() {
        let agree = headers(&[
            (&FORWARDED, "for=192.0.2.1;proto=https"),
            (&X_FORWARDED_FOR, "192.0.2.1"),
        ]);
        assert_eq!(claim(&agree), is("192.0.2.1", None, Some(true)));
        let differ = headers(&[
            (&FORWARDED, "for=192.0.2.1;proto=https"),
            (&X_FORWARDED_FOR, "192.0.2.2"),
        ]);
        assert_eq!(claim(&differ), Claim::default());
    }

    #[test]
    fn what_a_home_is_told_is_read_back() {
        let mut all = headers(&[(&FORWARDED, "for=203.0.113.9"), (&VIA, "1.1 a")]);
        let told = Told {
            client: "[2001:db8::1]:4711".parse().expect("an address"),
            local: "192.0.2.1:443".parse().expect("an address"),
            host: "mail.example.test:8443",
            secure: true,
            version: "2.0",
            server_name: "front",
        };
        tell(&mut all, &told);
        let expected =
            "for=\"[2001:db8::1]:4711\";by=\"192.0.2.1:443\";host=\"mail.example.test:8443\";proto=https";
        assert_eq!(all.get_all(FORWARDED).iter().collect::<Vec<_>>(), [expected]);
        assert_eq!(claim(&all), is("2001:db8::1", Some(4711), Some(true)));
        assert_eq!(
            all.get_all(VIA).iter().collect::<Vec<_>>(),
            ["1.1 a", "2.0 front"]
        );
        for _ in 0..5 {
            assert!(!is_loop(&all));
            tell(&mut all, &told);
        }
        assert!(is_loop(&all));
        assert!(is_loop(&headers(&[(
            &VIA,
            "1.1 a, 1.1 b, 1.1 c, 1.1 d, 1.1 e, 1.1 f, 1.1 g"
        )])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_text_is_read(text in "[ -~]{0,60}") {
            let claim = claim(&headers(&[(&FORWARDED, &text)]));
            prop_assert!(claim.port.is_none() || claim.address.is_some());
        }
    }
}
