//! One request is one request: whatever could be read as two is refused, or written anew so that it cannot
//! (RFC 9112 section 11.2).

use super::app::App;
use super::{BASIC, web};

/// A second request that must never reach the home as one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: evil\r\n\r\n";

#[tokio::test]
async fn nothing_hides_inside_a_request() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let length = HIDDEN.len();
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let head = format!("POST /seen HTTP/1.1\r\nHost: a\r\n{BASIC}");
    for (text, why) in [
        (
            format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
            "CL.TE",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{chunked}"),
            "TE.CL",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}"),
            "TE.CL, short",
        ),
        (
            format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
            "two lengths",
        ),
        (
            format!("{head}Content-Length: 0, {length}\r\n\r\n{HIDDEN}"),
            "a list of lengths",
        ),
        (
            format!("{head}Content-Length: +{length}\r\n\r\n{HIDDEN}"),
            "a sign",
        ),
        (
            format!("{head}Content-Length: -1\r\n\r\n{HIDDEN}"),
            "a negative length",
        ),
        (
            format!("{head}Content-Length : 0\r\n\r\n{HIDDEN}"),
            "a space before the colon",
        ),
        (
            format!("{head}Transfer-Encoding: xchunked\r\n\r\n{chunked}"),
            "another coding",
        ),
        (
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{chunked}"),
            "chunked not last",
        ),
        (
            format!("{head}Transfer-Encoding: identity, chunked\r\n\r\n{chunked}"),
            "two codings",
        ),
        (
            format!("{head}Transfer-Encoding:\x0bchunked\r\n\r\n{chunked}"),
            "a vertical tab",
        ),
        (
            format!("{head}Transfer-Encoding\r\n : chunked\r\n\r\n{chunked}"),
            "a folded name",
        ),
        (
            format!("{head}X: y\r\n Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            "a folded value",
        ),
        (
            format!("{head}X: y\rTransfer-Encoding: chunked\r\n\r\n{chunked}"),
            "a bare CR",
        ),
        (format!("{head}X: y\0\r\n\r\n{HIDDEN}"), "a NUL"),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n{HIDDEN}"),
            "a bare LF in a chunk's line",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{HIDDEN}"),
            "a negative chunk",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{HIDDEN}"),
            "an endless chunk",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nxGET\r\n0\r\n\r\n{HIDDEN}"),
            "a chunk that is too long",
        ),
        (
            format!("POST /seen HTTP/1.0\r\nHost: a\r\n{BASIC}Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            "chunks in HTTP/1.0",
        ),
        (
            format!("POST /seen HTTP/1.1\r\nHost: a\r\nHost: b\r\n{BASIC}\r\n{HIDDEN}"),
            "two hosts",
        ),
        (
            format!("POST /seen HTTP/1.1 \r\nHost: a\r\n{BASIC}Content-Length: 0\r\n\r\n{HIDDEN}"),
            "a space after the version",
        ),
        (
            format!("POST /seen HTTP/1.2\r\nHost: a\r\n{BASIC}Content-Length: 0\r\n\r\n{HIDDEN}"),
            "another version",
        ),
        (
            format!("POST /a b HTTP/1.1\r\nHost: a\r\n{BASIC}Content-Length: 0\r\n\r\n{HIDDEN}"),
            "a space in the target",
        ),
        (
            format!(
                "GET /seen HTTP/1.1\r\nHost: a\r\n{BASIC}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: close\r\n\r\n"
            ),
            "h2c",
        ),
    ] {
        let answer = web.raw(&text).await;
        let seen = app.seen();
        assert!(seen.iter().all(|seen| seen.target == "/seen"), "{why}: {seen:?}");
        for seen in &seen {
            assert!(
                seen.field("upgrade").is_none() && seen.field("http2-settings").is_none(),
                "{why}"
            );
            // The frame is the front end's own: one way to tell the length.
            let both = seen.field("content-length").is_some() && seen.field("transfer-encoding").is_some();
            assert!(!both, "{why}");
            // A body that turned out malformed was cut off in the middle.
            let whole = [0, length, usize::MAX].contains(&seen.octets);
            assert!(whole, "{why}: {}", seen.octets);
        }
        assert!(
            !answer.body.contains("HTTP/1.1 "),
            "{why}: one answer and the end: {answer:?}"
        );
    }
    assert!(!app.seen().is_empty(), "some of them were requests");
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let one = format!("POST /one HTTP/1.1\r\nHost: a\r\n{BASIC}Content-Length: 3\r\n\r\nabc");
    let two = format!("GET /two HTTP/1.1\r\nHost: a\r\n{BASIC}Connection: close\r\n\r\n");
    let answer = web.raw(&format!("{one}{two}")).await;
    assert_eq!(
        format!("{}{}", answer.head, answer.body)
            .matches("HTTP/1.1 200")
            .count(),
        2
    );
    let seen: Vec<(String, usize)> = app
        .seen()
        .into_iter()
        .map(|seen| (seen.target, seen.octets))
        .collect();
    assert_eq!(seen, [("/one".to_owned(), 3), ("/two".to_owned(), 0)]);
}

#[tokio::test]
async fn methods_that_would_show_or_tunnel_are_refused() {
    let app = App::start().await;
    let web = web(&app.name).await;
    for (line, status) in [
        ("TRACE / HTTP/1.1", 405),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("GET http://a/absolute HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET nothing HTTP/1.1", 400),
    ] {
        let answer = web
            .raw(&format!("{line}\r\nHost: a\r\nConnection: close\r\n{BASIC}\r\n"))
            .await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.field("allow").is_some(), status == 405);
    }
    let targets: Vec<String> = app.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/absolute", "*"]);
}
