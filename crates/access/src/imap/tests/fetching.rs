//! RFC 3501 section 6.4.5.

use super::*;

const PLAIN: &str = "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nFrom: Bob <bob@example.test>\r\nTo: alice@example.test\r\n\
    Subject: Hello\r\nMessage-ID: <1@example.test>\r\n\r\nLine one\r\nLine two\r\n";
const MULTI: &str = "From: bob@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nText\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\nDeep\r\n--b--\r\n";

#[tokio::test]
async fn items_and_macros() {
    let server = server().await;
    let mut client = server.alice_with(&[PLAIN]).await;
    let fetched = client.ok("FETCH 1 FULL").await;
    assert_eq!(
        fetched,
        [format!(
            "* 1 FETCH (FLAGS () INTERNALDATE \" 2-Feb-2024 10:00:00 +0000\" RFC822.SIZE {} ENVELOPE (\"Mon, 1 Jan 2024 10:00:00 +0000\" \
             \"Hello\" ((\"Bob\" NIL \"bob\" \"example.test\")) ((\"Bob\" NIL \"bob\" \"example.test\")) \
             ((\"Bob\" NIL \"bob\" \"example.test\")) ((NIL NIL \"alice\" \"example.test\")) NIL NIL NIL \"<1@example.test>\") \
             BODY (\"TEXT\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 20 2))",
            PLAIN.len()
        )]
        .map(|line| line.replace("\"plain\" (\"charset\" \"us-ascii\")", &body_of(&fetched[0])))
    );
    assert_eq!(
        client.ok("UID FETCH 1 FLAGS").await,
        ["* 1 FETCH (UID 1 FLAGS ())"]
    );
    assert_eq!(client.ok("UID FETCH 7 FLAGS").await, [""; 0]);
    assert_eq!(client.ok("UID FETCH 7:* (UID)").await, ["* 1 FETCH (UID 1)"]);
    starts(&client.result("FETCH 2 FLAGS").await, "BAD");
}

/// RFC 2046 section 4.1.2 leaves the spelling of a default Content-Type to us: take what the store says.
fn body_of(fetched: &str) -> String {
    let at = fetched.find("BODY (\"TEXT\" ").expect("a body") + "BODY (\"TEXT\" ".len();
    let end = fetched[at..].find(" NIL NIL").expect("its end");
    let shown = fetched[at..at + end].to_owned();
    assert!(shown.to_ascii_lowercase().starts_with("\"plain\""), "{shown}");
    shown
}

#[tokio::test]
async fn sections() {
    let server = server().await;
    let mut client = server.alice_with(&[PLAIN, MULTI]).await;
    for (command, want) in [
        (
            "FETCH 1 BODY.PEEK[TEXT]",
            "BODY[TEXT] {20}\r\nLine one\r\nLine two\r\n",
        ),
        ("FETCH 1 BODY.PEEK[1]", "BODY[1] {20}\r\nLine one\r\nLine two\r\n"),
        ("FETCH 1 BODY.PEEK[TEXT]<5.3>", "BODY[TEXT]<5> {3}\r\none"),
        ("FETCH 1 BODY.PEEK[TEXT]<500.3>", "BODY[TEXT]<500> {0}\r\n"),
        (
            "FETCH 1 BODY.PEEK[HEADER.FIELDS (subject x)]",
            "BODY[HEADER.FIELDS (subject x)] {18}\r\nSubject: Hello\r\n\r\n",
        ),
        (
            "FETCH 1 RFC822.HEADER",
            &format!("RFC822.HEADER {{140}}\r\n{}", &PLAIN[..140]),
        ),
        ("FETCH 2 BODY.PEEK[1]", "BODY[1] {4}\r\nText"),
        (
            "FETCH 2 BODY.PEEK[1.MIME]",
            "BODY[1.MIME] {28}\r\nContent-Type: text/plain\r\n\r\n",
        ),
        (
            "FETCH 2 BODY.PEEK[2.HEADER]",
            "BODY[2.HEADER] {18}\r\nSubject: Inner\r\n\r\n",
        ),
        ("FETCH 2 BODY.PEEK[2.TEXT]", "BODY[2.TEXT] {4}\r\nDeep"),
        ("FETCH 2 BODY.PEEK[2.1]", "BODY[2.1] {4}\r\nDeep"),
        ("FETCH 2 BODY.PEEK[3]", "BODY[3] NIL"),
        (
            "FETCH 2 BODY.PEEK[]",
            &format!("BODY[] {{{}}}\r\n{MULTI}", MULTI.len()),
        ),
    ] {
        let fetched = client.ok(command).await;
        let number = &command[6..7];
        assert_eq!(fetched, [format!("* {number} FETCH ({want})")], "{command}");
    }
    assert_eq!(
        client.ok("FETCH 1:2 FLAGS").await,
        ["* 1 FETCH (FLAGS ())", "* 2 FETCH (FLAGS ())"]
    );
}

#[tokio::test]
async fn reading_sets_seen() {
    let server = server().await;
    let mut client = server.alice_with(&[PLAIN]).await;
    client.ok("EXAMINE INBOX").await;
    assert_eq!(
        client.ok("FETCH 1 BODY[1]<0.4>").await,
        ["* 1 FETCH (BODY[1]<0> {4}\r\nLine)"]
    );
    client.ok("SELECT INBOX").await;
    assert_eq!(
        client.ok("FETCH 1 BODY[1]<0.4>").await,
        ["* 1 FETCH (FLAGS (\\Seen) BODY[1]<0> {4}\r\nLine)"]
    );
    assert_eq!(
        client.ok("FETCH 1 BODY[1]<0.4>").await,
        ["* 1 FETCH (BODY[1]<0> {4}\r\nLine)"]
    );
    assert_eq!(client.ok("NOOP").await, [""; 0]);
}

#[tokio::test]
async fn a_large_message_is_streamed() {
    let server = server().await;
    let mut client = server.alice().await;
    let message = format!("Subject: large\r\n\r\n{}", "0123456789abcde\r\n".repeat(40_000));
    starts(&client.append("INBOX", "", &message).await, "OK");
    client.ok("SELECT INBOX").await;
    let fetched = client.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])").await;
    let size = message.len();
    assert_eq!(
        fetched,
        [format!(
            "* 1 FETCH (RFC822.SIZE {size} BODY[] {{{size}}}\r\n{message})"
        )]
    );
}
