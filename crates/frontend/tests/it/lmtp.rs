//! RFC 2033 at the edge: one reply for each recipient, whatever the homes of the others do.

use crate::smtp::{GOOD, Home, Manners};
use crate::support::{Client, Front, context, domains, front, listed_domains};
use frontend::smtp::{SmtpProxy, serve};
use frontend::{HomeProtocol, LmtpProxyConfig};
use model::{ByteSize, Protocol};
use std::sync::Arc;

fn config() -> LmtpProxyConfig {
    LmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        max_message_size: ByteSize(64 << 10),
        ..LmtpProxyConfig::default()
    }
}

async fn lmtp(rules: &[(&str, &str)], config: LmtpProxyConfig) -> Front {
    let proxy = Arc::new(
        SmtpProxy::lmtp(config.clone(), context(rules), domains(&config.domains)).expect("good homes"),
    );
    front(
        Protocol::Lmtp,
        |_| {},
        move |accepted| serve(accepted, proxy.clone()),
    )
    .await
}

async fn greeted(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    assert_eq!(client.line().await, "220 front.example.test LMTP Homing");
    client.until("LHLO client.test", "250 ").await;
    client
}

/// MAIL and RCPT for each; the replies to RCPT, by their codes.
async fn begin(client: &mut Client, to: &[&str]) -> Vec<String> {
    let reply = client.ask("MAIL FROM:<sender@elsewhere.test>").await;
    assert!(reply.starts_with("250"), "{reply}");
    let mut codes = Vec::new();
    for recipient in to {
        let reply = client.ask(&format!("RCPT TO:<{recipient}@example.test>")).await;
        codes.push(reply[..3].to_owned());
    }
    codes
}

const TAKES: Manners = GOOD;
const FULL: Manners = Manners {
    end: &["452 4.2.2 full"],
    ..GOOD
};
const NEVER: Manners = Manners {
    end: &["554 5.6.0 no"],
    ..GOOD
};
const GONE: Manners = Manners {
    end: &["die"],
    ..GOOD
};

#[tokio::test]
async fn each_recipient_has_its_own_reply() {
    let homes = [
        Home::start(TAKES).await,
        Home::start(FULL).await,
        Home::start(NEVER).await,
        Home::start(GONE).await,
    ];
    let rules = [
        ("a@example.test", homes[0].name.as_str()),
        ("b@example.test", &homes[1].name),
        ("c@example.test", &homes[2].name),
        ("d@example.test", &homes[3].name),
        ("e@example.test", &homes[0].name),
    ];
    let front = lmtp(&rules, config()).await;
    let mut client = greeted(&front).await;
    let codes = begin(&mut client, &["a", "b", "nobody", "c", "d", "e"]).await;
    assert_eq!(codes, ["250", "250", "550", "250", "250", "250"]);
    assert!(client.ask("DATA").await.starts_with("354"));
    client.send("Subject: x\r\n\r\n..x\r\n.\r\n");
    let mut replies = Vec::new();
    for _ in 0..5 {
        replies.push(client.line().await[..9].to_owned());
    }
    assert_eq!(
        replies,
        ["250 2.0.0", "452 4.2.2", "554 5.6.0", "451 4.4.2", "250 2.0.0"],
        "in the order of RCPT"
    );
    let kept = homes[0].seen.lock().messages.clone();
    assert_eq!(kept.len(), 1, "one copy for each home");
    assert!(
        kept[0].contains(" with LMTP id ") && kept[0].ends_with("Subject: x\r\n\r\n.x\r\n"),
        "{}",
        kept[0]
    );
    // The session goes on.
    assert_eq!(begin(&mut client, &["a"]).await, ["250"]);
    assert!(client.ask("DATA").await.starts_with("354"));
    assert!(client.ask("x\r\n.").await.starts_with("250 2.0.0"));
    assert!(client.ask("QUIT").await.starts_with("221"));
}

/// Towards an LMTP home each of its recipients has its own reply, too.
#[tokio::test]
async fn replies_of_an_lmtp_home_find_their_recipients() {
    let mixed = Manners {
        end: &["250 2.0.0 kept", "452 4.2.2 full", "550 5.2.1 off"],
        ..GOOD
    };
    let (far, near) = (Home::start(mixed).await, Home::start(TAKES).await);
    let rules = [
        ("a@example.test", far.name.as_str()),
        ("b@example.test", &near.name),
        ("c@example.test", &far.name),
        ("d@example.test", &far.name),
    ];
    let config = LmtpProxyConfig {
        home_protocol: HomeProtocol::Lmtp,
        ..config()
    };
    let front = lmtp(&rules, config).await;
    let mut client = greeted(&front).await;
    begin(&mut client, &["a", "b", "c", "d"]).await;
    assert!(client.ask("DATA").await.starts_with("354"));
    client.send("x\r\n.\r\n");
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(client.line().await[..3].to_owned());
    }
    assert_eq!(codes, ["250", "250", "452", "550"]);
    assert!(far.seen.lock().lines.iter().any(|line| line.starts_with("LHLO ")));
}

// RFC 2033 sections 4.1 to 4.3.
#[tokio::test]
async fn what_lmtp_does_otherwise() {
    let home = Home::start(TAKES).await;
    let rules = [
        ("a@example.test", home.name.as_str()),
        ("b@example.test", &home.name),
    ];
    let front = lmtp(&rules, config()).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    for hello in ["EHLO x", "HELO x"] {
        let reply = client.ask(hello).await;
        assert_eq!(reply, "500 5.5.1 This is LMTP; say LHLO");
    }
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    client.send("LHLO client.test\r\n");
    let mut announced = Vec::new();
    while announced
        .last()
        .is_none_or(|line: &String| line.as_bytes()[3] == b'-')
    {
        announced.push(client.line().await);
    }
    for keyword in ["PIPELINING", "ENHANCEDSTATUSCODES"] {
        assert!(
            announced.iter().any(|line| line[4..] == *keyword),
            "{announced:?}"
        );
    }
    // Without a recipient there is nothing to answer for.
    begin(&mut client, &["nobody"]).await;
    assert_eq!(client.ask("DATA").await, "503 5.5.1 No valid recipients");
    assert_eq!(client.ask("BDAT 3 LAST\r\nx\r\nNOOP").await, "250 2.0.0 Done");
    client.ask("RSET").await;
    let reply = client.ask("BDAT 3 LAST\r\nx").await;
    assert!(reply.starts_with("503"), "{reply}");
    // What is refused is refused for each; a chunk that is not the last one has one reply.
    begin(&mut client, &["a", "b"]).await;
    assert!(client.ask("DATA").await.starts_with("354"));
    client.send("x\ny\r\n.\r\n");
    for _ in 0..2 {
        assert!(client.line().await.starts_with("550 5.6.0"));
    }
    begin(&mut client, &["a", "b"]).await;
    assert!(client.ask("BDAT 3\r\nx").await.starts_with("250"));
    client.send("BDAT 3 LAST\r\ny\r\n");
    for _ in 0..2 {
        assert!(client.line().await.starts_with("250 2.0.0"));
    }
    assert_eq!(client.ask("NOOP").await, "250 2.0.0 Done");
    assert_eq!(home.seen.lock().messages.len(), 1);
    // A domain that is not listed is refused here as well.
    client.ask("MAIL FROM:<>").await;
    let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
}
