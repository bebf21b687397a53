//! RFC 3501 section 6.3 and its extensions.

use super::*;

#[tokio::test]
async fn create_rename_delete() {
    let server = server().await;
    let mut client = server.alice().await;
    assert_eq!(
        client.ok("NAMESPACE").await,
        ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]
    );
    assert_eq!(
        client.ok("LIST \"\" \"\"").await,
        ["* LIST (\\Noselect) \"/\" \"\""]
    );
    starts(&client.result("CREATE inbox").await, "NO [CANNOT]");
    starts(&client.result("CREATE a//b").await, "NO [CANNOT]");
    client.ok("CREATE work/2024").await;
    starts(&client.result("CREATE work/2024").await, "NO [ALREADYEXISTS]");
    client.ok("CREATE &AOQ-/").await;
    assert_eq!(
        client.ok("LIST \"\" work%").await,
        ["* LIST (\\HasChildren) \"/\" \"work\""]
    );
    assert_eq!(
        client.ok("LIST work/ %").await,
        ["* LIST (\\HasNoChildren) \"/\" \"work/2024\""]
    );
    assert_eq!(
        client.ok("LIST \"\" &AOQ-").await,
        ["* LIST (\\HasNoChildren) \"/\" \"&AOQ-\""]
    );
    client.ok("RENAME work old").await;
    assert_eq!(client.ok("LIST \"\" old/*").await.len(), 1);
    starts(&client.result("RENAME work new").await, "NO [NONEXISTENT]");
    starts(&client.result("RENAME old old/x").await, "NO [CANNOT]");
    starts(&client.result("RENAME old INBOX").await, "NO");
    starts(&client.result("DELETE INBOX").await, "NO [CANNOT]");
    client.ok("DELETE old/2024").await;
    starts(&client.result("DELETE old/2024").await, "NO [NONEXISTENT]");
    starts(&client.result("SELECT old/2024").await, "NO [NONEXISTENT]");
    starts(&client.result("SELECT &").await, "NO [NONEXISTENT]");
}

// RFC 6154.
#[tokio::test]
async fn special_uses() {
    let server = server().await;
    let mut client = server.alice().await;
    let listed = client.ok("LIST (SPECIAL-USE) \"\" *").await;
    assert!(
        listed.contains(&"* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"".to_owned()),
        "{listed:?}"
    );
    starts(
        &client.result("CREATE x (USE (\\Sent \\Junk))").await,
        "NO [USEATTR]",
    );
    starts(&client.result("CREATE x (USE (\\Sent))").await, "NO [USEATTR]");
    starts(
        &client.result("CREATE Sent (USE (\\Sent))").await,
        "NO [ALREADYEXISTS]",
    );
}

// RFC 3501 sections 6.3.6 to 6.3.9, RFC 5258.
#[tokio::test]
async fn subscriptions() {
    let server = server().await;
    let mut client = server.alice().await;
    client.ok("CREATE p/q").await;
    client.ok("SUBSCRIBE p/q").await;
    assert_eq!(
        client.ok("LSUB \"\" p%").await,
        ["* LSUB (\\Noselect) \"/\" \"p\""]
    );
    assert_eq!(client.ok("LSUB \"\" p*").await, ["* LSUB () \"/\" \"p/q\""]);
    client.ok("DELETE p/q").await;
    assert_eq!(client.ok("LSUB \"\" p/*").await, ["* LSUB () \"/\" \"p/q\""]);
    assert_eq!(
        client.ok("LIST (SUBSCRIBED) \"\" p/*").await,
        ["* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"p/q\""]
    );
    assert_eq!(client.ok("LIST \"\" p/*").await, [""; 0]);
    client.ok("UNSUBSCRIBE p/q").await;
    assert_eq!(client.ok("LSUB \"\" p/*").await, [""; 0]);
}

#[tokio::test]
async fn select_examine_status() {
    let server = server().await;
    let mut client = server.alice().await;
    starts(
        &client.append("INBOX", "(\\Seen) ", "A: 1\r\n\r\none").await,
        "OK [APPENDUID ",
    );
    starts(
        &client.append("INBOX", "(work) ", "A: 2\r\n\r\ntwo").await,
        "OK [APPENDUID ",
    );
    let selected = client.command("SELECT inbox").await;
    starts(
        &selected[0],
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)",
    );
    assert_eq!(selected[1], "* 2 EXISTS");
    assert_eq!(selected[2], "* 2 RECENT");
    starts(
        &selected[3],
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work \\*)]",
    );
    starts(&selected[4], "* OK [UNSEEN 2]");
    starts(&selected[5], "* OK [UIDVALIDITY ");
    starts(&selected[6], "* OK [UIDNEXT 3]");
    starts(&selected[7], "OK [READ-WRITE]");
    let examined = client.command("EXAMINE INBOX").await;
    starts(&examined[3], "* OK [PERMANENTFLAGS ()]");
    starts(&examined[7], "OK [READ-ONLY]");
    starts(&client.result("STORE 1 FLAGS (\\Deleted)").await, "NO [NOPERM]");
    starts(&client.result("EXPUNGE").await, "NO [NOPERM]");
    client.ok("CHECK").await;
    client.ok("UNSELECT").await;
    starts(&client.result("CHECK").await, "BAD");
    let status = client
        .ok("STATUS INBOX (MESSAGES UNSEEN UIDNEXT RECENT SIZE)")
        .await;
    assert_eq!(
        status,
        ["* STATUS INBOX (MESSAGES 2 UNSEEN 1 UIDNEXT 3 RECENT 0 SIZE 22)"]
    );
    starts(
        &client.result("STATUS nowhere (MESSAGES)").await,
        "NO [NONEXISTENT]",
    );
    // RFC 3501 section 6.3.1: a SELECT that fails leaves no mailbox open.
    client.ok("SELECT INBOX").await;
    client.result("SELECT nowhere").await;
    starts(&client.result("FETCH 1 FLAGS").await, "BAD");
    // RFC 5819.
    let listed = client.ok("LIST \"\" INBOX RETURN (STATUS (MESSAGES))").await;
    assert_eq!(
        listed,
        [
            "* LIST (\\HasNoChildren) \"/\" INBOX",
            "* STATUS INBOX (MESSAGES 2)"
        ]
    );
}

// RFC 3501 section 6.3.11.
#[tokio::test]
async fn append() {
    let server = server().await;
    let mut client = server.alice().await;
    starts(&client.append("nowhere", "", "x").await, "NO [TRYCREATE]");
    starts(&client.append("a//b", "", "x").await, "NO [CANNOT]");
    let date = "\"17-Jul-1996 02:44:25 -0700\" ";
    starts(
        &client.append("INBOX", date, "Subject: x\n\ny\n").await,
        "OK [APPENDUID ",
    );
    client.ok("SELECT INBOX").await;
    let fetched = client.ok("FETCH 1 (INTERNALDATE RFC822.SIZE BODY.PEEK[])").await;
    assert_eq!(
        fetched,
        [
            "* 1 FETCH (INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 17 BODY[] {17}\r\nSubject: x\r\n\r\ny\r\n)"
        ]
    );
    // With LITERAL+, and into the open mailbox: the news come before the result.
    client.send("z APPEND INBOX {4+}\r\na: b\r\n").await;
    let responses = client.until("z").await;
    assert_eq!(responses[0], "* 2 EXISTS");
    // More than one message is not understood, and leaves the dialogue in step.
    client.send("z APPEND INBOX {4+}\r\na: b {4+}\r\nc: d\r\n").await;
    starts(&client.until("z").await[0], "BAD");
}
