//! What Thunderbird sends from its first connection to an open message, word for word.

use super::*;

#[tokio::test]
async fn from_login_to_message() {
    let server = server().await;
    server
        .alice_with(&["From: b@example.test\r\nSubject: x\r\n\r\nbody"])
        .await;
    let mut client = server.connect();
    client.response().await;
    starts(&client.ok("capability").await[0], "* CAPABILITY IMAP4rev1");
    client.send("2 authenticate PLAIN\r\n").await;
    assert_eq!(client.response().await, "+ ");
    client.send("AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n").await;
    starts(&client.response().await, "2 OK [CAPABILITY ");
    client
        .ok("ID (\"name\" \"Thunderbird\" \"version\" \"115.0\")")
        .await;
    client.ok("namespace").await;
    let listed = client
        .ok("list (subscribed) \"\" \"*\" return (special-use)")
        .await;
    assert!(
        listed.contains(&"* LIST (\\HasNoChildren \\Subscribed \\Trash) \"/\" \"Trash\"".to_owned()),
        "{listed:?}"
    );
    assert!(
        listed.contains(&"* LIST (\\HasNoChildren \\Subscribed) \"/\" INBOX".to_owned()),
        "{listed:?}"
    );
    client.ok("list \"\" \"INBOX\"").await;
    starts(
        client.command("select \"INBOX\"").await.last().expect("a result"),
        "OK [READ-WRITE]",
    );
    starts(
        &client.ok("UID fetch 1:* (FLAGS)").await[0],
        "* 1 FETCH (UID 1 FLAGS (",
    );
    let headers = client
        .ok("UID fetch 1 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID \
             Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])")
        .await;
    assert!(
        headers[0].ends_with("{36}\r\nFrom: b@example.test\r\nSubject: x\r\n\r\n)"),
        "{headers:?}"
    );
    client.send("9 IDLE\r\n").await;
    starts(&client.response().await, "+ ");
    client.send("DONE\r\n").await;
    starts(&client.response().await, "9 OK");
    let whole = client.ok("UID fetch 1 (UID RFC822.SIZE BODY.PEEK[])").await;
    assert!(whole[0].contains("BODY[] {40}\r\n"), "{whole:?}");
    starts(
        &client.ok("uid store 1 +Flags (\\Seen)").await[0],
        "* 1 FETCH (UID 1 FLAGS (\\Seen",
    );
    starts(&client.result("uid copy 1 \"Trash\"").await, "OK [COPYUID ");
    client.ok("noop").await;
    client.ok("close").await;
    client.ok("logout").await;
}
