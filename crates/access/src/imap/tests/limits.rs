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

// Somebody who keeps talking and never logs in holds the connection no longer than somebody silent.
#[tokio::test]
async fn talk_ends_with_the_time_for_the_login() {
    let server = server().await;
    let mut client = server.connect();
    client.response().await;
    client.ok("NOOP").await;
    server.time.advance(Duration::from_secs(200));
    client.send("a NOOP\r\nb NOOP\r\nc NOOP\r\n").await;
    // The command that was being waited for when the time ran out is still answered.
    let mut answered = 0;
    loop {
        let response = client.response().await;
        match response.as_str() {
            farewell if farewell.starts_with("* BYE") => break,
            _ => answered += 1,
        }
        assert!(answered <= 1, "{response}");
    }
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

// A guess takes a second, and a fault of ours, or a right password, does not.
#[tokio::test(start_paused = true)]
async fn a_failed_login_is_answered_late() {
    let server = server().await;
    let mut client = server.connect();
    client.response().await;
    for (login, late) in [
        ("alice@example.test wrong", true),
        ("\"\" secret", true),
        ("alice@example.test down", false),
        ("alice@example.test secret", false),
    ] {
        let start = tokio::time::Instant::now();
        client.command(&format!("LOGIN {login}")).await;
        assert_eq!(start.elapsed() >= Duration::from_secs(1), late, "{login}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

// Without memory to keep a message it is read piece by piece, and nobody can tell.
#[tokio::test]
async fn large_messages_need_no_memory() {
    let body: String = (0..60_000).map(|line| format!("line {line}\r\n")).collect();
    let message = format!("Subject: large\r\n\r\n{body}");
    for memory in [0, 64 << 20] {
        let server = server_with(ImapConfig {
            fetch_memory: ByteSize(memory),
            ..ImapConfig::default()
        })
        .await;
        let mut client = server.alice_with(&[&message]).await;
        let fetched = client
            .ok("FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT]<300000.200000>)")
            .await;
        let want = format!(
            "* 1 FETCH (BODY[] {{{}}}\r\n{message} BODY[TEXT]<300000> {{200000}}\r\n{})",
            message.len(),
            &body[300_000..500_000]
        );
        assert!(fetched[0] == want, "memory {memory}: {} octets", fetched[0].len());
        assert_eq!(
            client.ok("SEARCH BODY \"line 59999\" HEADER Subject large").await,
            ["* SEARCH 1"]
        );
        assert_eq!(client.ok("SEARCH TEXT \"line 60000\"").await, ["* SEARCH"]);
    }
}

#[tokio::test]
async fn programs_and_lists_have_bounds() {
    let server = server().await;
    let mut client = server.alice_with(&["A: 1\r\n\r\n1"]).await;
    client.ok(&format!("SEARCH{}", " BODY x".repeat(64))).await;
    starts(
        &client.result(&format!("SEARCH{}", " BODY x".repeat(65))).await,
        "BAD",
    );
    let fields = |count| {
        format!(
            "FETCH 1 BODY.PEEK[HEADER.FIELDS ({})]",
            vec!["a"; count].join(" ")
        )
    };
    client.ok(&fields(100)).await;
    starts(&client.result(&fields(101)).await, "BAD");
    let items = |count| format!("FETCH 1 ({})", vec!["UID"; count].join(" "));
    client.ok(&items(100)).await;
    starts(&client.result(&items(101)).await, "BAD");
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

// Any commands, whole or broken, in any order: the session ends by itself, without a panic, once the input
// ends.
#[tokio::test]
async fn garbage_does_no_harm() {
    const COMMANDS: [&str; 22] = [
        "LOGIN alice@example.test secret\r\n",
        "AUTHENTICATE PLAIN\r\nAGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n",
        "SELECT INBOX\r\n",
        "EXAMINE Sent\r\n",
        "APPEND INBOX (\\Seen) {25+}\r\nSubject: a\r\n\r\nsome text\r\n\r\n",
        "APPEND Sent {20}\r\nSubject: b\r\n\r\nother\r\n\r\n",
        "FETCH 1:* (FLAGS UID ENVELOPE BODYSTRUCTURE BODY[] BODY.PEEK[1.MIME]<0.5>)\r\n",
        "UID FETCH 1:* FULL\r\n",
        "STORE 1:2 +FLAGS (\\Deleted $x)\r\n",
        "UID STORE 1 -FLAGS.SILENT (\\Seen)\r\n",
        "EXPUNGE\r\n",
        "UID EXPUNGE 1:4\r\n",
        "COPY 1 Sent\r\n",
        "UID MOVE 1:* Trash\r\n",
        "SEARCH RETURN (MIN) OR TEXT some SINCE 1-Jan-2020\r\n",
        "UID SEARCH NOT (HEADER Subject a 1:*)\r\n",
        "LIST (SUBSCRIBED) \"\" (* %) RETURN (STATUS (MESSAGES))\r\n",
        "RENAME Sent S/T\r\n",
        "CREATE a/b/c\r\n",
        "DELETE Trash\r\n",
        "IDLE\r\nDONE\r\n",
        "CLOSE\r\n",
    ];
    let server = server_with(ImapConfig {
        max_errors: 1000,
        ..ImapConfig::default()
    })
    .await;
    let mut random = Random(7);
    for _ in 0..150 {
        let mut input = if random.below(4) == 0 {
            String::new()
        } else {
            format!("l {}", COMMANDS[0])
        }
        .into_bytes();
        for _ in 0..random.below(25) {
            let at = input.len();
            input.extend_from_slice(format!("a {}", COMMANDS[random.below(COMMANDS.len())]).as_bytes());
            if random.below(3) == 0 {
                let spot = at + random.below(input.len() - at);
                input[spot] = u8::try_from(random.below(256)).expect("an octet");
            }
        }
        let (ours, accepted) =
            server.accept(ListenerConfig::at("127.0.0.1:143".parse().expect("an address")));
        let session = tokio::spawn(serve(accepted, server.service.clone()));
        let (mut reader, mut writer) = tokio::io::split(ours);
        let answers = tokio::spawn(async move {
            let mut answers = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answers).await;
            answers
        });
        let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, &input).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
        tokio::time::timeout(PATIENCE, session)
            .await
            .expect("the session ends")
            .expect("no panic");
        let answers = answers.await.expect("answers");
        starts(&String::from_utf8_lossy(&answers), "* OK [CAPABILITY");
    }
}
