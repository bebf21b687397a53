//! Logging in and out at a page. A form is taken only from a page of this very server, which has shown it to this
//! very browser (a token in the form, signed for a cookie).

use super::body::Outgoing;
use super::cookie::{Name, Ticket};
use super::logins::{Brought, InUse, is_wrong};
use super::logouts;
use super::page::{self, LoginPage};
use super::reply::Fault;
use super::request;
use super::service::{Exchange, HttpProxy, Visit, see_other};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use model::Secret;
use std::time::Duration;
use wire::sasl::encode_base64;

/// The largest form.
const MAX_FORM: usize = 16 * 1024;
/// How long a page may stay open before it is sent.
const FORM_FOR: Duration = Duration::from_secs(3600);

/// What came back.
#[derive(Default)]
struct Form {
    login: String,
    password: Secret,
    to: String,
    token: String,
}

impl HttpProxy {
    /// The pages of this server.
    pub(super) async fn own(
        &self,
        exchange: &Exchange<'_>,
        body: Incoming,
    ) -> Result<Response<Outgoing>, Fault> {
        let Exchange { parts, visit, .. } = *exchange;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let posts = parts.method == Method::POST;
        match (visit.target.path.path(), reads, posts) {
            (page::STYLE, true, _) => Ok(page::style()),
            (page::LOGIN, ..) if !self.config.login_form => {
                Ok(page::text(StatusCode::NOT_FOUND, "There is no such page."))
            }
            (page::LOGIN | page::LOGOUT, ..) if !visit.may_log_in => Err(Fault::Clear),
            (page::LOGIN, true, _) => {
                let to = to_of(parts);
                self.login_page(
                    exchange,
                    &LoginPage {
                        to: &to,
                        ..LoginPage::default()
                    },
                )
            }
            (page::LOGIN, _, true) => {
                let form = self.read(exchange, body).await?;
                self.log_in(exchange, form).await
            }
            (page::LOGOUT, true, _) => Ok(self.logout_page(parts, visit)),
            (page::LOGOUT, _, true) => {
                let form = self.read(exchange, body).await?;
                self.log_out(exchange, &form).await
            }
            (page::LOGOUTS, _, true) => self.hear(exchange, body).await,
            (page::STYLE | page::LOGIN | page::LOGOUT, ..) => Err(Fault::Method),
            _ => Ok(page::text(StatusCode::NOT_FOUND, "There is no such page.")),
        }
    }

    /// Shows the form. The browser gets a cookie of its own for it, unless it has one.
    fn login_page(
        &self,
        exchange: &Exchange<'_>,
        shown: &LoginPage<'_>,
    ) -> Result<Response<Outgoing>, Fault> {
        let Exchange { parts, visit, .. } = *exchange;
        let known = Name::Form.values(&parts.headers, visit.secure).next();
        let known = known.filter(|value| is_form_cookie(value)).map(str::to_owned);
        let cookie = match known {
            Some(cookie) => cookie,
            None => {
                let random: [u8; 16] =
                    net::fresh_random().map_err(|_| Fault::Own("there is no randomness"))?;
                encode_base64(&random)
            }
        };
        let token = self.token("login", &cookie);
        let html = LoginPage {
            title: self.title(),
            token: &token,
            ..shown.clone()
        }
        .html();
        let mut response = page::html(StatusCode::OK, html);
        let cookie = Name::Form.set(visit.secure, &cookie, FORM_FOR);
        response
            .headers_mut()
            .extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        Ok(response)
    }

    async fn log_in(&self, exchange: &Exchange<'_>, form: Form) -> Result<Response<Outgoing>, Fault> {
        let Exchange { door, parts, visit } = *exchange;
        let again = |error: &'static str| {
            let shown = LoginPage {
                error: Some(error),
                login: &form.login,
                to: &form.to,
                ..LoginPage::default()
            };
            self.login_page(exchange, &shown)
        };
        let cookie = Name::Form.values(&parts.headers, visit.secure).next();
        if !cookie.is_some_and(|cookie| self.is_token("login", cookie, &form.token)) {
            let page = again("This page was open for too long, or cookies are turned off. Try again.");
            return page.map(|page| with_status(page, StatusCode::FORBIDDEN));
        }
        let expires = self.gate.context.clock.now().after(self.limits.session_lifetime);
        let Some(ticket) = Ticket::new(&form.login, form.password.clone(), expires) else {
            let page = again("The name or the password is wrong.");
            return page.map(|page| with_status(page, StatusCode::FORBIDDEN));
        };
        let brought = Brought::Ticket(ticket.clone());
        let limit = self.config.account_requests;
        let entered = self.logins.enter(&brought, &self.gate, &visit.peer, limit).await;
        let fault = match entered {
            Ok(login) => return self.logged_in(visit, &form, ticket, &login),
            Err(fault) => fault,
        };
        let wrong = is_wrong(&fault);
        if wrong {
            door.count_failure(self.config.max_login_failures);
        }
        let mut page = again(fault.text())?;
        if let Some(seconds) = fault.retry_after() {
            page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // A 401 would have to come with a challenge, and browsers would show their own dialogue.
        let status = if wrong {
            StatusCode::FORBIDDEN
        } else {
            fault.status()
        };
        Ok(with_status(page, status))
    }

    /// Hands out the cookie of a login that was right.
    fn logged_in(
        &self,
        visit: &Visit,
        form: &Form,
        ticket: Ticket,
        login: &InUse,
    ) -> Result<Response<Outgoing>, Fault> {
        let owner = logouts::owner(login.login().address());
        let ticket = Ticket { owner, ..ticket };
        let sealed = ticket.seal(&self.keys).ok_or(Fault::Own("there is no key"))?;
        let mut response = see_other(&local_path(&form.to));
        let headers = response.headers_mut();
        // The form's own cookie has done its work: the next login gets another one.
        for cookie in [
            Name::Ticket.set(visit.secure, &sealed, self.limits.session_lifetime),
            Name::Form.set(visit.secure, "", Duration::ZERO),
        ] {
            headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        }
        Ok(response)
    }

    fn logout_page(&self, parts: &Parts, visit: &Visit) -> Response<Outgoing> {
        let html = match self.ticket(&parts.headers, visit) {
            Some(ticket) => {
                let token = self.token("logout", &encode_base64(&ticket.id));
                page::logout(self.title(), &ticket.login, &token)
            }
            None => self.logged_out(),
        };
        page::html(StatusCode::OK, html)
    }

    fn logged_out(&self) -> String {
        page::notice(
            self.title(),
            "You are logged out.",
            Some((page::LOGIN, "Log in again")),
        )
    }

    async fn log_out(&self, exchange: &Exchange<'_>, form: &Form) -> Result<Response<Outgoing>, Fault> {
        let Exchange { parts, visit, .. } = *exchange;
        if let Some(ticket) = self.ticket(&parts.headers, visit) {
            if !self.is_token("logout", &encode_base64(&ticket.id), &form.token) {
                return Err(Fault::CrossSite);
            }
            let number = self.logins.log_out(&ticket);
            self.neighbours.hear_of(number).await;
            tracing::info!(
                protocol = "http", trace = %visit.peer.trace, client = %visit.peer.client, login = ticket.login,
                "logged out"
            );
        }
        let mut response = page::html(StatusCode::OK, self.logged_out());
        let headers = response.headers_mut();
        let cookie = Name::Ticket.set(visit.secure, "", Duration::ZERO);
        headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        // What the home's pages have kept in the browser is not for whoever comes next.
        headers.insert("clear-site-data", HeaderValue::from_static("\"cache\""));
        Ok(response)
    }

    /// Reads a form that a page of this server may have sent.
    async fn read(&self, exchange: &Exchange<'_>, body: Incoming) -> Result<Form, Fault> {
        let Exchange { parts, visit, .. } = *exchange;
        let kind = request::is_cross_site(&parts.method, visit.target.kind, &parts.headers, visit.site());
        if kind || is_elsewhere(&parts.headers) {
            return Err(Fault::CrossSite);
        }
        let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.unwrap_or_default().split(|octet| *octet == b';').next();
        let encoded = b"application/x-www-form-urlencoded";
        if !kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(encoded)) {
            return Err(Fault::Malformed("this is no form"));
        }
        let whole = Limited::new(body, MAX_FORM).collect();
        let whole = tokio::time::timeout(self.limits.body_timeout, whole).await;
        let whole = whole.map_err(|_| Fault::Slow)?.map_err(|_| Fault::TooLarge)?;
        let text = Secret::new(whole.to_bytes().to_vec());
        let mut form = Form::default();
        for (name, value) in url::form_urlencoded::parse(text.expose()) {
            match &*name {
                "login" => form.login = value.trim().to_owned(),
                "password" => form.password = Secret::from(value.into_owned()),
                "to" => form.to = value.into_owned(),
                "token" => form.token = value.into_owned(),
                _ => {}
            }
        }
        Ok(form)
    }

    /// What a form has to come back with: `EXPIRY.SIGNATURE`.
    fn token(&self, purpose: &str, cookie: &str) -> String {
        let expires = self.gate.context.clock.now().after(FORM_FOR).as_secs();
        let signature = self.keys.sign(signed_text(purpose, cookie, expires).as_bytes());
        format!("{expires}.{signature}")
    }

    fn is_token(&self, purpose: &str, cookie: &str, token: &str) -> bool {
        let Some((expires, signature)) = token.split_once('.') else {
            return false;
        };
        let Ok(expires) = expires.parse::<u64>() else {
            return false;
        };
        self.gate.context.clock.now().as_secs() < expires
            && self
                .keys
                .is_signed(signed_text(purpose, cookie, expires).as_bytes(), signature)
    }
}

fn signed_text(purpose: &str, cookie: &str, expires: u64) -> String {
    format!("{purpose} {expires} {cookie}")
}

fn is_form_cookie(value: &str) -> bool {
    value.len() == 24 && wire::sasl::decode_base64(value.as_bytes()).is_ok()
}

/// Browsers say by themselves where a request comes from.
fn is_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    !matches!(site, None | Some(b"same-origin" | b"none"))
}

fn to_of(parts: &Parts) -> String {
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let to = pairs
        .find(|(name, _)| name == "to")
        .map(|(_, value)| value.into_owned());
    local_path(&to.unwrap_or_default())
}

/// A path on this server, or its root: a login must not send people elsewhere.
fn local_path(to: &str) -> String {
    let mut rest = to.chars().skip(1);
    let is_path = to.starts_with('/') && !matches!(rest.next(), Some('/' | '\\'));
    let plain = to.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    match is_path && plain && to.len() <= 2048 && !to.starts_with(page::PREFIX) {
        true => to.to_owned(),
        false => "/".to_owned(),
    }
}

fn with_status(mut response: Response<Outgoing>, status: StatusCode) -> Response<Outgoing> {
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for (to, path) in [
            ("/mail/?a=b&c", "/mail/?a=b&c"),
            ("", "/"),
            ("mail", "/"),
            ("//evil.test/", "/"),
            ("/\\evil.test/", "/"),
            ("/a\\..\\b", "/"),
            ("https://evil.test/", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
            ("/\u{e9}", "/"),
            ("/\t/evil.test", "/"),
            ("/.homing/logout", "/"),
        ] {
            assert_eq!(local_path(to), path, "{to:?}");
        }
    }
}
