//! Who the client is: believed from trusted front ends only, told to homes; and front ends in a circle.

use crate::smtp::{GOOD, Home, deliver, greeted, smtp, smtp_with};
use crate::support::{Client, Front, SOON, context, domains, listed_domains};
use frontend::SmtpProxyConfig;
use frontend::smtp::{SmtpProxy, serve};
use model::Protocol;
use net::{Listener, ListenerConfig, Shutdown, ShutdownTrigger};
use std::sync::Arc;
use testkit::free_port;

fn trusting(listener: &mut ListenerConfig) {
    listener.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
}

async fn trusted(rules: &[(&str, &str)], configure: impl FnOnce(&mut SmtpProxyConfig)) -> Front {
    smtp_with(context(rules), trusting, configure).await
}

// Postfix's XCLIENT_README and XFORWARD_README.
#[tokio::test]
async fn a_trusted_front_end_names_its_client() {
    let home = Home::start(GOOD).await;
    let front = trusted(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let announced = client.until("EHLO front0.test", "250-XCLIENT").await;
    assert_eq!(
        announced,
        "250-XCLIENT NAME ADDR PORT PROTO HELO SESSION TTL CLIENT-TRANSPORT"
    );
    client.until("NOOP", "250 2.0.0").await;
    let hello = client
        .ask("XCLIENT ADDR=198.51.100.7 PORT=99 HELO=real.test")
        .await;
    assert!(hello.starts_with("220 "), "the session begins again: {hello}");
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    client.until("EHLO front0.test", "250 ").await;
    assert!(
        client
            .ask("XFORWARD ADDR=192.0.2.77 IDENT=00000000000000aa")
            .await
            .starts_with("250")
    );
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    let told = home.heard("XCLIENT");
    assert_eq!(told, ["XCLIENT ADDR=198.51.100.7 PORT=99 HELO=real.test"]);
    let told = home.heard("XFORWARD");
    assert_eq!(
        told,
        ["XFORWARD ADDR=192.0.2.77 HELO=real.test IDENT=00000000000000aa SOURCE=REMOTE"]
    );
    assert!(home.messages()[0].contains("Received: from real.test ([198.51.100.7])"));
    // XFORWARD was for one transaction, XCLIENT is for the session.
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    let told = home.heard("XFORWARD");
    assert!(
        told[1].starts_with("XFORWARD ADDR=198.51.100.7 HELO=real.test IDENT=") && told.len() == 2,
        "{told:?}"
    );
    assert!(!told[1].contains("00000000000000aa"));
    assert_eq!(home.heard("XCLIENT").len(), 1, "over the same connection");
    // A second client over the same connection: the homes are greeted again.
    assert!(client.ask("XCLIENT ADDR=198.51.100.8").await.starts_with("220 "));
    client.until("EHLO front0.test", "250 ").await;
    deliver(&mut client, &["a"], "x").await;
    let told = home.heard("XCLIENT");
    assert!(
        told.len() == 2 && told[1].starts_with("XCLIENT ADDR=198.51.100.8 "),
        "{told:?}"
    );
    assert!(!told[1].contains("PORT="), "the other client's port: {told:?}");
    client.ask("MAIL FROM:<>").await;
    for line in ["XCLIENT ADDR=192.0.2.1", "XFORWARD ADDR=192.0.2.1"] {
        assert!(
            client.ask(line).await.starts_with("503"),
            "not within a transaction"
        );
    }
}

#[tokio::test]
async fn claims_of_strangers_reach_no_home() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    for line in [
        "XCLIENT ADDR=198.51.100.7 TTL=9",
        "XFORWARD ADDR=198.51.100.7 IDENT=00000000000000aa",
    ] {
        assert!(client.ask(line).await.starts_with("502"), "{line}");
    }
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    let told = [home.heard("XCLIENT"), home.heard("XFORWARD")].concat();
    assert!(
        told.len() == 2 && told.iter().all(|line| line.contains("ADDR=127.0.0.1")),
        "{told:?}"
    );
    assert!(!told.concat().contains("00000000000000aa"));
    assert!(home.messages()[0].contains("Received: from client.test ([127.0.0.1])"));
}

/// What was said in the clear was said by anybody: RFC 3207 section 4.2.
#[tokio::test]
async fn claims_from_before_the_handshake_are_forgotten() {
    let home = Home::start(GOOD).await;
    let front = trusted(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    assert!(client.ask("XCLIENT ADDR=198.51.100.7").await.starts_with("220"));
    client.until("EHLO x", "250 ").await;
    assert!(client.ask("XFORWARD ADDR=198.51.100.7").await.starts_with("250"));
    client.ask("STARTTLS").await;
    let tls = client.0.start_tls_client(&front.tls, "localhost", SOON).await;
    tls.expect("a handshake");
    client.until("EHLO x", "250 ").await;
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    let told = [home.heard("XCLIENT"), home.heard("XFORWARD")].concat();
    assert!(
        told.iter().all(|line| line.contains("ADDR=127.0.0.1")),
        "{told:?}"
    );
}

/// A front end on a port that is known before it starts.
async fn front_at(port: u16, next: u16, listener: fn(&mut ListenerConfig)) -> ShutdownTrigger {
    let rules = [("@example.test".to_owned(), format!("127.0.0.1:{next}"))];
    let rules: Vec<(&str, &str)> = rules.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let config = SmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        ..SmtpProxyConfig::default()
    };
    let proxy = Arc::new(
        SmtpProxy::new(config.clone(), context(&rules), domains(&config.domains)).expect("good homes"),
    );
    let mut at = ListenerConfig::at(([127, 0, 0, 1], port).into());
    listener(&mut at);
    let listener = Listener::bind(at, Protocol::Smtp, None)
        .await
        .expect("a free port");
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(listener.run(shutdown, move |accepted| serve(accepted, proxy.clone())));
    trigger
}

async fn ask_around(listener: fn(&mut ListenerConfig)) -> String {
    let (one, two) = (free_port().expect("a port"), free_port().expect("a port"));
    let _first = front_at(one, two, listener).await;
    let _second = front_at(two, one, listener).await;
    let mut client = Client::connect(([127, 0, 0, 1], one).into()).await;
    client.line().await;
    client.until("EHLO client.test", "250 ").await;
    client.ask("MAIL FROM:<s@elsewhere.test>").await;
    let reply = client.ask("RCPT TO:<a@example.test>").await;
    assert!(
        client.ask("DATA").await.starts_with("554"),
        "there is no recipient"
    );
    assert!(client.ask("NOOP").await.starts_with("250"));
    reply
}

/// Each is the other's home, and they trust one another: the count of hops ends it.
#[tokio::test]
async fn two_front_ends_in_a_circle() {
    let reply = ask_around(trusting).await;
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
}

/// They do not trust one another, so nobody counts: the limit of connections ends it, and the sender keeps the
/// message.
#[tokio::test]
async fn a_circle_of_strangers_ends_at_the_limit_of_connections() {
    let reply = ask_around(|listener| listener.max_connections_per_peer = 8).await;
    assert!(reply.starts_with("451 4.4.1"), "{reply}");
}
