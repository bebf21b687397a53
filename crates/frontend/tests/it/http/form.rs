//! Logging in and out at the page.

use super::app::App;
use super::{ALICE, Answer, Setup, Web, web};
use net::{SessionEnd, SessionFilter};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml\r\n";

pub(super) fn cookie_of(answer: &Answer, name: &str) -> Option<String> {
    let wanted = format!("{name}=");
    let set = answer.fields("set-cookie");
    let field = set.iter().find(|field| field.starts_with(&wanted))?;
    field.split(';').next().map(str::to_owned)
}

pub(super) fn value_of(html: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = html.split(&start).nth(1).expect("a hidden field");
    rest.split('"').next().expect("its end").to_owned()
}

pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(pairs);
    out.finish()
}

pub(super) async fn post(web: &Web, path: &str, fields: &str, body: &str) -> Answer {
    web.raw(&format!(
        "POST {path} HTTP/1.1\r\nHost: mail.example.test\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{fields}\r\n{body}",
        body.len()
    ))
    .await
}

/// The page's cookie and token.
async fn page(web: &Web) -> (String, String) {
    let page = web.anonymous("/.homing/login?to=%2Finbox%3Fa%3Db", BROWSER).await;
    assert_eq!(page.status, 200);
    let cookie = cookie_of(&page, "homing-form").expect("a cookie");
    (cookie, value_of(&page.body, "token"))
}

async fn try_password(web: &Web, password: &str) -> Answer {
    let (cookie, token) = page(web).await;
    let body = encoded(&[
        ("token", &token),
        ("to", "/inbox?a=b"),
        ("login", ALICE),
        ("password", password),
    ]);
    let origin = "Origin: http://mail.example.test\r\nSec-Fetch-Site: same-origin\r\n";
    post(
        web,
        "/.homing/login",
        &format!("Cookie: {cookie}\r\n{origin}"),
        &body,
    )
    .await
}

/// The field with the cookie of a good login.
pub(super) async fn log_in(web: &Web) -> String {
    let done = try_password(web, "secret").await;
    assert_eq!(
        (done.status, done.field("location")),
        (303, Some("/inbox?a=b")),
        "{done:?}"
    );
    format!("Cookie: {}\r\n", cookie_of(&done, "homing").expect("a ticket"))
}

#[tokio::test]
async fn people_are_sent_to_the_page_and_programs_are_not() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let sent = web.anonymous("/inbox?a=b&c", BROWSER).await;
    assert_eq!(sent.status, 303);
    assert_eq!(
        sent.field("location"),
        Some("/.homing/login?to=%2Finbox%3Fa%3Db%26c")
    );
    let script = web
        .anonymous("/", &format!("{BROWSER}Sec-Fetch-Mode: cors\r\n"))
        .await;
    assert_eq!(script.status, 401);
    // A browser would ask for a password beside the page.
    assert!(
        script
            .field("www-authenticate")
            .is_some_and(|field| field.starts_with("Form "))
    );
    let page = web.anonymous("/.homing/login?to=//evil.test/", BROWSER).await;
    assert_eq!(value_of(&page.body, "to"), "/");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(page.field(name), Some(value));
    }
    assert!(
        page.field("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert!(
        page.field("strict-transport-security").is_none(),
        "not without TLS, not on loopback"
    );
    let cookie = page.field("set-cookie").expect("one");
    assert!(cookie.ends_with("HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(
        web.anonymous("/.homing/style.css", "")
            .await
            .field("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(web.anonymous("/.homing/else", "").await.status, 404);
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn a_login_opens_the_home_until_the_logout() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let ticket = log_in(&web).await;
    assert!(!ticket.contains("secret"));
    let inbox = web.anonymous("/inbox?a=b", &ticket).await;
    assert_eq!((inbox.status, inbox.body.as_str()), (200, "hello"));
    let seen = app.seen().remove(0);
    assert_eq!(seen.field("cookie"), None, "the ticket is not the home's");
    assert!(
        seen.field("authorization")
            .is_some_and(|field| field.starts_with("Basic "))
    );
    assert_eq!(web.context.sessions.len(), 1);

    let ask = web.anonymous("/.homing/logout", &ticket).await;
    assert!(ask.body.contains(ALICE) && ask.body.contains("Log out"));
    let body = encoded(&[("token", &value_of(&ask.body, "token"))]);
    let forged = post(&web, "/.homing/logout", &ticket, "token=1.x").await;
    assert_eq!(forged.status, 403);
    assert_eq!(web.anonymous("/", &ticket).await.status, 200, "still logged in");
    let done = post(&web, "/.homing/logout", &ticket, &body).await;
    assert_eq!(done.status, 200);
    assert!(
        done.field("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("homing=; "))
    );
    assert_eq!(
        web.anonymous("/", &ticket).await.status,
        401,
        "a copy of the cookie is worth nothing here"
    );
    super::until(|| web.context.sessions.is_empty()).await;
}

#[tokio::test]
async fn wrong_logins_see_the_page_again() {
    let app = App::start().await;
    let web = web(&app.name).await;
    for (password, status, text) in [
        ("wrong", 403, "The name or the password is wrong."),
        ("", 403, "The name or the password is wrong."),
        ("expired", 403, "The password or the account has expired."),
        (
            "directory down",
            503,
            "Logins cannot be checked now; try again later.",
        ),
    ] {
        let again = try_password(&web, password).await;
        assert_eq!(again.status, status, "{password}");
        assert!(
            again.body.contains(text) && again.body.contains("role=\"alert\""),
            "{}",
            again.body
        );
        assert!(again.body.contains("value=\"alice@example.test\""));
        assert!(password.is_empty() || !again.body.contains(&format!("\"{password}\"")));
        assert!(cookie_of(&again, "homing").is_none());
        assert_eq!(again.field("retry-after").is_some(), status == 503);
    }
}

#[tokio::test]
async fn other_sites_cannot_log_anybody_in() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let (cookie, token) = page(&web).await;
    let good = encoded(&[("token", &token), ("login", ALICE), ("password", "secret")]);
    let field = format!("Cookie: {cookie}\r\n");
    let (other, _) = page(&web).await;
    let tampered = encoded(&[
        ("token", &token.replacen('1', "9", 1)),
        ("login", ALICE),
        ("password", "secret"),
    ]);
    for (fields, body, why) in [
        (String::new(), &good, "without the cookie"),
        (
            format!("Cookie: {other}\r\n"),
            &good,
            "with another page's cookie",
        ),
        (field.clone(), &tampered, "with another expiry"),
        (
            format!("{field}Origin: https://evil.test\r\n"),
            &good,
            "from another site",
        ),
        (format!("{field}Origin: null\r\n"), &good, "from nowhere"),
        (
            format!("{field}Sec-Fetch-Site: cross-site\r\n"),
            &good,
            "as the browser says",
        ),
        (
            format!("{field}Sec-Fetch-Site: same-site\r\n"),
            &good,
            "from a neighbour",
        ),
    ] {
        let refused = post(&web, "/.homing/login", &fields, body).await;
        assert_eq!(refused.status, 403, "{why}");
        assert!(cookie_of(&refused, "homing").is_none(), "{why}");
    }
    let done = post(&web, "/.homing/login", &field, &good).await;
    assert_eq!(done.status, 303, "and it was good all the same");
    let ticket = log_in(&web).await;
    let write = post(
        &web,
        "/mail",
        &format!("{ticket}Origin: https://evil.test\r\n"),
        "a=b",
    )
    .await;
    assert_eq!(write.status, 403, "nor act for somebody who is logged in");
}

#[tokio::test]
async fn any_front_end_with_the_keys_takes_the_cookie() {
    let app = App::start().await;
    let one = web(&app.name).await;
    let ticket = log_in(&one).await;
    let two = Setup {
        keys: Some(one.keys.clone()),
        ..Setup::default()
    };
    let two = two.start(&app.name).await;
    assert_eq!(two.anonymous("/", &ticket).await.status, 200);
    // A page of one may be sent to the other.
    let (cookie, token) = page(&one).await;
    let body = encoded(&[("token", &token), ("login", ALICE), ("password", "secret")]);
    assert_eq!(
        post(&two, "/.homing/login", &format!("Cookie: {cookie}\r\n"), &body)
            .await
            .status,
        303
    );
    let stranger = web(&app.name).await;
    assert_eq!(stranger.anonymous("/", &ticket).await.status, 401);
    // A new key: what the old one has sealed goes on.
    frontend::http::SessionKeys::rotate(&one.keys).expect("rotated");
    assert_eq!(two.anonymous("/", &ticket).await.status, 200);
}

#[tokio::test]
async fn who_is_kicked_logs_in_again() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let ticket = log_in(&web).await;
    assert_eq!(web.anonymous("/", &ticket).await.status, 200);
    assert_eq!(
        web.context
            .sessions
            .end(&SessionFilter::default(), SessionEnd::Kicked),
        1
    );
    super::until(|| web.context.sessions.is_empty()).await;
    let refused = web.anonymous("/", &format!("{ticket}{BROWSER}")).await;
    assert_eq!(refused.status, 303);
    assert!(
        refused
            .field("location")
            .is_some_and(|to| to.starts_with("/.homing/login"))
    );
}

#[tokio::test]
async fn without_the_form_browsers_use_basic() {
    let app = App::start().await;
    let mut setup = Setup::default();
    setup.config.login_form = false;
    let web = setup.start(&app.name).await;
    let asked = web.anonymous("/", BROWSER).await;
    assert_eq!(asked.status, 401);
    assert!(
        asked
            .field("www-authenticate")
            .is_some_and(|field| field.starts_with("Basic "))
    );
    assert_eq!(web.anonymous("/.homing/login", BROWSER).await.status, 404);
}
