//! The pages of the front end itself: plain HTML without a script, fit for a screen reader and a small screen.

use super::body::Outgoing;
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

/// Where they are. A home's own paths are everything else.
pub(super) const LOGIN: &str = "/.homing/login";
pub(super) const LOGOUT: &str = "/.homing/logout";
/// Where other front ends tell of logouts.
pub(super) const LOGOUTS: &str = "/.homing/logouts";
pub(super) const STYLE: &str = "/.homing/style.css";
/// Everything below it is ours.
pub(super) const PREFIX: &str = "/.homing/";

const CSS: &str = include_str!("style.css");

/// Nothing from elsewhere, no script, no frame around it; forms go back to where they came from.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the login page shows.
#[derive(Debug, Clone, Default)]
pub(super) struct LoginPage<'a> {
    pub(super) title: &'a str,
    /// What was wrong the last time.
    pub(super) error: Option<&'a str>,
    /// The login that was typed.
    pub(super) login: &'a str,
    /// Where to go then.
    pub(super) to: &'a str,
    /// What the form has to come back with.
    pub(super) token: &'a str,
}

impl LoginPage<'_> {
    pub(super) fn html(&self) -> String {
        let (error, described) = match self.error {
            Some(text) => (
                format!(
                    "<p class=\"error\" id=\"error\" role=\"alert\">{}</p>\n",
                    escape(text)
                ),
                " aria-describedby=\"error\"",
            ),
            None => (String::new(), ""),
        };
        // Whoever has to try again has typed the name already.
        let (at_login, at_password) = match self.login.is_empty() {
            true => (" autofocus", ""),
            false => ("", " autofocus"),
        };
        let body = format!(
            "{error}<form method=\"post\" action=\"{LOGIN}\">\n\
             <input type=\"hidden\" name=\"token\" value=\"{}\">\n\
             <input type=\"hidden\" name=\"to\" value=\"{}\">\n\
             <label for=\"login\">Mail address</label>\n\
             <input id=\"login\" name=\"login\" type=\"text\" value=\"{}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" inputmode=\"email\" required{at_login}{described}>\n\
             <label for=\"password\">Password</label>\n\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" \
             required{at_password}{described}>\n\
             <button type=\"submit\">Log in</button>\n</form>",
            escape(self.token),
            escape(self.to),
            escape(self.login),
        );
        document(&format!("Log in to {}", self.title), &body)
    }
}

/// Asks whether to log out.
pub(super) fn logout(title: &str, login: &str, token: &str) -> String {
    let body = format!(
        "<p>You are logged in as <strong>{}</strong>.</p>\n\
         <form method=\"post\" action=\"{LOGOUT}\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\n\
         <button type=\"submit\">Log out</button>\n</form>",
        escape(login),
        escape(token),
    );
    document(title, &body)
}

/// One sentence, and where to go on.
pub(super) fn notice(title: &str, text: &str, link: Option<(&str, &str)>) -> String {
    let link = link.map_or_else(String::new, |(to, name)| {
        format!("\n<p><a href=\"{}\">{}</a></p>", escape(to), escape(name))
    });
    document(title, &format!("<p>{}</p>{link}", escape(text)))
}

fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE}\">\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n\
         </body>\n</html>\n"
    )
}

/// Text as text, in an element or between double quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A page.
pub(super) fn html(status: StatusCode, html: String) -> Response<Outgoing> {
    answer(status, "text/html; charset=utf-8", html.into())
}

/// A line for programs.
pub(super) fn text(status: StatusCode, text: &str) -> Response<Outgoing> {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n").into())
}

/// The style sheet of the pages.
pub(super) fn style() -> Response<Outgoing> {
    let mut response = answer(
        StatusCode::OK,
        "text/css; charset=utf-8",
        Bytes::from_static(CSS.as_bytes()),
    );
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(headers);
    response
}

/// The fields of everything that this server says by itself.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With "no-referrer" browsers hide where a form comes from, and it could not be told from another site's.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_stays_text() {
        let page = LoginPage {
            title: "<b>",
            error: Some("a & b"),
            login: "\"><script>alert(1)</script>",
            to: "/?q='x'",
            token: "t",
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;"));
        assert!(html.contains("a &amp; b") && html.contains("value=\"/?q=&#39;x&#39;\""));
        for label in [
            "for=\"login\"",
            "id=\"login\"",
            "for=\"password\"",
            "id=\"password\"",
            "lang=\"en\"",
            "role=\"alert\"",
        ] {
            assert!(html.contains(label), "{label}");
        }
    }
}
