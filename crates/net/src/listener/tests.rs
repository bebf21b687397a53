//! Listeners on loopback.

use super::*;
use crate::LineStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(10);

fn loopback() -> ListenerConfig {
    ListenerConfig::at("127.0.0.1:0".parse().expect("an address"))
}

/// Greets with what it knows of the client, then echoes one line.
async fn greet(accepted: Accepted) {
    let trust = if accepted.is_trusted() { " trusted" } else { "" };
    let greeting = format!("{} {:?}{trust}\r\n", accepted.peer.client, accepted.peer.tls);
    let mut stream = LineStream::new(accepted.connection, 100);
    stream.write(greeting.as_bytes());
    if let Ok(line) = stream.read_line(SOON).await {
        stream.write(&line);
        stream.write(b"\r\n");
    }
    stream.close(SOON).await;
}

async fn start(config: ListenerConfig, tls: Option<ServerTls>) -> (SocketAddr, crate::ShutdownTrigger) {
    let listener = Listener::bind(config, Protocol::Imap, tls).await.expect("bind");
    let listener = listener.turning_away_with(b"* BYE full\r\n");
    let address = listener.local_addr();
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(listener.run(shutdown, greet));
    (address, trigger)
}

async fn connect(address: SocketAddr) -> LineStream {
    LineStream::new(Connection::connect(address, SOON).await.expect("connect"), 200)
}

#[tokio::test]
async fn names_the_address_and_the_cause() {
    let taken = Listener::bind(loopback(), Protocol::Imap, None)
        .await
        .expect("bind");
    let mut config = loopback();
    config.address = taken.local_addr();
    let error = Listener::bind(config, Protocol::Imap, None)
        .await
        .expect_err("taken")
        .to_string();
    assert!(
        error.contains(&taken.local_addr().to_string()) && error.contains("another process"),
        "{error}"
    );

    let mut config = loopback();
    config.tls = Some(TlsMode::Implicit);
    let error = Listener::bind(config, Protocol::Imap, None)
        .await
        .expect_err("no certificate");
    assert!(error.to_string().contains("[tls]"), "{error}");
}

#[tokio::test]
async fn limits_per_peer_and_in_total() {
    let mut config = loopback();
    config.max_connections_per_peer = 2;
    let (address, _trigger) = start(config.clone(), None).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = connect(address).await;
        client.read_line(SOON).await.expect("greeted");
        held.push(client);
    }
    let mut third = connect(address).await;
    assert_eq!(third.read_line(SOON).await.expect("last words"), "* BYE full");
    assert!(
        third.read_line(SOON).await.is_err(),
        "the third is closed at once"
    );
    // A place is given back when a session ends.
    let mut first = held.remove(0);
    first.write(b"bye\r\n");
    first.read_line(SOON).await.expect("echo");
    assert!(first.read_line(SOON).await.is_err());
    let mut greeted = false;
    for _ in 0..100 {
        let line = connect(address).await.read_line(SOON).await.expect("a line");
        greeted = line.starts_with(b"127.");
        if greeted {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(greeted);

    config.max_connections = 1;
    config.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let (address, _trigger) = start(config, None).await;
    let mut only = connect(address).await;
    only.read_line(SOON).await.expect("greeted");
    assert_eq!(
        connect(address).await.read_line(SOON).await.expect("last words"),
        "* BYE full",
        "the total holds for trusted peers too"
    );
}

/// A front end that is known by its certificate carries the sessions of many.
#[tokio::test]
async fn who_shows_a_trusted_certificate_is_not_counted_as_one_client() {
    let files = crate::tls::tests::Files::new("front.example.test");
    let named: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4242 143\r\n";
    for (mode, header) in [
        (TlsMode::StartTls, &b""[..]),
        (TlsMode::Implicit, b""),
        // What a load balancer says is about the front end, not about the balancer.
        (TlsMode::StartTls, named),
        (TlsMode::Implicit, named),
    ] {
        let mut config = loopback();
        config.tls = Some(mode);
        config.max_connections_per_peer = 1;
        config.trusted_certificates = vec!["front.example.test".to_owned()];
        if !header.is_empty() {
            config.proxy_protocol = true;
            config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
        }
        let listener = Listener::bind(config, Protocol::Imap, Some(files.mutual_server()))
            .await
            .expect("bind");
        let address = listener.local_addr();
        let (_trigger, shutdown) = Shutdown::new();
        tokio::spawn(listener.run(shutdown, upgraded));
        let mut held = Vec::new();
        for _ in 0..3 {
            let session = enter(address, mode, header, files.mutual_client()).await;
            held.push(session.expect("a front end brings many"));
        }
        let stranger = enter(address, mode, header, files.client())
            .await
            .expect("the first");
        let second = enter(address, mode, header, files.client()).await;
        assert!(second.is_none(), "a stranger is one client ({mode:?})");
        drop((held, stranger));
    }
}

/// Does STARTTLS at once where TLS is not on yet, and stays.
async fn upgraded(accepted: Accepted) {
    let mut stream = LineStream::new(accepted.connection, 100);
    if let Some(tls) = accepted.tls {
        stream.start_tls(&tls, SOON).await.expect("TLS");
    }
    stream.write(b"hello\r\n");
    let _ = stream.read_line(SOON).await;
}

/// A session in which the server has spoken inside TLS; none when it is turned away.
async fn enter(
    address: SocketAddr,
    mode: TlsMode,
    header: &[u8],
    client: crate::ClientTls,
) -> Option<LineStream> {
    let mut connection = Connection::connect(address, SOON).await.expect("connect");
    connection.write_all(header).await.expect("a new socket has room");
    let mut stream = LineStream::new(connection, 200);
    if mode == TlsMode::StartTls {
        stream
            .start_tls_client(&client, "front.example.test", SOON)
            .await
            .ok()?;
    } else {
        let (connection, _) = stream.into_parts();
        let tls = connection
            .connect_tls(&client, "front.example.test", SOON)
            .await
            .ok()?;
        stream = LineStream::new(tls, 200);
    }
    stream.read_line(SOON).await.ok().map(|_| stream)
}

#[tokio::test]
async fn a_full_server_shakes_no_hands() {
    let files = crate::tls::tests::Files::new("localhost");
    let mut config = loopback();
    config.tls = Some(TlsMode::Implicit);
    config.max_connections = 1;
    let (address, _trigger) = start(config, Some(files.server())).await;
    let _held = connect(address).await;
    let mut second = connect(address).await;
    assert!(second.read_line(SOON).await.is_err(), "no words in the clear");
}

#[tokio::test]
async fn a_client_behind_a_balancer_is_counted_by_its_own_address() {
    let mut config = loopback();
    config.proxy_protocol = true;
    config.max_connections_per_peer = 1;
    config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let (address, _trigger) = start(config, None).await;
    let mut clients = Vec::new();
    for (client, start) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "* BYE"),
        ("192.0.2.8", "192.0.2.8"),
    ] {
        let mut stream = connect(address).await;
        stream.write(format!("PROXY TCP4 {client} 192.0.2.1 4242 143\r\n").as_bytes());
        let line = stream.read_line(SOON).await.expect("a line");
        assert!(line.starts_with(start.as_bytes()), "{client}: {line:?}");
        clients.push(stream);
    }
}

/// LOCAL, as balancers say it when they look whether somebody is there.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// Every way to name no client: version 1, LOCAL, AF_UNSPEC, AF_UNIX.
const NAMELESS: &[&[u8]] = &[
    b"PROXY UNKNOWN\r\n",
    LOCAL,
    b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\0",
];

#[tokio::test]
async fn proxy_header_only_from_trusted_networks() {
    let mut config = loopback();
    config.proxy_protocol = true;
    config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    let (address, _trigger) = start(config.clone(), None).await;
    let mut client = connect(address).await;
    client.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4242 143\r\n");
    assert_eq!(
        client.read_line(SOON).await.expect("greeted"),
        "192.0.2.7:4242 Plain"
    );
    // A client without a name is not the balancer.
    for header in NAMELESS {
        let mut client = connect(address).await;
        client.write(header);
        assert_eq!(client.read_line(SOON).await.expect("greeted"), "0.0.0.0:0 Plain");
    }
    let mut client = connect(address).await;
    client.write(b"a1 CAPABILITY\r\n");
    assert!(
        client.read_line(SOON).await.is_err(),
        "a trusted proxy must send the header"
    );

    config.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let (address, _trigger) = start(config, None).await;
    let mut client = connect(address).await;
    client.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4242 143\r\n");
    let greeting = client.read_line(SOON).await.expect("greeted");
    assert!(greeting.starts_with(b"127.0.0.1:"), "{greeting:?}");
    let echo = client.read_line(SOON).await.expect("echo");
    assert!(
        echo.starts_with(b"PROXY"),
        "it is a command like any other: {echo:?}"
    );
}

#[tokio::test]
async fn implicit_tls() {
    let files = crate::tls::tests::Files::new("localhost");
    let mut config = loopback();
    config.tls = Some(TlsMode::Implicit);
    let (address, _trigger) = start(config, Some(files.server())).await;
    let connection = Connection::connect(address, SOON).await.expect("connect");
    let connection = connection
        .connect_tls(&files.client(), "localhost", SOON)
        .await
        .expect("TLS");
    let greeting = LineStream::new(connection, 200)
        .read_line(SOON)
        .await
        .expect("greeted");
    assert!(greeting.ends_with(b"Encrypted"), "{greeting:?}");
    let mut plain = Connection::connect(address, SOON).await.expect("connect");
    plain.write_all(b"a1 LOGOUT\r\n").await.expect("write");
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"127."), "no greeting in the clear: {rest:?}");
}

#[tokio::test]
async fn drains_then_drops() {
    let listener = Listener::bind(loopback(), Protocol::Imap, None)
        .await
        .expect("bind");
    let address = listener.local_addr();
    let (trigger, shutdown) = Shutdown::new();
    let run = tokio::spawn(listener.run(shutdown, greet));
    let mut finishing = connect(address).await;
    finishing.read_line(SOON).await.expect("greeted");
    let mut stuck = connect(address).await;
    stuck.read_line(SOON).await.expect("greeted");
    trigger.request(Duration::from_millis(300));
    finishing.write(b"late\r\n");
    assert_eq!(finishing.read_line(SOON).await.expect("sessions go on"), "late");
    run.await.expect("no panic");
    assert!(stuck.read_line(SOON).await.is_err(), "dropped at the deadline");
    assert!(
        Connection::connect(address, SOON).await.is_err(),
        "the socket is closed"
    );
}

#[tokio::test]
async fn settings_change_for_new_sessions_and_a_retired_listener_keeps_its_sessions() {
    let listener = Listener::bind(loopback(), Protocol::Imap, None)
        .await
        .expect("bind");
    let (address, control) = (listener.local_addr(), listener.control());
    let (trigger, shutdown) = Shutdown::new();
    let running = tokio::spawn(listener.run(shutdown, greet));
    let mut first = connect(address).await;
    let greeting = first.read_line(SOON).await.expect("a greeting");
    assert!(!greeting.ends_with(b"trusted"), "{greeting:?}");

    let mut trusting = loopback();
    trusting.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    control.change(trusting.clone(), None).expect("changed");
    let mut second = connect(address).await;
    let greeting = second.read_line(SOON).await.expect("a greeting");
    assert!(greeting.ends_with(b"trusted"), "{greeting:?}");
    trusting.tls = Some(TlsMode::Implicit);
    control
        .change(trusting, None)
        .expect_err("there is no certificate");

    control.retire();
    assert!(!running.is_finished(), "two sessions are open");
    // The address is free as soon as the socket is closed, which takes the listener one turn.
    let mut again = loopback();
    again.address = address;
    let mut bound = Listener::bind(again.clone(), Protocol::Imap, None).await;
    for _ in 0..1000 {
        if bound.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
        bound = Listener::bind(again.clone(), Protocol::Imap, None).await;
    }
    bound.expect("the address is free");
    for stream in [&mut first, &mut second] {
        stream.write(b"still here\r\n");
        stream.flush(SOON).await.expect("sent");
        assert_eq!(
            stream.read_line(SOON).await.expect("an echo").as_ref(),
            b"still here"
        );
    }
    running.await.expect("ends with its last session");
    drop(trigger);
}

#[tokio::test]
async fn who_is_denied_hears_nothing_and_a_proxy_is_judged_by_its_client() {
    let rules = serde_json::json!([
        { "action": "allow", "networks": ["192.0.2.7"] },
        { "action": "deny", "networks": ["192.0.2.0/24", "127.0.0.0/8"] },
    ]);
    let rules: Vec<crate::AccessRule> = serde_json::from_value(rules).expect("rules");
    let mut config = loopback();
    config.access = rules;
    let (address, _trigger) = start(config.clone(), None).await;
    assert!(
        connect(address).await.read_line(SOON).await.is_err(),
        "loopback is denied"
    );

    config.proxy_protocol = true;
    config.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let (address, _trigger) = start(config, None).await;
    for (client, served) in [("192.0.2.7", true), ("192.0.2.8", false), ("203.0.113.5", true)] {
        let mut stream = connect(address).await;
        stream.write(format!("PROXY TCP4 {client} 192.0.2.1 4242 143\r\n").as_bytes());
        let line = stream.read_line(SOON).await;
        assert_eq!(line.is_ok(), served, "{client}: {line:?}");
    }
}

/// A list of those who may come has nobody without a name on it, and a balancer may look whether we are there.
#[tokio::test]
async fn who_has_no_name_is_on_no_list() {
    let rules = serde_json::json!([
        { "action": "allow", "networks": ["192.0.2.7", "127.0.0.0/8"] },
        { "action": "deny" },
    ]);
    let mut config = loopback();
    config.access = serde_json::from_value(rules).expect("rules");
    config.proxy_protocol = true;
    // Even one that trusts everybody does not trust nobody.
    config.trusted_networks = vec!["0.0.0.0/0".parse().expect("a network")];
    let (address, _trigger) = start(config, None).await;
    for header in NAMELESS {
        let mut stream = connect(address).await;
        stream.write(header);
        let line = stream.read_line(SOON).await;
        match *header == LOCAL {
            true => assert_eq!(line.expect("greeted"), "0.0.0.0:0 Plain"),
            false => assert!(line.is_err(), "{header:?}: {line:?}"),
        }
    }
}

#[tokio::test]
async fn those_who_wait_when_the_listener_closes_are_served() {
    let listener = Listener::bind(loopback(), Protocol::Imap, None)
        .await
        .expect("bind");
    let (address, control) = (listener.local_addr(), listener.control());
    // The kernel has them all in its queue, and nobody has accepted one.
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(connect(address).await);
    }
    control.retire();
    let (_trigger, shutdown) = Shutdown::new();
    let running = tokio::spawn(listener.run(shutdown, greet));
    for mut client in clients {
        client.read_line(SOON).await.expect("greeted");
        client.write(b"x\r\n");
        client.read_line(SOON).await.expect("echo");
    }
    running.await.expect("over when the last has gone");
    assert!(
        Connection::connect(address, SOON).await.is_err(),
        "the socket is closed"
    );
}

#[tokio::test]
async fn a_socket_that_was_handed_over_goes_on_without_us() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    let mut config = loopback();
    config.address = address;
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let strange = stranger.local_addr().expect("bound");
    let handed = || Inherited::new(vec![socket.try_clone().expect("a descriptor")]);
    let sockets = Inherited::new(vec![stranger, socket.try_clone().expect("a descriptor")]);
    let first = Listener::bind_or_take(config.clone(), Protocol::Imap, None, &sockets)
        .await
        .expect("taken");
    assert_eq!(sockets.close_the_rest(), [strange]);
    let (trigger, shutdown) = Shutdown::new();
    let first = tokio::spawn(first.run(shutdown.clone(), greet));
    let mut early = connect(address).await;
    early.read_line(SOON).await.expect("greeted");
    // Nobody new is let in, and who is there goes on.
    trigger.close();
    let mut late = connect(address).await;
    let second = Listener::bind_or_take(config, Protocol::Imap, None, &handed())
        .await
        .expect("taken");
    let (_other, order) = Shutdown::new();
    tokio::spawn(second.run(order, greet));
    late.read_line(SOON).await.expect("greeted by the second");
    assert!(!shutdown.is_requested());
    early.write(b"x\r\n");
    assert_eq!(early.read_line(SOON).await.expect("echo"), "x");
    first.await.expect("over");
}

#[tokio::test]
async fn two_may_listen_when_both_say_so() {
    let mut config = loopback();
    config.reuse_port = true;
    let first = Listener::bind(config.clone(), Protocol::Imap, None)
        .await
        .expect("bind");
    config.address = first.local_addr();
    Listener::bind(config.clone(), Protocol::Imap, None)
        .await
        .expect("both say so");
    config.reuse_port = false;
    Listener::bind(config, Protocol::Imap, None)
        .await
        .expect_err("this one does not");
}

/// A rule's limits: so many at once, so many a minute; by the client's own address behind a load balancer.
#[tokio::test]
async fn a_rule_says_how_often() {
    let rule = |text: serde_json::Value| serde_json::from_value::<AccessRule>(text).expect("a rule");
    for limit in ["per_minute", "per_minute_together", "max_connections"] {
        let mut config = loopback();
        config.access = vec![rule(serde_json::json!({ "action": "allow", limit: 2 }))];
        let (address, _trigger) = start(config, None).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut client = connect(address).await;
            client.read_line(SOON).await.expect("greeted");
            held.push(client);
        }
        let mut third = connect(address).await;
        assert_eq!(
            third.read_line(SOON).await.expect("last words"),
            "* BYE full",
            "{limit}"
        );
        held.clear();
        // What is over counts no longer, but what was done in this minute does.
        let mut greeted = false;
        for _ in 0..500 {
            let line = connect(address).await.read_line(SOON).await.expect("a line");
            greeted = line != "* BYE full";
            if greeted || limit != "max_connections" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(greeted, limit == "max_connections", "{limit}");
    }
    let mut config = loopback();
    config.access = vec![rule(serde_json::json!({ "action": "allow", "per_minute": 1 }))];
    config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
    config.proxy_protocol = true;
    let (address, _trigger) = start(config, None).await;
    for (client, expected) in [(7, "192.0.2.7:1"), (8, "192.0.2.8:1"), (7, "* BYE full")] {
        let mut stream = connect(address).await;
        stream.write(format!("PROXY TCP4 192.0.2.{client} 192.0.2.1 1 143\r\n").as_bytes());
        stream.flush(SOON).await.expect("sent");
        let line = stream.read_line(SOON).await.expect("a line");
        assert!(line.starts_with(expected.as_bytes()), "{client}: {line:?}");
    }
}
