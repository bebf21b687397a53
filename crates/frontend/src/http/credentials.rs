//! What a request logs in with (RFC 9110 section 11, RFC 7617, RFC 6750).

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use model::Secret;
use wire::sasl::decode_base64;

/// The longest login.
const MAX_LOGIN: usize = 1024;

/// What the Authorization field offers.
#[derive(Debug, Clone)]
pub(super) enum Offered {
    /// Nothing, or a scheme that is not spoken here.
    Nothing,
    /// RFC 7617.
    Basic {
        /// The user-id.
        login: String,
        /// The password.
        password: Secret,
    },
    /// RFC 6750 section 2.1.
    Bearer(Secret),
}

/// The field is malformed, or there are two of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the Authorization field.
pub(super) fn offered(headers: &HeaderMap) -> Result<Offered, Malformed> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Ok(Offered::Nothing);
    };
    if fields.next().is_some() {
        return Err(Malformed);
    }
    let field = field.as_bytes();
    let at = field.iter().position(|octet| *octet == b' ').ok_or(Malformed)?;
    let (scheme, rest) = field.split_at_checked(at).ok_or(Malformed)?;
    let value = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"basic") {
        basic(value).ok_or(Malformed)
    } else if scheme.eq_ignore_ascii_case(b"bearer") {
        // RFC 6750 section 2.1: b64token.
        let token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
        match !value.is_empty() && value.iter().all(token) {
            true => Ok(Offered::Bearer(Secret::new(value))),
            false => Err(Malformed),
        }
    } else {
        Ok(Offered::Nothing)
    }
}

/// RFC 7617 section 2: the first colon ends the user-id; section 2.1: the charset is UTF-8.
fn basic(value: &[u8]) -> Option<Offered> {
    let pair = decode_base64(value).ok()?;
    let at = pair.expose().iter().position(|octet| *octet == b':')?;
    let (login, rest) = pair.expose().split_at_checked(at)?;
    let login = std::str::from_utf8(login).ok()?;
    let password = std::str::from_utf8(rest.get(1..)?).ok()?;
    // Section 2: neither may hold a control character.
    let plain = |text: &str| !text.chars().any(|c| c.is_ascii_control());
    let good = !login.is_empty() && login.len() <= MAX_LOGIN && plain(login) && plain(password);
    good.then(|| Offered::Basic {
        login: login.to_owned(),
        password: password.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use wire::sasl::encode_base64;

    fn read(fields: &[&str]) -> Result<Offered, Malformed> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(
                AUTHORIZATION,
                HeaderValue::from_bytes(field.as_bytes()).expect("a value"),
            );
        }
        offered(&headers)
    }

    #[test]
    fn fields() {
        let basic = |pair: &str| format!("bAsIc  {} ", encode_base64(pair.as_bytes()));
        let Ok(Offered::Basic { login, password }) = read(&[&basic("al\u{ef}ce@example.test:a:b\u{e9}")])
        else {
            panic!("not read");
        };
        assert_eq!(login, "al\u{ef}ce@example.test");
        assert_eq!(password.expose(), "a:b\u{e9}".as_bytes());
        assert!(matches!(read(&["Bearer a.b-c"]), Ok(Offered::Bearer(token)) if token.expose() == b"a.b-c"));
        assert!(matches!(read(&[]), Ok(Offered::Nothing)));
        assert!(matches!(read(&["Digest x=y"]), Ok(Offered::Nothing)));
        let long = basic(&format!("{}:x", "a".repeat(MAX_LOGIN + 1)));
        for bad in [
            "Basic",
            "Basic %",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            &basic("alice"),
            &basic(":x"),
            &basic("a\r:x"),
            &basic("a:\0"),
            &long,
        ] {
            assert_eq!(read(&[bad]).map(drop), Err(Malformed), "{bad}");
        }
        assert_eq!(read(&["Basic \u{e9}"]).map(drop), Err(Malformed));
        assert_eq!(read(&["Bearer a", "Bearer b"]).map(drop), Err(Malformed));
    }
}
