//! SMTPUTF8, CHUNKING, REQUIRETLS and LIMITS.

use super::*;

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

// RFC 3030 section 2: the size alone says where a chunk ends.
#[tokio::test]
async fn rfc3030_2_a_message_in_chunks() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    let ehlo = client.say("EHLO x").await;
    assert!(
        ehlo.contains("CHUNKING") && !ehlo.contains("BINARYMIME"),
        "{ehlo}"
    );
    assert!(
        ehlo.contains("LIMITS RCPTMAX=100") && !ehlo.contains("REQUIRETLS"),
        "{ehlo}"
    );
    client
        .send(
            "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nBDAT 17\r\nSubject: a\r\n\r\n.\r\n\
             BDAT 8\r\nQUIT\r\n.\rBDAT 2 LAST\r\n\nbNOOP\r\n",
        )
        .await;
    for wanted in [
        "250",
        "250",
        "250 2.0.0 chunk",
        "250 2.0.0 chunk",
        "250 2.0.0 delivered",
        "250",
    ] {
        client.expect(wanted).await;
    }
    let inbox = bench.inbox("alice@example.test").await;
    assert!(
        inbox[0].ends_with("Subject: a\r\n\r\n.\r\nQUIT\r\n.\r\nb"),
        "{inbox:?}"
    );
    // An empty message in one empty chunk.
    client
        .play(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("BDAT 0 LAST", "250"),
        ])
        .await;
    assert_eq!(bench.inbox("bob@example.test").await.len(), 1);
}

/// A chunk in the wrong place is read all the same, and never begins a message that lacks what was before it.
#[tokio::test]
async fn rfc3030_2_chunks_out_of_order() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client.say("EHLO x").await;
    client.play(&[("BDAT 6\r\nQUIT", "503 5.5.1")]).await;
    client
        .play(&[("MAIL FROM:<>", "250"), ("BDAT 6 LAST\r\nQUIT", "503 5.5.1")])
        .await;
    client
        .play(&[("RCPT TO:<alice@example.test>", "503"), ("MAIL FROM:<>", "250")])
        .await;
    client
        .play(&[
            ("RCPT TO:<alice@example.test>", "250"),
            ("BDAT 3\r\na", "250 2.0.0 chunk"),
        ])
        .await;
    for line in ["DATA", "RCPT TO:<bob@example.test>", "MAIL FROM:<>", "STARTTLS"] {
        let reply = client.say(line).await;
        assert!(reply.starts_with("50"), "{line}: {reply}");
    }
    client.play(&[("RSET", "250"), ("BDAT 3 LAST\r\nb", "503")]).await;
    assert!(bench.inbox("alice@example.test").await.is_empty());
    // Where such a chunk ends is not known.
    client.play(&[("BDAT x", "501 5.5.4")]).await;
    client.closed().await;
}

#[tokio::test]
async fn chunks_have_the_limits_of_data() {
    let mut bench = Bench::new().await;
    bench.config.max_message_size = model::ByteSize(1000);
    bench.config.bare_line_ends = crate::BareLineEndPolicy::Reject;
    let mut client = bench.smtp().await;
    client.say("EHLO x").await;
    let begin: &[(&str, &str)] = &[("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250")];
    for (chunk, wanted) in [
        (format!("BDAT 1001 LAST\r\n{}", "x".repeat(1001)), "552 5.3.4"),
        (format!("BDAT 1001\r\n{}", "x".repeat(1001)), "552 5.3.4"),
        ("BDAT 3 LAST\r\na\nb".to_owned(), "550 5.6.0"),
        ("BDAT 2 LAST\r\na\r".to_owned(), "550 5.6.0"),
        (
            format!(
                "BDAT 992 LAST\r\n{}",
                "Received: x\r\n".repeat(31) + &"x".repeat(589)
            ),
            "554 5.4.6",
        ),
    ] {
        client.play(begin).await;
        client.send(&chunk).await;
        client.expect(wanted).await;
        client.play(&[("BDAT 3 LAST\r\na", "503")]).await;
    }
    assert!(bench.inbox("alice@example.test").await.is_empty());
    // More than anybody would wait for.
    client.play(&[("BDAT 99999999999 LAST", "503")]).await;
    client.closed().await;
}

// RFC 2033 section 4.2, RFC 3030 section 2.
#[tokio::test]
async fn lmtp_answers_the_last_chunk_for_each_recipient() {
    let bench = Bench::new().await;
    let mut client = bench.lmtp().await;
    client
        .send(
            "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nBDAT 1\r\naBDAT 1 LAST\r\nbNOOP\r\n",
        )
        .await;
    for wanted in [
        "250",
        "250",
        "250",
        "250 2.0.0 chunk",
        "250 2.0.0 del",
        "250 2.0.0 del",
        "250 2.0.0 OK",
    ] {
        client.expect(wanted).await;
    }
    assert!(bench.inbox("bob@example.test").await[0].ends_with("\r\nab"));
}

// RFC 6531 sections 3.1, 3.4, 3.5 and 4.3.
#[tokio::test]
async fn rfc6531_internationalised_mail() {
    let bench = Bench::new().await;
    bench.account("j\u{f6}rg@example.test").await;
    let mut client = bench.smtp().await;
    assert!(client.say("EHLO x").await.contains("SMTPUTF8"));
    client
        .play(&[
            ("MAIL FROM:<\u{e9}va@sender.example>", "553 5.6.7"),
            ("MAIL FROM:<a@sender.example>", "250"),
            ("RCPT TO:<j\u{f6}rg@example.test>", "553 5.6.7"),
            ("RSET", "250"),
            (
                "MAIL FROM:<\u{e9}va@sender.example> SMTPUTF8 BODY=8BITMIME",
                "250",
            ),
            ("RCPT TO:<j\u{f6}rg@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send("Subject: gr\u{fc}\u{df}e\r\n\r\nx\r\n.\r\n").await;
    client.expect("250").await;
    let inbox = bench.inbox("j\u{f6}rg@example.test").await;
    assert!(inbox[0].contains("with UTF8SMTP id") && inbox[0].contains("Subject: gr\u{fc}\u{df}e\r\n"));
    assert_eq!(
        count(&inbox[0], "Return-Path: <\u{e9}va@sender.example>"),
        1,
        "{inbox:?}"
    );
}
