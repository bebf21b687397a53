//! RFC 3501 sections 6.1 and 6.2, RFC 2971, RFC 4959.

use super::*;

#[tokio::test]
async fn greeting_and_capabilities() {
    let server = server().await;
    let mut client = server.connect();
    starts(
        &client.response().await,
        "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID IDLE AUTH=PLAIN AUTH=LOGIN]",
    );
    let listed = client.ok("CAPABILITY").await;
    starts(&listed[0], "* CAPABILITY IMAP4rev1 ");
    assert_eq!(client.ok("NOOP").await, [""; 0]);
    for illegal in ["SELECT INBOX", "FETCH 1 FLAGS", "IDLE", "LIST \"\" *", "CLOSE"] {
        starts(&client.result(illegal).await, "BAD");
    }
    starts(&client.result("STARTTLS").await, "BAD");
    let result = client.result("LOGIN alice@example.test secret").await;
    starts(&result, "OK [CAPABILITY IMAP4rev1 ");
    assert!(
        result.contains(" UIDPLUS ") && result.contains(" MOVE ") && !result.contains("AUTH="),
        "{result}"
    );
    starts(&client.result("LOGIN alice@example.test secret").await, "BAD");
    let farewell = client.ok("LOGOUT").await;
    starts(&farewell[0], "* BYE");
    assert_eq!(client.try_response().await, None);
}

// RFC 5530 section 3: every way to fail has its own code.
#[tokio::test(start_paused = true)]
async fn logins_that_fail() {
    let server = server().await;
    let mut client = server.connect();
    client.response().await;
    for (login, code) in [
        ("alice@example.test wrong", "NO [AUTHENTICATIONFAILED]"),
        ("nobody nothing", "NO [AUTHENTICATIONFAILED]"),
        ("\"\" secret", "NO [AUTHENTICATIONFAILED]"),
        ("alice@example.test expired", "NO [EXPIRED]"),
        ("alice@example.test down", "NO [UNAVAILABLE]"),
        // The directory knows bob, and this store does not.
        ("bob@example.test secret", "NO [UNAVAILABLE]"),
    ] {
        starts(&client.result(&format!("LOGIN {login}")).await, code);
    }
    client.ok("LOGIN alice@example.test secret").await;
}

#[tokio::test(start_paused = true)]
async fn failed_logins_are_counted() {
    let server = server().await;
    let mut client = server.connect();
    client.response().await;
    for _ in 0..5 {
        client.result("LOGIN alice@example.test wrong").await;
    }
    starts(&client.response().await, "* BYE");
    assert_eq!(client.try_response().await, None);
}

#[tokio::test]
async fn literals_in_login() {
    let server = server().await;
    let mut client = server.connect();
    client.response().await;
    client.send("a LOGIN {18}\r\n").await;
    starts(&client.response().await, "+ ");
    client.send("alice@example.test {6}\r\n").await;
    starts(&client.response().await, "+ ");
    client.send("secret\r\n").await;
    starts(&client.until("a").await[0], "OK");
    // RFC 7888: no continuation is sent for these.
    let mut client = server.connect();
    client.response().await;
    client
        .send("a LOGIN {18+}\r\nalice@example.test {6+}\r\nsecret\r\n")
        .await;
    starts(&client.response().await, "a OK");
}

#[tokio::test]
async fn sasl() {
    let server = server().await;
    let plain = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";
    let mut client = server.connect();
    client.response().await;
    starts(
        &client.result(&format!("AUTHENTICATE PLAIN {plain}")).await,
        "OK [CAPABILITY",
    );

    let mut client = server.connect();
    client.response().await;
    client.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.response().await, "+ ");
    client.send("*\r\n").await;
    starts(&client.response().await, "a BAD");
    starts(&client.result("AUTHENTICATE CRAM-MD5").await, "NO");
    client.send("b AUTHENTICATE LOGIN\r\n").await;
    assert_eq!(client.response().await, "+ VXNlcm5hbWU6");
    client.send("YWxpY2VAZXhhbXBsZS50ZXN0\r\n").await;
    assert_eq!(client.response().await, "+ UGFzc3dvcmQ6");
    client.send("c2VjcmV0\r\n").await;
    starts(&client.response().await, "b OK");
}

#[tokio::test]
async fn no_password_without_encryption() {
    let server = server().await;
    let mut client = server.connect_to(ListenerConfig::at("192.0.2.1:143".parse().expect("an address")));
    let greeting = client.response().await;
    assert!(
        greeting.contains("LOGINDISABLED") && !greeting.contains("AUTH="),
        "{greeting}"
    );
    starts(
        &client.result("LOGIN alice@example.test secret").await,
        "NO [PRIVACYREQUIRED]",
    );
    starts(&client.result("AUTHENTICATE PLAIN").await, "NO [PRIVACYREQUIRED]");
    assert!(server.door.asked.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn only_a_trusted_front_end_names_the_client() {
    let server = server().await;
    let id = "ID (\"x-originating-ip\" \"198.51.100.9\" \"x-originating-port\" \"55\" \"x-session-id\" \"00000000000000ff\")";
    let mut listener = ListenerConfig::at("127.0.0.1:143".parse().expect("an address"));
    for trusted in [false, true] {
        if trusted {
            listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
        }
        let mut client = server.connect_to(listener.clone());
        client.response().await;
        assert_eq!(client.ok(id).await, ["* ID (\"name\" \"Homing\")"]);
        client.ok("LOGIN alice@example.test secret").await;
        let asked = server
            .door
            .asked
            .lock()
            .expect("not poisoned")
            .pop()
            .expect("a request");
        let (client, trace) = if trusted {
            ("198.51.100.9:55", 255)
        } else {
            ("192.0.2.7:4000", 7)
        };
        assert_eq!(asked.peer.client.to_string(), client);
        assert_eq!(asked.peer.trace, TraceId::new(trace));
    }
}

// RFC 3501 section 6.2.1, CVE-2011-0411: what is pipelined behind STARTTLS is not obeyed under TLS.
#[tokio::test]
async fn starttls_injection() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let files = net::TlsConfig::new(folder.path().join("crt"), folder.path().join("key"));
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let server = server().await;
    // Not on loopback: no login before TLS.
    let mut listener = ListenerConfig::at("192.0.2.1:143".parse().expect("an address"));
    listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let (ours, mut accepted) = server.accept(listener);
    accepted.tls = Some(net::ServerTls::load(&files).expect("loaded"));
    tokio::spawn(serve(accepted, server.service.clone()));
    let mut client = Client {
        stream: LineStream::new(ours, 1 << 20),
        tags: 0,
    };
    let greeting = client.response().await;
    assert!(greeting.contains(" STARTTLS LOGINDISABLED"), "{greeting}");
    // Nor is what was said of the client: anybody on the way could have said it.
    client
        .ok("ID (\"x-originating-ip\" \"198.51.100.9\" \"x-session-id\" \"00000000000000ff\")")
        .await;
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    starts(&client.response().await, "a OK");
    let trust = net::ClientTlsConfig {
        ca_file: Some(files.certificate),
        ..net::ClientTlsConfig::default()
    };
    let trust = net::ClientTls::new(&trust).expect("a client");
    client
        .stream
        .start_tls_client(&trust, "localhost", PATIENCE)
        .await
        .expect("TLS");
    client.send("c CAPABILITY\r\n").await;
    let capabilities = client.response().await;
    assert!(
        capabilities.contains("AUTH=PLAIN") && !capabilities.contains("STARTTLS"),
        "{capabilities}"
    );
    starts(&client.response().await, "c OK");
    starts(&client.result("STARTTLS").await, "BAD");
    client.ok("LOGIN alice@example.test secret").await;
    let asked = server
        .door
        .asked
        .lock()
        .expect("not poisoned")
        .pop()
        .expect("a request");
    assert_eq!(asked.peer.tls, TlsState::Encrypted);
    assert_eq!(asked.peer.client.to_string(), "192.0.2.7:4000");
    assert_eq!(asked.peer.trace, TraceId::new(7));
}
