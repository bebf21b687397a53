//! Which fields of a message go on to the other side (RFC 9110 section 7.6.1), and which are ours to write.

use super::cookie;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use model::{Secret, TraceId};

/// RFC 9110 section 7.6.1 and RFC 9112: for one connection only.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What homes believe about the client because a front end says it: only we may. Also `proxy`, which CGI takes for
/// the variable HTTP_PROXY.
const OURS: [&str; 20] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-originating-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-webauth-user",
    "remote-user",
    "x-remote-user",
    "x-authenticated-user",
    "x-request-id",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-accel-redirect",
    "proxy",
];

/// The same for all fields that begin so.
const OUR_PREFIXES: [&str; 4] = ["x-forwarded", "x-auth-request-", "x-ssl-client-", "ssl-client-"];

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The tokens of the Connection field.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let fields = headers.get_all(CONNECTION).iter();
    let texts = fields.filter_map(|field| field.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .filter_map(|token| HeaderName::try_from(token.trim()).ok())
        .collect()
}

/// Whether the Connection field has this token.
pub(super) fn connection_has(headers: &HeaderMap, token: &HeaderName) -> bool {
    nominated(headers).contains(token)
}

/// Removes what is for one connection only, and what the other side named as such.
fn end_hop(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether a home could take this field of a client for our word. Many turn `_` into `-`, and some whatever is neither a
/// letter nor a digit.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let hop = |known: &HeaderName| known.as_str() == name;
    let spelled_otherwise = HOP_BY_HOP.iter().any(hop);
    OURS.contains(&name.as_str())
        || OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || spelled_otherwise
        || matches!(
            name.as_str(),
            "authorization" | "host" | "cookie" | "content-length"
        )
}

/// Octets of all fields as they are written in HTTP/1.1.
pub(super) fn size(headers: &HeaderMap) -> usize {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    headers.iter().map(line).sum()
}

/// Makes a client's fields fit to be sent to a home, without a word about who the client is.
pub(super) fn clean_request(headers: &mut HeaderMap) {
    end_hop(headers);
    cookie::strip_request(headers);
    // `Cookie` itself and the length are judged elsewhere; only other spellings of them go here.
    let forged = |name: &HeaderName| is_ours(name) && !matches!(name.as_str(), "cookie" | "content-length");
    let gone: Vec<HeaderName> = headers.keys().filter(|name| forged(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    // RFC 9110 section 10.1.1: "100 Continue" is said here, once there is room at the home.
    headers.remove(EXPECT);
    headers.remove("http2-settings");
}

/// Says which host is asked for, and how to find the request in the logs.
pub(super) fn introduce(headers: &mut HeaderMap, host: &str, trace: TraceId) {
    if let Ok(value) = HeaderValue::try_from(host) {
        headers.insert(HOST, value);
    }
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// Says for whom the request is, in place of what was said before.
pub(super) fn show(headers: &mut HeaderMap, key: &Secret) {
    headers.remove(AUTHORIZATION);
    if let Ok(mut value) = HeaderValue::from_bytes(key.expose()) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

/// Makes a home's fields fit to be sent to a client.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    // RFC 9112 section 6.3: chunks were read, so a length beside them means nothing, and must not go on.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    end_hop(headers);
    cookie::strip_response(headers);
}

/// RFC 6797: over TLS, and not where people try things out. What the home says itself stays.
pub(super) fn tell_hsts(headers: &mut HeaderMap, seconds: u64) {
    if seconds > 0
        && !headers.contains_key(STRICT_TRANSPORT_SECURITY)
        && let Ok(value) = HeaderValue::try_from(format!("max-age={seconds}"))
    {
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).expect("a name");
            headers.append(name, HeaderValue::try_from(*value).expect("a value"));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        // Removing fields changes their order.
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_home_sees_nothing_that_a_client_could_forge() {
        let mut all = headers(&[
            ("accept", "*/*"),
            ("connection", "close, X-Secret , cookie"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("transfer_encoding", "chunked"),
            ("content_length", "5"),
            ("content-length", "5"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("proxy-authorization", "x"),
            ("proxy", "http://evil"),
            ("authorization", "Basic x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded-anything", "1"),
            ("x-real-ip", "1.2.3.4"),
            ("remote_user", "root"),
            ("remote.user", "root"),
            ("x.forwarded~for", "1.2.3.4"),
            ("x-forwarded", "1.2.3.4"),
            ("x-original-forwarded-for", "1.2.3.4"),
            ("x-auth-request-user", "root"),
            ("ssl-client-verify", "SUCCESS"),
            ("expect", "100-continue"),
            ("via", "1.1 a"),
            ("x-mine", "1"),
        ]);
        clean_request(&mut all);
        assert_eq!(names(&all), ["accept", "content-length", "via", "x-mine"]);
        introduce(&mut all, "mail", TraceId::new(7));
        for key in ["Bearer s", "Bearer t"] {
            show(&mut all, &key.into());
            let shown: Vec<&[u8]> = all
                .get_all(AUTHORIZATION)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            assert_eq!(shown, [key.as_bytes()]);
        }
        assert_eq!(
            all.get(X_REQUEST_ID).map(HeaderValue::as_bytes),
            Some(&b"0000000000000007"[..])
        );
    }

    #[test]
    fn a_client_sees_nothing_of_the_homes_connection() {
        let mut all = headers(&[
            ("connection", "x-internal"),
            ("x-internal", "1"),
            ("proxy-authenticate", "Basic"),
            ("set-cookie", "__Host-homing=x"),
            ("set-cookie", "a=1"),
            ("content-type", "text/html"),
        ]);
        clean_response(&mut all);
        assert_eq!(names(&all), ["content-type", "set-cookie"]);
        let mut both = headers(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        clean_response(&mut both);
        assert!(both.is_empty());
        tell_hsts(&mut all, 0);
        assert!(!all.contains_key(STRICT_TRANSPORT_SECURITY));
        tell_hsts(&mut all, 60);
        tell_hsts(&mut all, 90);
        assert_eq!(
            all.get(STRICT_TRANSPORT_SECURITY),
            Some(&HeaderValue::from_static("max-age=60"))
        );
    }
}
