//! The cookie of a login: a sealed ticket that every front end with the same keys can read (RFC 6265).
//!
//! It holds what was typed into the form, so that each front end checks the login by itself: with the password
//! changed or the account closed, the ticket is worth nothing, and nobody had to remember it.

use super::keys::SessionKeys;
use super::logouts::{Logout, Owner};
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use model::{Secret, Timestamp};
use std::time::Duration;

/// Tells a ticket from anything else that is sealed with the same keys.
const PURPOSE: &[u8] = b"homing-http-ticket-2";
/// Longest login and password.
const MAX_TEXT: usize = 1024;

/// The number of a ticket.
pub(super) type TicketId = [u8; 16];

/// A login by the form.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) id: TicketId,
    /// Whose it is, whatever was typed.
    pub(super) owner: Owner,
    /// Seconds since the epoch.
    pub(super) expires: u64,
    pub(super) login: String,
    pub(super) password: Secret,
}

impl Ticket {
    /// A new one, whose owner is to be found out; none when it could not be kept in a cookie.
    pub(super) fn new(login: &str, password: Secret, expires: Timestamp) -> Option<Self> {
        let fits = login.len() <= MAX_TEXT && password.expose().len() <= MAX_TEXT;
        let id = net::fresh_random().ok()?;
        fits.then(|| Self {
            id,
            owner: Owner::default(),
            expires: expires.as_secs(),
            login: login.to_owned(),
            password,
        })
    }

    /// What there is to remember when it is given up.
    pub(super) fn given_up(&self, now: Timestamp) -> Logout {
        Logout {
            ticket: self.id,
            owner: self.owner,
            given_up: now.as_secs(),
            expires: self.expires,
        }
    }

    pub(super) fn seal(&self, keys: &SessionKeys) -> Option<String> {
        let length = u16::try_from(self.login.len()).ok()?;
        let text = [
            &self.id[..],
            &self.owner,
            &self.expires.to_be_bytes(),
            &length.to_be_bytes(),
            self.login.as_bytes(),
            self.password.expose(),
        ];
        keys.seal(PURPOSE, &Secret::new(text.concat()))
    }

    /// Reads one that has not expired.
    pub(super) fn open(sealed: &str, keys: &SessionKeys, now: Timestamp) -> Option<Self> {
        if sealed.len() > 4 * MAX_TEXT {
            return None;
        }
        let text = keys.open(PURPOSE, sealed)?;
        let ticket = Self::decode(text.expose())?;
        (now.as_secs() < ticket.expires).then_some(ticket)
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let (id, rest) = text.split_first_chunk::<16>()?;
        let (owner, rest) = rest.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (login, password) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some(Self {
            id: *id,
            owner: *owner,
            expires: u64::from_be_bytes(*expires),
            login: String::from_utf8(login.to_vec()).ok()?,
            password: Secret::new(password),
        })
    }
}

/// The two cookies of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A login.
    Ticket,
    /// What a form has to come back with.
    Form,
}

impl Name {
    /// RFC 6265bis section 4.1.3.2: browsers let nobody but this very host set a `__Host-` cookie, and only over TLS.
    const fn text(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Ticket, true) => "__Host-homing",
            (Self::Ticket, false) => "homing",
            (Self::Form, true) => "__Host-homing-form",
            (Self::Form, false) => "homing-form",
        }
    }

    fn is_ours(name: &str) -> bool {
        [true, false].into_iter().any(|secure| {
            [Self::Ticket, Self::Form]
                .into_iter()
                .any(|known| known.text(secure) == name)
        })
    }

    /// The field that sets it; a value of nothing removes it.
    pub(super) fn set(self, secure: bool, value: &str, lasts: Duration) -> Option<HeaderValue> {
        let attributes = match (self, secure) {
            (Self::Ticket, true) => "HttpOnly; SameSite=Lax; Secure",
            (Self::Ticket, false) => "HttpOnly; SameSite=Lax",
            (Self::Form, true) => "HttpOnly; SameSite=Strict; Secure",
            (Self::Form, false) => "HttpOnly; SameSite=Strict",
        };
        let text = format!(
            "{}={value}; Path=/; Max-Age={}; {attributes}",
            self.text(secure),
            lasts.as_secs()
        );
        HeaderValue::try_from(text).ok()
    }

    /// Its values in a request: more than one when somebody else has set one.
    pub(super) fn values(self, headers: &HeaderMap, secure: bool) -> impl Iterator<Item = &str> {
        pairs(headers)
            .map(name_and_value)
            .filter(move |(name, _)| *name == self.text(secure).as_bytes())
            .filter_map(|(_, value)| std::str::from_utf8(value?).ok())
            .take(4)
    }
}

/// In octets: browsers send what a page has set, in any character set, and one such cookie must not hide the others.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}

fn name_and_value(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or_default(), parts.next())
}

/// Leaves only the home's own cookies in a request, in one field (RFC 9113 section 8.2.3).
pub(super) fn strip_request(headers: &mut HeaderMap) {
    let is_ours = |pair: &[u8]| {
        let name = std::str::from_utf8(name_and_value(pair).0.trim_ascii());
        name.is_ok_and(Name::is_ours)
    };
    let kept: Vec<&[u8]> = pairs(headers).filter(|pair| !is_ours(pair)).collect();
    let text = kept.join(&b"; "[..]);
    headers.remove(COOKIE);
    if !text.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&text)
    {
        headers.insert(COOKIE, value);
    }
}

/// A home may not log its users in or out of the front end.
pub(super) fn strip_response(headers: &mut HeaderMap) {
    let name_of = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let name = text.split([';', '=']).next().unwrap_or_default();
        name.trim().to_owned()
    };
    let all: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    if all.iter().any(|value| Name::is_ours(&name_of(value))) {
        headers.remove(SET_COOKIE);
        for value in all.into_iter().filter(|value| !Name::is_ours(&name_of(value))) {
            headers.append(SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::scratch;
    use super::*;
    use model::Clock as _;
    use proptest::prelude::*;

    fn cookies(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::try_from(*field).expect("a value"));
        }
        headers
    }

    #[test]
    fn a_ticket_is_good_until_it_expires() {
        let (_dir, clock, keys) = scratch();
        let expires = clock.now().after(Duration::from_secs(60));
        let mut ticket = Ticket::new("alice@example.test", "pass;word=".into(), expires).expect("fits");
        ticket.owner = [7; 8];
        let sealed = ticket.seal(&keys).expect("sealed");
        assert!(!sealed.contains("alice") && !sealed.contains("pass"));
        let opened = Ticket::open(&sealed, &keys, clock.now()).expect("good");
        assert_eq!(
            (opened.id, opened.owner, opened.login.as_str()),
            (ticket.id, [7; 8], "alice@example.test")
        );
        assert_eq!(opened.password.expose(), b"pass;word=");
        assert!(Ticket::open(&sealed, &keys, expires).is_none());
        let long = "x".repeat(MAX_TEXT);
        let longest = Ticket::new(&long, long.as_str().into(), expires).expect("fits");
        let value = Name::Ticket.set(
            true,
            &longest.seal(&keys).expect("sealed"),
            Duration::from_secs(1),
        );
        // RFC 6265 section 6.1: browsers keep 4096 octets.
        assert!(value.is_some_and(|value| value.len() < 4096));
        assert!(Ticket::new(&format!("{long}x"), "x".into(), expires).is_none());
    }

    #[test]
    fn homes_see_only_their_own_cookies() {
        let mut headers = cookies(&["a=1; __Host-homing=x;b=2", "homing-form=y", "c=3; homing=z"]);
        assert_eq!(Name::Ticket.values(&headers, true).collect::<Vec<_>>(), ["x"]);
        assert_eq!(Name::Ticket.values(&headers, false).collect::<Vec<_>>(), ["z"]);
        strip_request(&mut headers);
        assert_eq!(
            headers.get_all(COOKIE).iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3"]
        );
        let mut only = cookies(&["homing=z"]);
        strip_request(&mut only);
        assert!(only.is_empty());
    }

    /// Any page of a sibling host can set such a cookie, and browsers send it as it is.
    #[test]
    fn a_cookie_in_another_character_set_hides_none() {
        let mut headers = HeaderMap::new();
        let field = b"x=caf\xe9; __Host-homing=ticket; y=\xff\xfe; b=gr\xc3\xbcn; __Host-homing-form=\xe9";
        headers.append(COOKIE, HeaderValue::from_bytes(field).expect("a value"));
        assert_eq!(
            Name::Ticket.values(&headers, true).collect::<Vec<_>>(),
            ["ticket"]
        );
        assert_eq!(Name::Form.values(&headers, true).count(), 0);
        strip_request(&mut headers);
        let kept: Vec<&[u8]> = headers
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(kept, [&b"x=caf\xe9; y=\xff\xfe; b=gr\xc3\xbcn"[..]]);
    }

    #[test]
    fn homes_set_only_their_own_cookies() {
        let mut headers = HeaderMap::new();
        for value in [
            "a=1",
            " __Host-homing =evil; Path=/",
            "homing=; Max-Age=0",
            "b=2; Secure",
        ] {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
        }
        strip_response(&mut headers);
        assert_eq!(
            headers.get_all(SET_COOKIE).iter().collect::<Vec<_>>(),
            ["a=1", "b=2; Secure"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_decoded_or_refused(text: Vec<u8>) {
            if let Some(ticket) = Ticket::decode(&text) {
                prop_assert!(ticket.login.len() + ticket.password.expose().len() + 34 == text.len());
            }
        }
    }
}
