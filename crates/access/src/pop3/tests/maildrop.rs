//! The TRANSACTION and UPDATE states: RFC 1939 sections 5 to 7.

use super::*;

const ONE: &str = "Subject: one\r\n\r\nfirst\r\n.dot\r\n..\r\nlast\r\n";
const TWO: &str = "Subject: two\r\n\r\n";

async fn with_two() -> Bench {
    let bench = Bench::new(Pop3Config::default()).await;
    bench.deliver(ONE).await;
    bench.deliver(TWO).await;
    bench
}

// Section 5.
#[tokio::test]
async fn s5_stat_list_retr_dele_rset() {
    let bench = with_two().await;
    let mut client = bench.logged_in().await;
    let total = ONE.len() + TWO.len();
    client
        .play(&[("STAT", &format!("+OK 2 {total}")), ("NOOP", "+OK")])
        .await;
    assert_eq!(
        client.list("LIST").await,
        [format!("1 {}", ONE.len()), format!("2 {}", TWO.len())]
    );
    client
        .play(&[
            ("LIST 2", &format!("+OK 2 {}", TWO.len())),
            ("LIST 3", "-ERR"),
            ("LIST 0", "-ERR"),
            ("RETR 3", "-ERR no such message"),
        ])
        .await;
    // Section 3: dots that open a line are doubled.
    assert_eq!(
        client.list("RETR 1").await,
        ["Subject: one", "", "first", "..dot", "...", "last"]
    );
    client
        .play(&[
            ("DELE 1", "+OK"),
            ("DELE 1", "-ERR"),
            ("RETR 1", "-ERR"),
            ("TOP 1 0", "-ERR"),
            ("UIDL 1", "-ERR"),
            ("STAT", &format!("+OK 1 {}", TWO.len())),
        ])
        .await;
    assert_eq!(client.list("LIST").await, [format!("2 {}", TWO.len())]);
    client
        .play(&[("RSET", "+OK 2 messages"), ("STAT", &format!("+OK 2 {total}"))])
        .await;
}

// Section 7.
#[tokio::test]
async fn s7_top_and_uidl() {
    let bench = with_two().await;
    let mut client = bench.logged_in().await;
    assert_eq!(client.list("TOP 1 0").await, ["Subject: one", ""]);
    assert_eq!(
        client.list("TOP 1 2").await,
        ["Subject: one", "", "first", "..dot"]
    );
    assert_eq!(client.list("TOP 2 10").await, ["Subject: two", ""]);
    let ids = client.list("UIDL").await;
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    assert_eq!(client.say("UIDL 2").await, format!("+OK {}", ids[1]));
    client.play(&[("DELE 1", "+OK"), ("QUIT", "+OK")]).await;
    // The id stays with the message, whatever its number.
    let mut client = bench.logged_in().await;
    let again = client.list("UIDL").await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].strip_prefix("1 "), ids[1].strip_prefix("2 "));
}

// Section 6: only QUIT removes.
#[tokio::test]
async fn s6_only_quit_removes() {
    let bench = with_two().await;
    let mut client = bench.logged_in().await;
    client.play(&[("DELE 1", "+OK")]).await;
    drop(client);
    let mut client = bench.logged_in().await;
    client
        .play(&[
            ("STAT", "+OK 2"),
            ("DELE 1", "+OK"),
            ("DELE 2", "+OK"),
            ("QUIT", "+OK"),
        ])
        .await;
    client.closed().await;
    assert_eq!(bench.left().await, 0);
}

// Section 4: the maildrop is as it was at login.
#[tokio::test]
async fn s4_snapshot() {
    let bench = with_two().await;
    let mut old = bench.logged_in().await;
    let mut other = bench.logged_in().await;
    other.play(&[("DELE 1", "+OK"), ("QUIT", "+OK")]).await;
    other.closed().await;
    bench.deliver("Subject: three\r\n\r\n").await;
    old.play(&[
        ("STAT", &format!("+OK 2 {}", ONE.len() + TWO.len())),
        ("RETR 1", "-ERR the message was removed meanwhile"),
        ("RETR 3", "-ERR no such message"),
    ])
    .await;
    assert_eq!(old.list("RETR 2").await, ["Subject: two", ""]);
    old.play(&[("DELE 1", "+OK"), ("DELE 2", "+OK"), ("QUIT", "+OK")])
        .await;
    old.closed().await;
    assert_eq!(bench.left().await, 1);
}

// RFC 2449 section 6.6.
#[tokio::test]
async fn rfc2449_pipelining() {
    let bench = with_two().await;
    let mut client = bench.greeted().await;
    client
        .send("USER alice@example.test\r\nPASS sec ret\r\nSTAT\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n")
        .await;
    for wanted in ["+OK send PASS", "+OK 2 messages", "+OK 2 ", "+OK"] {
        client.expect(wanted).await;
    }
    assert_eq!(client.rest().await, ["Subject: two", ""]);
    client.expect("+OK").await;
    client.expect("+OK").await;
    client.closed().await;
    assert_eq!(bench.left().await, 1);
}

// RFC 2449 section 5.
#[tokio::test]
async fn rfc2449_capa_in_both_states() {
    let bench = with_two().await;
    let mut client = bench.greeted().await;
    let before = client.list("CAPA").await;
    for wanted in [
        "TOP",
        "UIDL",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
        "USER",
        "SASL PLAIN LOGIN",
    ] {
        assert!(before.contains(&wanted.to_owned()), "{wanted} in {before:?}");
    }
    assert!(!before.contains(&"STLS".to_owned()), "{before:?}");
    client
        .play(&[("USER alice@example.test", "+OK"), ("PASS sec ret", "+OK")])
        .await;
    let after = client.list("CAPA").await;
    assert!(
        after.contains(&"EXPIRE NEVER".to_owned()) && !after.contains(&"USER".to_owned()),
        "{after:?}"
    );
}

/// A large message goes through a small pipe: the client's reading paces the server.
#[tokio::test]
async fn a_large_message_is_streamed() {
    let bench = Bench::new(Pop3Config::default()).await;
    let body: &'static str =
        Box::leak(format!("A: b\r\n\r\n{}", ".line\r\n".repeat(100_000)).into_boxed_str());
    bench.deliver(body).await;
    let mut client = bench.logged_in().await;
    let lines = client.list("RETR 1").await;
    assert_eq!(lines.len(), 100_002);
    assert!(lines.iter().skip(2).all(|line| line == "..line"));
    client.play(&[("QUIT", "+OK")]).await;
}

#[tokio::test]
async fn too_many_errors_end_the_session() {
    let bench = Bench::new(Pop3Config {
        max_errors: 2,
        ..Pop3Config::default()
    })
    .await;
    let mut client = bench.logged_in().await;
    let long = "x".repeat(20_000);
    client
        .play(&[("FOO", "-ERR"), (long.as_str(), "-ERR line too long")])
        .await;
    client.expect("-ERR too many errors").await;
    client.closed().await;
}

// Section 3: the autologout timer ends the session in silence and removes nothing.
#[tokio::test(start_paused = true)]
async fn s3_autologout_removes_nothing() {
    let bench = with_two().await;
    let mut client = bench.logged_in().await;
    client.play(&[("DELE 1", "+OK")]).await;
    tokio::time::advance(Duration::from_secs(1801)).await;
    client.closed().await;
    assert_eq!(bench.left().await, 2);
}

/// Who only asks what the server can do does not hold a connection for ever; who has logged in may be slow.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_log_in_is_ended() {
    let bench = Bench::new(Pop3Config {
        login_timeout: 20,
        ..Pop3Config::default()
    })
    .await;
    let mut stranger = bench.greeted().await;
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(6)).await;
        stranger.list("CAPA").await;
    }
    tokio::time::advance(Duration::from_secs(3)).await;
    stranger.closed().await;
    // The time stands still only while nobody waits for the store, so the mailbox is opened before.
    bench.deliver("A: b\r\n\r\nx\r\n").await;
    let mut alice = bench.logged_in().await;
    tokio::time::advance(Duration::from_secs(21)).await;
    alice.play(&[("NOOP", "+OK")]).await;
}
