//! RFC 3501 sections 6.4.2, 6.4.3, 6.4.6 and 6.4.7, RFC 4315, RFC 6851.

use super::*;

const MESSAGES: [&str; 4] = ["A: 1\r\n\r\n1", "A: 2\r\n\r\n2", "A: 3\r\n\r\n3", "A: 4\r\n\r\n4"];

#[tokio::test]
async fn store() {
    let server = server().await;
    let mut client = server.alice_with(&MESSAGES).await;
    let stored = client.ok("STORE 2:3 +FLAGS (\\Seen $Work)").await;
    assert_eq!(
        stored,
        [
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)",
            "* 2 FETCH (UID 2 FLAGS (\\Seen $Work))",
            "* 3 FETCH (UID 3 FLAGS (\\Seen $Work))"
        ]
    );
    assert_eq!(client.ok("NOOP").await, [""; 0]);
    assert_eq!(
        client.ok("STORE 2 -FLAGS ($work)").await,
        ["* 2 FETCH (UID 2 FLAGS (\\Seen))"]
    );
    assert_eq!(client.ok("UID STORE 3 FLAGS.SILENT (\\Draft)").await, [""; 0]);
    assert_eq!(
        client.ok("FETCH 2:3 FLAGS").await,
        ["* 2 FETCH (FLAGS (\\Seen))", "* 3 FETCH (FLAGS (\\Draft))"]
    );
    starts(&client.result("STORE 9 +FLAGS (\\Seen)").await, "BAD");
    assert_eq!(client.ok("UID STORE 9 +FLAGS (\\Seen)").await, [""; 0]);
}

#[tokio::test]
async fn expunge() {
    let server = server().await;
    let mut client = server.alice_with(&MESSAGES).await;
    client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)").await;
    // RFC 4315 section 2.1.
    assert_eq!(client.ok("UID EXPUNGE 2,4").await, ["* 2 EXPUNGE"]);
    assert_eq!(client.ok("EXPUNGE").await, ["* 2 EXPUNGE", "* 1 EXPUNGE"]);
    assert_eq!(client.ok("FETCH 1:* UID").await, ["* 1 FETCH (UID 4)"]);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXAMINE INBOX").await;
    client.ok("CLOSE").await;
    assert_eq!(client.ok("SELECT INBOX").await[1], "* 1 EXISTS");
    assert_eq!(client.ok("CLOSE").await, [""; 0]);
    assert_eq!(client.ok("SELECT INBOX").await[1], "* 0 EXISTS");
    starts(&client.result("FETCH 1:* FLAGS").await, "BAD");
    assert_eq!(client.ok("UID FETCH 1:* FLAGS").await, [""; 0]);
}

#[tokio::test]
async fn copy_and_move() {
    let server = server().await;
    let mut client = server.alice_with(&MESSAGES).await;
    starts(&client.result("COPY 1 nowhere").await, "NO [TRYCREATE]");
    client.ok("CREATE target").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    let result = client.result("COPY 1,3 target").await;
    starts(&result, "OK [COPYUID ");
    assert!(result.contains(" 1,3 1:2]"), "{result}");
    starts(&client.result("UID COPY 99 target").await, "OK COPY");
    let moved = client.command("MOVE 2:3 target").await;
    starts(&moved[0], "* OK [COPYUID ");
    assert!(moved[0].contains(" 2:3 3:4]"), "{moved:?}");
    assert_eq!(moved[1..3], ["* 3 EXPUNGE", "* 2 EXPUNGE"]);
    starts(&moved[3], "OK");
    client.ok("SELECT target").await;
    assert_eq!(
        client.ok("FETCH 1:* (FLAGS BODY.PEEK[TEXT])").await,
        [
            "* 1 FETCH (FLAGS (\\Flagged \\Recent) BODY[TEXT] {1}\r\n1)",
            "* 2 FETCH (FLAGS (\\Recent) BODY[TEXT] {1}\r\n3)",
            "* 3 FETCH (FLAGS (\\Recent) BODY[TEXT] {1}\r\n2)",
            "* 4 FETCH (FLAGS (\\Recent) BODY[TEXT] {1}\r\n3)"
        ]
    );
}
