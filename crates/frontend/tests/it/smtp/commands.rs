//! RFC 5321 at the edge: replies, their order and limits, and where recipients go.

use super::*;
use model::ByteSize;

#[tokio::test]
async fn one_home_gives_its_own_replies() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(
        &mut client,
        &["alice", "late", "gone"],
        "Subject: x\r\n\r\n..dots\r\nend",
    )
    .await;
    assert_eq!(replies, ["250 2.1.5 ok", "450 4.2.1 later", "550 5.1.1 gone"]);
    assert_eq!(end, "250 2.0.0 kept");
    let messages = home.messages();
    let (received, rest) = messages[0].split_once("Subject").expect("the message");
    assert_eq!(rest, ": x\r\n\r\n.dots\r\nend\r\n");
    for part in [
        "Received: from client.test ([127.0.0.1])",
        "by front.example.test with ESMTP id ",
        "for <alice@example.test>;",
    ] {
        assert!(received.contains(part), "{part} in {received}");
    }
    assert_eq!(home.heard("XCLIENT").len(), 1);
    assert_eq!(home.heard("XFORWARD").len(), 1);
    assert!(home.heard("XCLIENT")[0].contains("ADDR=127.0.0.1"));
    assert!(
        home.heard("XFORWARD")[0].contains("IDENT="),
        "the trace goes along"
    );
    assert_eq!(
        home.heard("EHLO"),
        ["EHLO front.example.test", "EHLO client.test"]
    );
    // The session goes on with a second transaction.
    let (_, end) = deliver(&mut client, &["bob"], "again").await;
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!(home.heard("EHLO").len(), 2, "over the same connection");
    assert_eq!(
        home.heard("XFORWARD").len(),
        2,
        "which holds for one transaction only"
    );
    assert!(client.ask("QUIT").await.starts_with("221"));
    assert!(client.is_closed().await);
}

/// A kept connection that the home has closed meanwhile is opened anew.
#[tokio::test]
async fn a_home_may_close_between_messages() {
    let table: [Replies; 2] = [
        &["250 2.0.0 kept", "421 4.4.2 idle", "die"],
        &["250 2.0.0 kept", "die"],
    ];
    for end in table {
        let home = Home::start(Manners { end, ..GOOD }).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        for _ in 0..3 {
            let (_, end) = deliver(&mut client, &["alice"], "x").await;
            assert_eq!(end, "250 2.0.0 kept");
        }
        assert_eq!((home.messages().len(), home.heard("EHLO").len()), (3, 6));
    }
}

#[tokio::test]
async fn reply_codes_of_routing() {
    let home = Home::start(GOOD).await;
    let rules = [
        ("alice@example.test", home.name.as_str()),
        ("down@example.test", "127.0.0.1:1"),
        ("refused@example.test", "reject"),
        ("postmaster@example.test", "reject"),
        ("relay@other.test", home.name.as_str()),
    ];
    let front = smtp(&rules, |config| config.group_home = Some(home.name.clone())).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<>").await;
    for (to, code) in [
        ("alice@example.test", "250 2.1.5"),
        ("alice@EXAMPLE.test", "250 2.1.5"),
        // A map knows it, and still it is no domain of ours.
        ("relay@other.test", "550 5.7.1"),
        ("user@[192.0.2.1]", "550 5.7.1"),
        ("nobody@example.test", "550 5.1.1"),
        ("refused@example.test", "550 5.1.1"),
        ("Postmaster", "250 2.1.5"),
        ("postmaster@example.test", "250 2.1.5"),
        ("bad", "501 5.1.3"),
    ] {
        let reply = client.ask(&format!("RCPT TO:<{to}>")).await;
        assert!(reply.starts_with(code), "{to}: {reply}");
    }
    client.ask("RSET").await;
    client.ask("MAIL FROM:<>").await;
    let reply = client.ask("RCPT TO:<down@example.test>").await;
    assert!(reply.starts_with("451 4.4.1"), "{reply}");
    // A home that refused leaves the transaction free for another.
    assert!(
        client
            .ask("RCPT TO:<alice@example.test>")
            .await
            .starts_with("250")
    );
}

#[tokio::test]
async fn order_and_limits() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.max_message_size = ByteSize(5_000)
    })
    .await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    for line in [
        "250-front.example.test",
        "250-PIPELINING",
        "250-SIZE 5000",
        "250-8BITMIME",
        "250-ENHANCEDSTATUSCODES",
        "250-STARTTLS",
        "250-SMTPUTF8",
        "250-CHUNKING",
        "250-XTRACE",
        "250 LIMITS RCPTMAX=5",
    ] {
        let found = if line.starts_with("250-front") {
            client.ask("EHLO x").await
        } else {
            client.line().await
        };
        assert!(found.starts_with(line), "{found}");
    }
    assert!(client.ask("RCPT TO:<a@example.test>").await.starts_with("503"));
    assert!(client.ask("DATA").await.starts_with("503"));
    assert!(client.ask("AUTH PLAIN AAAA").await.starts_with("502"));
    assert!(client.ask("VRFY a").await.starts_with("252"));
    assert!(
        client
            .ask("MAIL FROM:<> SIZE=5001")
            .await
            .starts_with("552 5.3.4")
    );
    assert!(client.ask("MAIL FROM:<> FOO=1").await.starts_with("555"));
    assert!(
        client
            .ask("MAIL FROM:<> SIZE=10 BODY=8BITMIME")
            .await
            .starts_with("250")
    );
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    assert!(client.ask("DATA").await.starts_with("554 5.5.1"));
    for index in 0..5 {
        assert!(
            client
                .ask(&format!("RCPT TO:<r{index}@example.test>"))
                .await
                .starts_with("250")
        );
    }
    assert!(
        client
            .ask("RCPT TO:<r6@example.test>")
            .await
            .starts_with("452 4.5.3")
    );
    assert!(client.ask("DATA").await.starts_with("354"));
    let reply = client.ask(&format!("{}\r\n.", "x".repeat(6_000))).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    let (_, end) = deliver(&mut client, &["a"], &"Received: x\r\n".repeat(30)).await;
    assert!(end.starts_with("554 5.4.6"), "{end}");
    let (_, end) = deliver(&mut client, &["a"], &"Received: x\r\n".repeat(29)).await;
    assert!(end.starts_with("250"), "{end}");
    assert!(client.ask(&"x".repeat(5_000)).await.starts_with("500"));
    assert_eq!(home.heard("MAIL")[0], "MAIL FROM:<> SIZE=10 BODY=8BITMIME");
    assert_eq!((home.messages().len(), home.seen.lock().broken_off), (1, 0));
    for _ in 0..20 {
        client.send("NONSENSE\r\n");
    }
    assert!(client.until("NONSENSE", "421").await.starts_with("421 4.7.0"));
    assert!(client.is_closed().await);
    // Some unknown recipients in each message are no offence, however many messages come.
    let mut client = greeted(&front).await;
    for _ in 0..3 {
        let (replies, end) = deliver(&mut client, &[&["gone"; 15][..], &["a"]].concat(), "x").await;
        assert!(replies[14].starts_with("550") && end.starts_with("250"), "{end}");
    }
    // With the DATA that has nobody to go to.
    let (replies, _) = deliver(&mut client, &["gone"; 18], "x").await;
    assert!(replies[17].starts_with("550"));
    assert!(client.ask("NONSENSE").await.starts_with("500"));
    assert!(client.line().await.starts_with("421 4.7.0"));
    // Nor is it free to ask for ever.
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<s@elsewhere.test>").await;
    for _ in 0..2_019 {
        client.send("RCPT TO:<late@example.test>\r\n");
    }
    for _ in 0..2_019 {
        let reply = client.line().await;
        assert!(reply.starts_with("450"), "{reply}");
    }
    assert!(client.ask("RCPT TO:<late@example.test>").await.starts_with("450"));
    assert!(client.line().await.starts_with("421 4.7.0"));
    let mut client = greeted(&front).await;
    for _ in 0..200 {
        client.send("NOOP\r\n");
    }
    assert!(
        client.until("NOOP", "421").await.starts_with("421 4.7.0"),
        "nothing is got by waiting"
    );
}

#[tokio::test]
async fn split_has_one_home() {
    let (one, two) = (Home::start(GOOD).await, Home::start(GOOD).await);
    let rules = [
        ("a@example.test", one.name.as_str()),
        ("b@example.test", &two.name),
        ("gone@example.test", &two.name),
    ];
    let front = smtp(&rules, |_| {}).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(&mut client, &["gone", "a", "b"], "x").await;
    assert!(
        replies[0].starts_with("550") && replies[1].starts_with("250"),
        "{replies:?}"
    );
    assert!(replies[2].starts_with("452 4.5.3"), "{replies:?}");
    assert_eq!(end, "250 2.0.0 kept");
    let (_, end) = deliver(&mut client, &["b"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!((one.messages().len(), two.messages().len()), (1, 1));
}
