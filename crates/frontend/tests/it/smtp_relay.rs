//! Who may relay, and to where: nobody else, whatever maps, lists and claims say.

use crate::smtp::{GOOD, Home, Manners, deliver, greeted, smtp_with};
use crate::support::{Client, Front, SOON, certificate, context, domains, listed_domains};
use directory::{Connector, ConnectorConfig, Domains, DomainsConfig};
use frontend::SmtpProxyConfig;
use frontend::smtp::{SmtpProxy, serve};
use model::{DomainAliases, Protocol, SystemClock};
use net::{ClientTls, ClientTlsConfig, Listener, ListenerConfig, ServerTls, Shutdown, TlsConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use testkit::{Authority, Certificate};

/// A relay that refuses one recipient, and would tell by XCLIENT that it was taken for a home.
const RELAY: Manners = Manners {
    hello: "250-relay\r\n250-PIPELINING\r\n250-XCLIENT ADDR\r\n250 XFORWARD ADDR HELO",
    end: &["250 2.0.0 queued"],
    ..GOOD
};

fn proxied(listener: &mut ListenerConfig) {
    listener.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    listener.proxy_protocol = true;
}

fn trusting(listener: &mut ListenerConfig) {
    listener.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
}

/// A client that the front end takes for another machine.
async fn from_afar(front: &Front, address: &str) -> Client {
    let mut client = Client::connect(front.address).await;
    client.send(&format!("PROXY TCP4 {address} 192.0.2.1 4242 25\r\n"));
    assert!(client.line().await.starts_with("220 "));
    client.until("EHLO client.test", "250 ").await;
    client
}

fn relaying<'a>(networks: &'a [&'a str], relay: &'a Home) -> impl FnOnce(&mut SmtpProxyConfig) + 'a {
    move |config| {
        let networks = networks.iter().map(|text| text.parse().expect("a network"));
        config.relay_from = networks.collect();
        config.relay_home = Some(relay.name.clone());
        config.max_recipients = 100;
    }
}

#[tokio::test]
async fn a_client_of_ours_is_relayed_and_a_stranger_is_not() {
    let (home, relay) = (Home::start(GOOD).await, Home::start(RELAY).await);
    let rules = [("@example.test", home.name.as_str()), ("*", home.name.as_str())];
    let configure = relaying(&["192.0.2.0/24"], &relay);
    let front = smtp_with(context(&rules), proxied, configure).await;
    let mut stranger = from_afar(&front, "198.51.100.7").await;
    stranger.ask("MAIL FROM:<s@example.test>").await;
    let refused = stranger.ask("RCPT TO:<a@elsewhere.test>").await;
    assert!(refused.starts_with("550 5.7.1"), "{refused}");
    assert!(stranger.ask("RCPT TO:<a@example.test>").await.starts_with("250"));

    let mut own = from_afar(&front, "192.0.2.7").await;
    own.ask("MAIL FROM:<s@example.test>").await;
    let refused = own.ask("RCPT TO:<gone@elsewhere.test>").await;
    assert_eq!(refused, "550 5.1.1 gone", "in the relay's words");
    let literal = own.ask("RCPT TO:<a@[192.0.2.9]>").await;
    assert!(literal.starts_with("550 5.7.1"), "{literal}");
    assert!(own.ask("RCPT TO:<a@elsewhere.test>").await.starts_with("250"));
    // One transaction has one home, and the relay is one.
    let other = own.ask("RCPT TO:<a@example.test>").await;
    assert!(other.starts_with("452 4.5.3"), "{other}");
    own.ask("DATA").await;
    assert_eq!(own.ask("Subject: out\r\n\r\nx\r\n.").await, "250 2.0.0 queued");
    let (_, end) = deliver(&mut own, &["a"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!(
        relay.heard("RCPT"),
        ["RCPT TO:<gone@elsewhere.test>", "RCPT TO:<a@elsewhere.test>"]
    );
    // The relay trusts us, and would not trust the client; the home judges the client.
    assert!(relay.heard("XCLIENT").is_empty());
    assert_eq!(
        relay.heard("XFORWARD")[0],
        "XFORWARD ADDR=192.0.2.7 HELO=client.test"
    );
    assert!(
        home.heard("RCPT")
            .iter()
            .all(|line| line.ends_with("@example.test>"))
    );
    assert!(
        home.heard("XCLIENT")
            .iter()
            .any(|line| line.contains("ADDR=192.0.2.7"))
    );
}

/// The balancer is in the network that may relay; a client of it that it cannot name is not.
#[tokio::test]
async fn a_client_without_a_name_is_nobody_of_ours() {
    let (home, relay) = (Home::start(GOOD).await, Home::start(RELAY).await);
    let rules = [("@example.test", home.name.as_str()), ("*", home.name.as_str())];
    let configure = relaying(&["127.0.0.0/8", "0.0.0.0/8"], &relay);
    let front = smtp_with(context(&rules), proxied, configure).await;
    for header in ["PROXY UNKNOWN\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = Client::connect(front.address).await;
        client.send(header);
        assert!(client.line().await.starts_with("220 "), "greeted all the same");
        client.until("EHLO client.test", "250 ").await;
        for claim in ["XCLIENT ADDR=127.0.0.1", "XFORWARD ADDR=127.0.0.1"] {
            let refused = client.ask(claim).await;
            assert!(refused.starts_with("50"), "{claim}: {refused}");
        }
        client.ask("MAIL FROM:<s@example.test>").await;
        let refused = client.ask("RCPT TO:<a@elsewhere.test>").await;
        assert!(refused.starts_with("550 5.7.1"), "{refused}");
        assert!(client.ask("RCPT TO:<a@example.test>").await.starts_with("250"));
    }
    assert!(relay.heard("RCPT").is_empty());
    // Dovecot refuses a port of 0, and would take the client for us.
    let told = home.heard("XCLIENT");
    assert!(
        told.len() == 2
            && told
                .iter()
                .all(|line| line.starts_with("XCLIENT ADDR=0.0.0.0 HELO=")),
        "{told:?}"
    );
}

/// A home that believes us and does not understand what we say would take the client for us.
#[tokio::test]
async fn a_home_that_does_not_understand_who_the_client_is_gets_no_mail_of_it() {
    let home = Home::start(GOOD).await;
    let front = smtp_with(context(&[("*", home.name.as_str())]), proxied, |_| {}).await;
    let mut client = from_afar(&front, "198.51.100.99").await;
    let (replies, _) = deliver(&mut client, &["a"], "x").await;
    assert!(replies[0].starts_with("451 4."), "{replies:?}");
    assert!(home.heard("MAIL").is_empty() && home.heard("XCLIENT").len() == 1);
}

/// Homes or the relay, as what was asked first: nobody takes over what the relay refuses in the end, and a retry would
/// bring the message to the homes again. The relay is a home of accounts as well here.
#[tokio::test]
async fn a_relay_that_is_a_home_too_is_asked_as_one_or_the_other() {
    for (end, heard) in [("250 2.0.0 queued", "250"), ("554 5.7.1 spam", "554 5.7.1")] {
        let manners: &'static [&'static str] = Box::leak(Box::new([end]));
        asked_as_one_or_the_other(
            Manners {
                end: manners,
                ..RELAY
            },
            heard,
        )
        .await;
    }
}

async fn asked_as_one_or_the_other(manners: Manners, heard: &str) {
    let relay = Home::start(manners).await;
    let rules = [("@example.test", relay.name.as_str())];
    let front = smtp_with(
        context(&rules),
        |_| {},
        |config| {
            relaying(&["127.0.0.1"], &relay)(config);
            config.relay_home = None;
            config.spill_home = Some(relay.name.clone());
        },
    )
    .await;
    let mut client = greeted(&front).await;
    let (own, foreign) = ("RCPT TO:<b@example.test>", "RCPT TO:<a@elsewhere.test>");
    let (gone, later) = ("RCPT TO:<gone@elsewhere.test>", "452 4.5.3");
    for (number, recipients) in [
        (1, [(foreign, "250"), (own, later), (foreign, "250")]),
        (2, [(own, "250"), (foreign, later), (own, "250")]),
        // Whoever has taken nobody binds nothing.
        (3, [(gone, "550"), (own, "250"), (own, "250")]),
    ] {
        client.ask("MAIL FROM:<s@example.test>").await;
        // One by one, and in one go.
        for (recipient, wanted) in recipients {
            let reply = client.ask(recipient).await;
            assert!(reply.starts_with(wanted), "{number} {recipient}: {reply}");
        }
        client.ask("RSET").await;
        client.ask("MAIL FROM:<s@example.test>").await;
        for (recipient, _) in recipients {
            client.send(&format!("{recipient}\r\n"));
        }
        for (recipient, wanted) in recipients {
            let reply = client.line().await;
            assert!(reply.starts_with(wanted), "{number} {recipient}: {reply}");
        }
        client.ask("DATA").await;
        let end = client.ask("x\r\n.").await;
        assert!(end.starts_with(heard), "{end}");
        assert_eq!(relay.messages().len(), number, "once, and nowhere else");
    }
    assert!(!relay.heard("XCLIENT").is_empty(), "for the account's legs");
}

/// A port that leads to a front end which is made later; with how many connections came.
struct Detour {
    name: String,
    to: Arc<OnceLock<SocketAddr>>,
    passed: Arc<AtomicUsize>,
}

impl Detour {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let detour = Self {
            name: listener.local_addr().expect("bound").to_string(),
            to: Arc::default(),
            passed: Arc::default(),
        };
        let (to, passed) = (detour.to.clone(), detour.passed.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                passed.fetch_add(1, Ordering::SeqCst);
                let to = *to.get().expect("made by now");
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(to).await.expect("it listens");
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        detour
    }
}

/// Front ends that relay to each other, or to themselves, find out at the first recipient, whether they trust each
/// other or not. The set-up is wrong, and not the message.
#[tokio::test]
async fn a_relay_that_leads_back_is_not_asked_for_ever() {
    let strangers: fn(&mut ListenerConfig) = |_| {};
    for (names, listener) in [
        (&["front.example.test"][..], strangers),
        (&["front.example.test"], trusting),
        (&["one.test", "two.test", "three.test"], strangers),
        (&["one.test", "two.test", "three.test"], trusting),
        // All of one name, as machines behind one name are.
        (&["same.test", "same.test"], strangers),
    ] {
        let mut ports = Vec::new();
        for _ in names {
            ports.push(Detour::start().await);
        }
        let mut fronts = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let next = &ports[(number + 1) % ports.len()];
            let mut context = context(&[]);
            context.server_name = (*name).to_owned();
            let front = smtp_with(context, listener, |config| {
                config.relay_from = vec!["127.0.0.1".parse().expect("a network")];
                config.relay_home = Some(next.name.clone());
            })
            .await;
            ports[number].to.set(front.address).expect("once");
            fronts.push(front);
        }
        let mut client = Client::connect(fronts[0].address).await;
        client.line().await;
        client.until("EHLO client.test", "250 ").await;
        client.ask("MAIL FROM:<s@example.test>").await;
        let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
        assert!(reply.starts_with("451 4.3.5"), "{names:?}: {reply}");
        for port in &ports {
            let passed = port.passed.load(Ordering::SeqCst);
            assert!((1..=4).contains(&passed), "{names:?}: {passed}");
        }
        assert!(client.ask("RSET").await.starts_with("250"));
    }
}

/// Another server of our name is no circle.
#[tokio::test]
async fn a_relay_that_greets_by_our_name_is_a_relay() {
    let way_out = Manners {
        greeting: "220 front.example.test ESMTP Homing",
        ..RELAY
    };
    let relay = Home::start(way_out).await;
    let front = smtp_with(context(&[]), |_| {}, relaying(&["127.0.0.1"], &relay)).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<s@example.test>").await;
    let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
    assert!(reply.starts_with("250"), "{reply}");
}

/// A queue says IDENT again in each of the deliveries that it makes side by side, and in those of every message of
/// that session.
#[tokio::test]
async fn what_a_queue_delivers_side_by_side_is_no_circle() {
    let relay = Home::start(RELAY).await;
    let front = smtp_with(context(&[]), trusting, relaying(&["127.0.0.1"], &relay)).await;
    let mut deliveries = tokio::task::JoinSet::new();
    for number in 0..12 {
        let mut client = greeted(&front).await;
        deliveries.spawn(async move {
            client.ask("XFORWARD IDENT=00000000000000ff SOURCE=REMOTE").await;
            client.ask("MAIL FROM:<s@example.test>").await;
            client
                .ask(&format!("RCPT TO:<slow{number}@elsewhere.test>"))
                .await
        });
    }
    for reply in deliveries.join_all().await {
        assert!(reply.starts_with("250"), "{reply}");
    }
}

/// What anybody says by XTRACE is passed on to those who announce it, and is used for nothing else.
#[tokio::test]
async fn the_first_session_is_told_to_whoever_asks_for_it() {
    let asking = Manners {
        hello: "250-relay\r\n250-PIPELINING\r\n250-XTRACE\r\n250 XFORWARD IDENT",
        ..RELAY
    };
    let lone = Manners {
        hello: "250-relay\r\n250 XTRACE",
        ..RELAY
    };
    for manners in [asking, lone, RELAY] {
        let (announces, relay) = (manners.hello.contains("XTRACE"), Home::start(manners).await);
        let front = smtp_with(context(&[]), |_| {}, relaying(&["127.0.0.1"], &relay)).await;
        let mut client = greeted(&front).await;
        for told in [None, Some("00000000000000ff"), Some("00000000000000fe")] {
            if let Some(told) = told {
                assert!(client.ask(&format!("XTRACE {told}")).await.starts_with("250"));
            }
            client.ask("MAIL FROM:<s@example.test>").await;
            assert!(client.ask("XTRACE 0000000000000001").await.starts_with("503"));
            let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
            assert!(reply.starts_with("250"), "{reply}");
            client.ask("DATA").await;
            assert_eq!(client.ask("Subject: out\r\n\r\nx\r\n.").await, "250 2.0.0 queued");
        }
        let heard = relay.heard("XTRACE");
        assert_eq!(heard.len(), if announces { 3 } else { 0 });
        if announces {
            assert!(!heard[0].contains("00000000000000f"), "its own: {heard:?}");
            assert_eq!(heard[1..], ["XTRACE 00000000000000ff", "XTRACE 00000000000000fe"]);
        }
        for line in relay.heard("XFORWARD") {
            assert!(!line.contains("00000000000000f"), "{line}");
        }
        assert!(
            relay
                .seen
                .lock()
                .messages
                .iter()
                .all(|message| !message.contains("00000000000000f"))
        );
    }
}

/// XCLIENT says who is meant, and whoever is not named may do nothing.
#[tokio::test]
async fn a_trusted_front_end_relays_for_those_it_names() {
    let relay = Home::start(RELAY).await;
    let configure = relaying(&["127.0.0.1", "192.0.2.0/24"], &relay);
    let front = smtp_with(context(&[]), trusting, configure).await;
    for (named, taken) in [
        ("XCLIENT ADDR=198.51.100.7", false),
        ("XCLIENT ADDR=192.0.2.7", true),
        ("XCLIENT ADDR=IPV6:2001:db8::1", false),
        ("XCLIENT ADDR=[UNAVAILABLE] HELO=x", false),
        ("NOOP", true),
    ] {
        let mut client = greeted(&front).await;
        client.ask(named).await;
        client.until("EHLO x", "250 ").await;
        client.ask("MAIL FROM:<s@example.test>").await;
        // XFORWARD is for logs only.
        client.ask("XFORWARD ADDR=192.0.2.9").await;
        let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
        let wanted = if taken { "250" } else { "550 5.7.1" };
        assert!(reply.starts_with(wanted), "{named}: {reply}");
    }
}

/// A front end that asks its clients for certificates of this authority, and lets one of them relay and one name
/// clients.
async fn with_certificates(authority: &Authority, relay: &Home) -> (SocketAddr, tempfile::TempDir) {
    let (files, _, _) = certificate();
    let mut tls = TlsConfig::new(files.path().join("cert.pem"), files.path().join("key.pem"));
    tls.client_ca = Some(authority.certificate.clone());
    let config = SmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        relay_certificates: vec!["Relaying.example.test.".to_owned()],
        relay_home: Some(relay.name.clone()),
        ..SmtpProxyConfig::default()
    };
    let known = domains(&config.domains);
    let proxy = Arc::new(SmtpProxy::new(config, context(&[]), known).expect("good homes"));
    let mut at = ListenerConfig::at(([127, 0, 0, 1], 0).into());
    at.trusted_certificates = vec!["front.example.test".to_owned()];
    let tls = ServerTls::load(&tls).expect("good files");
    let listener = Listener::bind(at, Protocol::Smtp, Some(tls))
        .await
        .expect("a free port");
    let address = listener.local_addr();
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(async move {
        let _kept = trigger;
        listener
            .run(shutdown, move |accepted| serve(accepted, proxy.clone()))
            .await;
    });
    (address, files)
}

async fn showing(address: SocketAddr, files: &tempfile::TempDir, shown: Option<&Certificate>) -> Client {
    let tls = ClientTls::new(&ClientTlsConfig {
        ca_file: Some(files.path().join("cert.pem")),
        client_cert: shown.map(|shown| shown.certificate.clone()),
        client_key: shown.map(|shown| shown.key.clone()),
        ..ClientTlsConfig::default()
    });
    let mut client = Client::connect(address).await;
    client.line().await;
    client.until("EHLO client.test", "250 ").await;
    client.ask("STARTTLS").await;
    let encrypted = client
        .0
        .start_tls_client(&tls.expect("good files"), "localhost", SOON)
        .await;
    encrypted.expect("a handshake");
    client.until("EHLO client.test", "250 ").await;
    client
}

#[tokio::test]
async fn certificates_count_for_their_holders_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path()).expect("an authority");
    let made = |name: &str| authority.server(name).expect("a certificate");
    let (relaying, front, other) = (
        made("relaying.example.test"),
        made("front.example.test"),
        made("evil.relaying.example.test"),
    );
    let relay = Home::start(RELAY).await;
    let (address, files) = with_certificates(&authority, &relay).await;
    for (who, shown, relays, believed) in [
        ("nobody", None, false, false),
        ("another", Some(&other), false, false),
        ("a relaying client", Some(&relaying), true, false),
        ("a front end", Some(&front), false, true),
    ] {
        let mut client = showing(address, &files, shown).await;
        client.ask("MAIL FROM:<s@example.test>").await;
        let reply = client.ask("RCPT TO:<a@elsewhere.test>").await;
        assert_eq!(reply.starts_with("250"), relays, "{who}: {reply}");
        assert_eq!(reply.starts_with("550 5.7.1"), !relays, "{who}: {reply}");
        client.ask("RSET").await;
        let named = client.ask("XCLIENT ADDR=192.0.2.7").await;
        assert_eq!(named.starts_with("220"), believed, "{who}: {named}");
    }
}

/// Nobody can say whether the domain is ours: neither a bounce nor an open door, also for those who may relay.
#[tokio::test]
async fn a_directory_that_is_away_puts_everything_off() {
    let (home, relay) = (Home::start(GOOD).await, Home::start(RELAY).await);
    let away = ConnectorConfig::openldap(
        "corp",
        vec!["ldap://127.0.0.1:1".to_owned()],
        vec!["dc=example,dc=test".to_owned()],
    );
    let clock = Arc::new(SystemClock::new());
    let connector = Connector::new(away, clock.clone()).expect("a connector");
    let query = serde_json::json!({ "connector": "corp", "filter": "(associatedDomain=%d)" });
    let query: DomainsConfig = serde_json::from_value(query).expect("a table");
    let aliases = DomainAliases::default();
    let domains = Domains::new(&query, Some(connector), aliases, clock).expect("a query");
    let mut config = SmtpProxyConfig {
        group_home: Some(home.name.clone()),
        ..SmtpProxyConfig::default()
    };
    relaying(&["127.0.0.1"], &relay)(&mut config);
    let rules = [("*", home.name.as_str())];
    let proxy = Arc::new(SmtpProxy::new(config, context(&rules), domains).expect("good homes"));
    let front = crate::support::front(
        Protocol::Smtp,
        |_| {},
        move |accepted| serve(accepted, proxy.clone()),
    )
    .await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<s@example.test>").await;
    for to in ["a@example.test", "a@elsewhere.test", "postmaster@example.test"] {
        let reply = client.ask(&format!("RCPT TO:<{to}>")).await;
        assert!(reply.starts_with("451 4.4.3"), "{to}: {reply}");
    }
    // RFC 5321 section 4.5.1: without a domain it is ours, and always somebody's.
    let reply = client.ask("RCPT TO:<Postmaster>").await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(relay.heard("RCPT").is_empty());
    assert_eq!(home.heard("RCPT"), ["RCPT TO:<Postmaster>"]);
}

/// Whatever the maps, the domains, the clients and their claims: mail for a domain that is not ours goes to the relay
/// of those who may relay, and nowhere else.
#[test]
fn no_map_and_no_claim_makes_an_open_relay() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let near = [
        "example.test",
        "example.test.evil.test",
        "other.test",
        "sub.example.test",
    ];
    let names = || proptest::sample::select(near.to_vec()).prop_map(str::to_owned);
    let locals = || {
        let odd = ["a", "postmaster", "\"a@example.test\"", "a%example.test", "*", ""];
        proptest::sample::select(odd.to_vec()).prop_map(str::to_owned)
    };
    let clients = ["198.51.100.7", "192.0.2.7", "192.0.3.7", "10.1.2.3"];
    let strategy = (
        proptest::collection::vec((locals(), names()), 1..6),
        proptest::collection::btree_set(names(), 1..3),
        proptest::collection::vec(proptest::sample::select(vec!["192.0.2.0/24", "10.0.0.0/8"]), 0..2),
        proptest::sample::select(clients.to_vec()),
        proptest::collection::vec((locals(), names()), 1..6),
    );
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((rules, ours, networks, from, recipients) in strategy)| {
        runtime.block_on(async {
            let (home, relay) = (Home::start(GOOD).await, Home::start(RELAY).await);
            let rules: BTreeMap<String, String> = rules
                .iter()
                .map(|(local, domain)| match local.as_str() {
                    "*" => ("*".to_owned(), home.name.clone()),
                    local => (format!("{local}@{domain}"), home.name.clone()),
                })
                .collect();
            let rules: Vec<(&str, &str)> = rules.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let front = smtp_with(context(&rules), proxied, |config| {
                relaying(&networks, &relay)(config);
                let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
                config.domains = listed_domains(&ours);
                config.group_home = Some(home.name.clone());
            })
            .await;
            let mut client = from_afar(&front, from).await;
            client.ask("XCLIENT ADDR=192.0.2.9").await;
            let may = networks.iter().any(|network| {
                let network: net::Network = network.parse().expect("a network");
                network.contains(from.parse().expect("an address"))
            });
            client.ask("MAIL FROM:<s@example.test>").await;
            for (local, domain) in recipients.iter().filter(|(local, _)| !local.is_empty()) {
                let reply = client.ask(&format!("RCPT TO:<{local}@{domain}>")).await;
                let refused = reply.starts_with("550 5.7.1");
                prop_assert_eq!(refused, !ours.contains(domain) && !may, "{} {}", domain, reply);
            }
            let is_ours = |line: &String| ours.iter().any(|domain| line.ends_with(&format!("@{domain}>")));
            for line in home.heard("RCPT") {
                prop_assert!(is_ours(&line), "at the home: {line}");
            }
            for line in relay.heard("RCPT") {
                prop_assert!(may && !is_ours(&line), "at the relay: {line}");
            }
            Ok(())
        })?;
    });
}
