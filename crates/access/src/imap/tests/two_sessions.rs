//! What one session is told of what another does: RFC 3501 sections 5.2 and 7.4.1, RFC 2177.

use super::*;

const MESSAGES: [&str; 3] = ["A: 1\r\n\r\n1", "A: 2\r\n\r\n2", "A: 3\r\n\r\n3"];

#[tokio::test]
async fn news_come_at_legal_moments_only() {
    let server = server().await;
    let mut one = server.alice_with(&MESSAGES).await;
    let mut two = server.alice().await;
    two.ok("SELECT INBOX").await;
    two.ok("STORE 3 +FLAGS.SILENT (\\Flagged)").await;
    assert_eq!(one.ok("NOOP").await, ["* 3 FETCH (UID 3 FLAGS (\\Flagged))"]);
    // A change that changes nothing does not hide somebody else's.
    two.ok("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(
        one.ok("STORE 1 -FLAGS.SILENT (\\Draft)").await,
        ["* 2 FETCH (UID 2 FLAGS (\\Seen))"]
    );
    two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    two.ok("EXPUNGE").await;
    two.append("INBOX", "", "A: 4\r\n\r\n4").await;
    // Sequence numbers stay as they are during these; what is gone is passed over.
    let fetched = one.command("FETCH 1:3 UID").await;
    assert_eq!(fetched[..2], ["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)"]);
    starts(&fetched[2], "OK [EXPUNGEISSUED]");
    assert_eq!(
        one.ok("STORE 3 +FLAGS (\\Seen)").await,
        ["* 3 FETCH (UID 3 FLAGS (\\Flagged \\Seen))"]
    );
    assert_eq!(one.ok("SEARCH ALL").await, ["* SEARCH 2 3"]);
    // Here they may move.
    assert_eq!(
        one.ok("UID FETCH 3 UID").await,
        ["* 3 FETCH (UID 3)", "* 1 EXPUNGE", "* 3 EXISTS", "* 0 RECENT"]
    );
    assert_eq!(
        one.ok("FETCH 1:* UID").await,
        ["* 1 FETCH (UID 2)", "* 2 FETCH (UID 3)", "* 3 FETCH (UID 4)"]
    );
}

#[tokio::test]
async fn idle_wakes() {
    let server = server().await;
    let mut one = server.alice_with(&MESSAGES).await;
    let mut two = server.alice().await;
    one.send("i IDLE\r\n").await;
    starts(&one.response().await, "+ ");
    two.append("INBOX", "", "A: 4\r\n\r\n4").await;
    assert_eq!(one.response().await, "* 4 EXISTS");
    assert_eq!(one.response().await, "* 1 RECENT");
    two.ok("SELECT INBOX").await;
    two.ok("STORE 2 +FLAGS (\\Deleted)").await;
    assert_eq!(one.response().await, "* 2 FETCH (UID 2 FLAGS (\\Deleted))");
    two.ok("EXPUNGE").await;
    assert_eq!(one.response().await, "* 2 EXPUNGE");
    one.send("done\r\n").await;
    starts(&one.response().await, "i OK");
    one.send("j IDLE\r\n").await;
    starts(&one.response().await, "+ ");
    one.send("k NOOP\r\n").await;
    starts(&one.response().await, "j BAD");
}

#[tokio::test]
async fn a_deleted_mailbox_ends_the_sessions_that_have_it_open() {
    let server = server().await;
    let mut two = server.alice().await;
    two.ok("CREATE x").await;
    let mut one = server.alice().await;
    one.ok("SELECT x").await;
    two.ok("SELECT x").await;
    two.ok("DELETE x").await;
    starts(&two.result("CHECK").await, "BAD");
    one.send("a NOOP\r\n").await;
    starts(&one.response().await, "* BYE");
    assert_eq!(one.try_response().await, None);
}

#[tokio::test]
async fn shutdown_says_goodbye() {
    let server = server().await;
    let mut idle = server.alice().await;
    idle.send("i IDLE\r\n").await;
    starts(&idle.response().await, "+ ");
    let mut quiet = server.alice().await;
    server.trigger.request(Duration::from_secs(5));
    for client in [&mut idle, &mut quiet] {
        starts(&client.response().await, "* BYE [UNAVAILABLE]");
        assert_eq!(client.try_response().await, None);
    }
}

#[tokio::test]
async fn a_disabled_account_loses_its_sessions() {
    let server = server().await;
    let mut client = server.alice().await;
    let store = &server.service.store;
    let address = Address::parse("alice@example.test").expect("an address");
    let account = store
        .account_by_address(&address)
        .expect("readable")
        .expect("there");
    let change = store::AccountChange {
        enabled: Some(false),
        ..store::AccountChange::default()
    };
    store
        .update_account(account.id, None, change, &Origin::System)
        .await
        .expect("changed");
    client.ok("NOOP").await;
    server.time.advance(Duration::from_secs(60));
    client.send("a NOOP\r\n").await;
    starts(&client.response().await, "* BYE");
    assert_eq!(client.try_response().await, None);
}

// RFC 3501 section 2.3.2: the first session that is told of a message has it `\Recent`, EXAMINE takes nothing away.
#[tokio::test]
async fn recent_belongs_to_the_first_session() {
    let server = server().await;
    let mut one = server.alice().await;
    one.append("INBOX", "(\\Seen) ", "A: 1\r\n\r\n1").await;
    one.append("INBOX", "", "A: 2\r\n\r\n2").await;
    assert_eq!(
        one.ok("STATUS INBOX (RECENT)").await,
        ["* STATUS INBOX (RECENT 2)"]
    );
    assert_eq!(one.ok("EXAMINE INBOX").await[2], "* 2 RECENT");
    assert_eq!(one.ok("FETCH 2 FLAGS").await, ["* 2 FETCH (FLAGS (\\Recent))"]);
    assert_eq!(one.ok("SELECT INBOX").await[2], "* 2 RECENT");
    assert_eq!(
        one.ok("FETCH 1 FLAGS").await,
        ["* 1 FETCH (FLAGS (\\Seen \\Recent))"]
    );
    assert_eq!(one.ok("SEARCH RECENT").await, ["* SEARCH 1 2"]);
    assert_eq!(one.ok("SEARCH NEW").await, ["* SEARCH 2"]);
    let mut two = server.alice().await;
    assert_eq!(
        two.ok("STATUS INBOX (RECENT)").await,
        ["* STATUS INBOX (RECENT 0)"]
    );
    assert_eq!(two.ok("SELECT INBOX").await[2], "* 0 RECENT");
    assert_eq!(two.ok("SEARCH OLD").await, ["* SEARCH 1 2"]);
    assert_eq!(two.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Seen))"]);
    two.append("INBOX", "", "A: 3\r\n\r\n3").await;
    assert_eq!(two.ok("SEARCH RECENT").await, ["* SEARCH 3"]);
    assert_eq!(one.ok("NOOP").await, ["* 3 EXISTS", "* 2 RECENT"]);
    assert_eq!(one.ok("SEARCH RECENT").await, ["* SEARCH 1 2"]);
    // A session that opens it again is a later one.
    assert_eq!(two.ok("SELECT INBOX").await[2], "* 0 RECENT");
}

// Design (sync.md): login is off for an account that moved away or was disabled, whatever the directory says of its
// password.
#[tokio::test]
async fn accounts_that_cannot_be_used_here() {
    let server = server().await;
    let store = &server.service.store;
    let address = Address::parse("alice@example.test").expect("an address");
    let id = store
        .account_by_address(&address)
        .expect("readable")
        .expect("there")
        .id;
    let moved = store::AccountState::MovedAway {
        to: "other.test".into(),
    };
    let awaiting = store::AccountState::AwaitingMail {
        from: "other.test".into(),
    };
    let active = store::AccountState::Active;
    for (enabled, state, answer) in [
        (true, moved, "NO [UNAVAILABLE]"),
        (true, awaiting, "NO [UNAVAILABLE]"),
        (false, active.clone(), "NO [AUTHENTICATIONFAILED]"),
        (true, active, "OK "),
    ] {
        let change = store::AccountChange {
            enabled: Some(enabled),
            state: Some(state),
            ..store::AccountChange::default()
        };
        store
            .update_account(id, None, change, &Origin::System)
            .await
            .expect("changed");
        let mut client = server.connect();
        client.response().await;
        starts(&client.result("LOGIN alice@example.test secret").await, answer);
    }
}
