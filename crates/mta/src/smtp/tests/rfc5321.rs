//! Filed by section of RFC 5321 and its extensions.

use super::*;

// Section 4.1.4, order of commands.
#[tokio::test]
async fn s4_1_4_order() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("MAIL FROM:<>", "503 5.5.1"),
            ("RCPT TO:<alice@example.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("NOOP", "250"),
            ("RSET", "250"),
            ("LHLO x", "500 5.5.1"),
            ("EHLO x", "250"),
            ("RCPT TO:<alice@example.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("MAIL FROM:<>", "250"),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<nobody@example.test>", "550"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<alice@example.test>", "250"),
            // A new greeting ends the transaction.
            ("EHLO y", "250"),
            ("DATA", "503 5.5.1"),
        ])
        .await;
}

// Sections 4.1.1.6 to 4.1.1.9.
#[tokio::test]
async fn s4_1_1_the_small_commands() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("VRFY alice", "252 2.0.0"),
            ("EXPN all", "502 5.5.1"),
            ("HELP", "214"),
            ("NOOP x", "250"),
            ("HELO old.test", "250 mx.example.test"),
            ("MAIL FROM:<> SIZE=1", "555 5.5.4"),
            ("MAIL FROM:<a@[192.0.2.1]>", "501 5.1.7"),
            ("MAIL FROM:<a@b.test>", "250"),
            ("RCPT TO:<a@[192.0.2.1]>", "550 5.1.2"),
            ("RCPT TO:<@relay.test:alice@example.test>", "250"),
            ("RCPT TO:<\"alice\"@example.test>", "250"),
            ("RCPT TO:<j\u{f6}rg@example.test>", "553 5.6.7"),
            ("RCPT TO:alice@example.test", "501 5.1.3"),
            ("STARTTLS", "502 5.5.1"),
            ("AUTH PLAIN AGEAYg==", "502 5.5.1"),
            ("XCLIENT ADDR=192.0.2.9", "502 5.5.1"),
        ])
        .await;
}

// Section 4.5.3.1.4.
#[tokio::test]
async fn s4_5_3_1_a_line_too_long() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    let long = format!("NOOP {}", "x".repeat(5000));
    client
        .play(&[(long.as_str(), "500 5.5.2"), ("NOOP", "250")])
        .await;
}

// RFC 2920 section 3.1: a whole transaction in one go.
#[tokio::test]
async fn rfc2920_pipelining() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client.say("EHLO x").await;
    client
        .send(
            "MAIL FROM:<>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\
             Subject: 1\r\n\r\n1\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n.\r\nQUIT\r\n",
        )
        .await;
    for wanted in [
        "250", "550", "250", "354", "250", "250", "250", "354", "250", "221",
    ] {
        client.expect(wanted).await;
    }
    client.closed().await;
    assert_eq!(bench.inbox("alice@example.test").await.len(), 1);
    assert_eq!(bench.inbox("bob@example.test").await.len(), 1);
}

// Postfix's XCLIENT_README and XFORWARD_README.
#[tokio::test]
async fn a_trusted_front_end_names_its_client() {
    let mut bench = Bench::new().await;
    bench.listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let mut client = bench.smtp().await;
    let ehlo = client.say("EHLO front.test").await;
    assert!(ehlo.contains("250-XCLIENT NAME ADDR PORT PROTO HELO"), "{ehlo}");
    assert!(
        ehlo.contains("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"),
        "{ehlo}"
    );
    client
        .play(&[
            (
                "XCLIENT ADDR=198.51.100.7 PORT=99 HELO=real.test",
                "220 mx.example.test",
            ),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("EHLO front.test", "250"),
            ("XFORWARD IDENT=00000000000000aa", "250"),
            ("MAIL FROM:<>", "250"),
            ("XFORWARD IDENT=00000000000000bb", "503"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250 2.0.0 delivered as 00000000000000aa").await;
    let inbox = bench.inbox("alice@example.test").await;
    assert!(
        inbox[0].contains("Received: from real.test ([198.51.100.7])"),
        "{inbox:?}"
    );
    // The session's own name in the logs, as Dovecot's front ends tell it.
    let mut other = bench.smtp().await;
    other.say("EHLO front.test").await;
    other
        .play(&[
            ("XCLIENT SESSION=00000000000000cc TTL=6", "220"),
            ("EHLO front.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("BDAT 3 LAST\r\nx", "250 2.0.0 delivered as 00000000000000cc"),
        ])
        .await;
    // The claim was for one transaction.
    client
        .play(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    assert!(!client.reply().await.contains("00000000000000aa"));
}
