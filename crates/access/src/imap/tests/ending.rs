//! Sessions that are ended from outside: a proper goodbye, in IDLE and between commands.

use super::server;
use net::{SessionEnd, SessionFilter};

#[tokio::test]
async fn a_session_that_is_told_to_end_says_goodbye() {
    for (why, bye) in [
        (SessionEnd::Revoked, "* BYE Log in again"),
        (SessionEnd::Kicked, "* BYE Ended by the administrator"),
        (
            SessionEnd::Drained,
            "* BYE [UNAVAILABLE] The server is being emptied",
        ),
    ] {
        let server = server().await;
        let mut waiting = server.alice().await;
        let mut idling = server.alice().await;
        let mut stranger = server.connect();
        stranger.response().await;
        idling.ok("SELECT INBOX").await;
        idling.send("i IDLE\r\n").await;
        assert_eq!(idling.response().await, "+ idling");
        let filter = SessionFilter {
            account: model::Address::parse("alice@example.test").ok(),
            ..SessionFilter::default()
        };
        assert_eq!(server.service.sessions.end(&filter, why), 2);
        assert_eq!(waiting.response().await, bye);
        assert_eq!(idling.response().await, bye);
        stranger.ok("NOOP").await;
    }
}
