//! What a client may send at once, and what it may not send at all.

use super::*;

#[tokio::test]
async fn smuggling_is_refused() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    for ending in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"] {
        let mut client = greeted(&front).await;
        let message = format!("a{ending}MAIL FROM:<smuggled@example.test>\r\nRCPT TO:<b@example.test>\r\n");
        let (_, end) = deliver(&mut client, &["alice"], &message).await;
        assert!(end.starts_with("550 5.6.0"), "{ending:?}: {end}");
        assert!(client.ask("NOOP").await.starts_with("250"));
    }
    assert!(home.messages().is_empty());
    assert!(home.heard("MAIL").iter().all(|line| !line.contains("smuggled")));
}

// RFC 2920: a client may send all of it at once.
#[tokio::test]
async fn pipelining() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    client.send("MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<gone@example.test>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n");
    for code in ["250", "250", "550", "354", "250", "221"] {
        let line = client.line().await;
        assert!(line.starts_with(code), "{line}");
    }
    assert!(client.is_closed().await);
}

// RFC 3207 section 4.2, CVE-2011-0411.
#[tokio::test]
async fn starttls_discards_what_came_before() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    assert!(
        client
            .ask("STARTTLS\r\nMAIL FROM:<mallory@example.test>")
            .await
            .starts_with("220")
    );
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    assert!(
        client.ask("MAIL FROM:<>").await.starts_with("503"),
        "EHLO is forgotten too"
    );
    assert!(
        !client
            .until("EHLO client.test", "250 ")
            .await
            .contains("STARTTLS")
    );
    let (_, end) = deliver(&mut client, &["alice"], "x").await;
    assert!(end.starts_with("250"), "{end}");
    assert!(home.messages()[0].contains("with ESMTPS"));
}
