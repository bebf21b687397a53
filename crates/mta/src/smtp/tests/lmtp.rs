//! RFC 2033.

use super::*;

// Section 4.1.
#[tokio::test]
async fn s4_1_only_lhlo_greets() {
    let bench = Bench::new().await;
    let mut client = bench.connect_as(Dialect::Lmtp);
    client.expect("220 mx.example.test LMTP").await;
    client
        .play(&[
            ("HELO x", "500 5.5.1"),
            ("EHLO x", "500 5.5.1"),
            ("LHLO x", "250-mx.example.test greets x\n250-PIPELINING"),
        ])
        .await;
}

// Section 4.2: one reply for each accepted recipient, in their order, repeats included.
#[tokio::test]
async fn s4_2_a_reply_for_each_recipient() {
    let bench = Bench::new().await;
    let mut client = bench.lmtp().await;
    client
        .play(&[
            ("MAIL FROM:<>", "250"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("RCPT TO:<nobody@example.test>", "550 5.1.1"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    for _ in 0..3 {
        client.expect("250 2.0.0").await;
    }
    client.play(&[("NOOP", "250 2.0.0 OK")]).await;
    assert_eq!(bench.inbox("alice@example.test").await.len(), 1);
    assert!(bench.inbox("bob@example.test").await[0].contains("with LMTP id"));
}

/// The quota broke between RCPT and the data for one of two: each hears its own result.
#[tokio::test]
async fn s4_2_mixed_results() {
    let bench = Bench::new().await;
    let mut small = NewAccount::new(address("small@example.test"));
    small.quota = Some(model::ByteSize(200));
    bench.add(small).await;
    let script: &[(&str, &str)] = &[
        ("MAIL FROM:<a@b.test>", "250"),
        ("RCPT TO:<small@example.test>", "250"),
        ("RCPT TO:<bob@example.test>", "250"),
        ("DATA", "354"),
    ];
    let big = format!("Message-ID: <9@x>\r\n\r\n{}\r\n.\r\n", "x".repeat(500));
    let mut client = bench.lmtp().await;
    client.play(script).await;
    client.send(&big).await;
    client.expect("452 4.2.2").await;
    client.expect("250 2.0.0").await;
    // SMTP has one reply: the client must try again, and who has the message already gets no second one.
    let mut client = bench.smtp().await;
    client.say("EHLO x").await;
    client.play(script).await;
    client.send(&big).await;
    client.expect("452 4.2.2").await;
    assert_eq!(bench.inbox("bob@example.test").await.len(), 1);
    assert!(bench.inbox("small@example.test").await.is_empty());
}

#[tokio::test]
async fn a_refused_message_is_refused_for_each() {
    let mut bench = Bench::new().await;
    bench.config.max_message_size = model::ByteSize(100);
    let mut client = bench.lmtp().await;
    client
        .play(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(&format!("{}\r\n.\r\n", "x".repeat(500))).await;
    client.expect("552 5.3.4").await;
    client.expect("552 5.3.4").await;
    client.play(&[("NOOP", "250")]).await;
}
