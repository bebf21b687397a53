//! What a hostile or broken client can make this server do: not much.

use super::*;
use model::ByteSize;

fn small() -> ImapConfig {
    ImapConfig {
        max_message_size: ByteSize(4096),
        append_memory: ByteSize(8192),
        max_command_size: ByteSize(16 << 10),
        max_errors: 3,
        ..ImapConfig::default()
    }
}

// RFC 7889 section 4, RFC 7888 section 4.
#[tokio::test]
async fn a_large_message_is_refused_before_it_is_sent() {
    let server = server_with(small()).await;
    let mut client = server.alice().await;
    client.send("a APPEND INBOX {4097}\r\n").await;
    starts(&client.response().await, "a NO [TOOBIG]");
    client.send("b APPEND INBOX {99999999999}\r\n").await;
    starts(&client.response().await, "b NO [TOOBIG]");
    // It comes anyway: skipped, and the dialogue is in step.
    client
        .send(format!(
            "c APPEND INBOX {{5000+}}\r\n{}\r\nd NOOP\r\n",
            "x".repeat(5000)
        ))
        .await;
    starts(&client.response().await, "c NO [TOOBIG]");
    starts(&client.response().await, "d OK");
    // So much nobody waits for.
    client.send("e APPEND INBOX {99999999999+}\r\n").await;
    assert_eq!(client.try_response().await, None);
}

#[tokio::test]
async fn long_commands() {
    let server = server_with(small()).await;
    let mut client = server.connect();
    client.response().await;
    // Before login the limit is small, for lines and for literals.
    client.send(format!("a LOGIN {} x\r\n", "u".repeat(9000))).await;
    starts(&client.response().await, "* BAD [LIMIT]");
    client.send("b LOGIN {9000}\r\n").await;
    starts(&client.response().await, "b BAD [LIMIT]");
    client.ok("LOGIN alice@example.test secret").await;
    client.ok("SELECT INBOX").await;
    client
        .ok(&format!("UID FETCH 1{} FLAGS", ",1".repeat(6000)))
        .await;
    client
        .send(format!("c UID FETCH 1{} FLAGS\r\n", ",1".repeat(9000)))
        .await;
    starts(&client.response().await, "* BAD [LIMIT]");
}

#[tokio::test]
async fn errors_in_a_row_end_the_session() {
    let server = server_with(small()).await;
    let mut client = server.connect();
    client.response().await;
    for _ in 0..2 {
        client.result("XYZZY").await;
        starts(&client.result("NOOP x").await, "BAD");
        client.ok("NOOP").await;
    }
    client.send("\u{1}\r\n").await;
    starts(&client.response().await, "* BAD");
    client.result("XYZZY").await;
    client.result("XYZZY").await;
    starts(&client.response().await, "* BYE");
    assert_eq!(client.try_response().await, None);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_session() {
    let server = server().await;
    let mut stranger = server.connect();
    stranger.response().await;
    let mut line = stranger
        .stream
        .read_line(Duration::from_secs(200))
        .await
        .expect("a farewell");
    starts(&String::from_utf8_lossy(&line), "* BYE");
    let mut client = server.alice().await;
    line = client
        .stream
        .read_line(Duration::from_secs(2000))
        .await
        .expect("a farewell");
    starts(&String::from_utf8_lossy(&line), "* BYE");
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let server = server().await;
    let mut client = server.alice().await;
    client
        .send("a NOOP\r\nb SELECT INBOX\r\nc UNSELECT\r\nd LOGOUT\r\n")
        .await;
    for tag in ["a", "b", "c", "d"] {
        starts(client.until(tag).await.last().expect("a result"), "OK");
    }
}
