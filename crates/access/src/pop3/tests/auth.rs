//! Logging in: RFC 1939 section 7, RFC 2595, RFC 3206, RFC 5034.

use super::*;
use net::{ClientTls, ClientTlsConfig, TlsConfig};
use net::{SessionEnd, SessionFilter};
use wire::sasl::encode_base64;

/// RFC 3206: whose fault it is.
#[tokio::test]
async fn rfc3206_wrong_expired_and_unavailable_are_told_apart() {
    let bench = Bench::new(Pop3Config {
        max_login_failures: 100,
        ..Pop3Config::default()
    })
    .await;
    let mut client = bench.greeted().await;
    tokio::time::pause();
    for (login, answer) in [
        ("alice@example.test", "-ERR [AUTH] authentication failed"),
        ("nobody@example.test", "-ERR [AUTH] authentication failed"),
        ("expired@example.test", "-ERR [AUTH] the password has expired"),
        ("away@example.test", "-ERR [SYS/TEMP]"),
    ] {
        client
            .play(&[
                (&format!("USER {login}"), "+OK send PASS"),
                ("PASS wrong", answer),
            ])
            .await;
    }
    tokio::time::resume();
    // The directory accepts, and the store has no such account yet.
    client
        .play(&[
            ("USER new@example.test", "+OK"),
            ("PASS sec ret", "-ERR [SYS/TEMP]"),
        ])
        .await;
    client
        .play(&[
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "+OK 0 messages"),
        ])
        .await;
}

// RFC 1939 sections 4 and 7.
#[tokio::test]
async fn s7_pass_follows_user() {
    let bench = Bench::new(Pop3Config::default()).await;
    let mut client = bench.greeted().await;
    client
        .play(&[
            ("PASS sec ret", "-ERR"),
            ("STAT", "-ERR"),
            ("RETR 1", "-ERR"),
            ("DELE 1", "-ERR"),
            ("USER", "-ERR"),
            ("FOO", "-ERR"),
            ("USER alice@example.test", "+OK"),
            ("PASS wrong", "-ERR [AUTH]"),
            ("PASS sec ret", "-ERR"),
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "+OK"),
            ("USER alice@example.test", "-ERR"),
            ("AUTH PLAIN", "-ERR"),
            ("STLS", "-ERR"),
            ("NOOP", "+OK"),
            ("QUIT", "+OK"),
        ])
        .await;
    client.closed().await;
}

// RFC 5034 section 4.
#[tokio::test]
async fn rfc5034_auth() {
    let bench = Bench::new(Pop3Config::default()).await;
    let plain = encode_base64(b"\0alice@example.test\0sec ret");
    let user = encode_base64(b"alice@example.test");
    let pass = encode_base64(b"sec ret");
    let scripts: [&[(&str, &str)]; 4] = [
        &[(&format!("AUTH PLAIN {plain}"), "+OK")],
        &[("AUTH PLAIN", "+ "), (&plain, "+OK")],
        &[
            ("AUTH LOGIN", "+ VXNlcm5hbWU6"),
            (&user, "+ UGFzc3dvcmQ6"),
            (&pass, "+OK"),
        ],
        &[(&format!("auth login {user}"), "+ UGFzc3dvcmQ6"), (&pass, "+OK")],
    ];
    for script in scripts {
        let mut client = bench.greeted().await;
        client.play(script).await;
        client.play(&[("STAT", "+OK 0 0")]).await;
    }
    let mut client = bench.greeted().await;
    client
        .play(&[
            ("AUTH PLAIN", "+ "),
            ("*", "-ERR"),
            ("AUTH PLAIN", "+ "),
            ("!!", "-ERR"),
            ("AUTH CRAM-MD5", "-ERR"),
            ("AUTH PLAIN =", "-ERR"),
        ])
        .await;
    assert_eq!(client.list("AUTH").await, ["PLAIN", "LOGIN"]);
    client
        .play(&[("NOOP", "-ERR"), (&format!("AUTH PLAIN {plain}"), "+OK")])
        .await;
}

#[tokio::test]
async fn guessing_ends_the_session() {
    let bench = Bench::new(Pop3Config::default()).await;
    let mut client = bench.greeted().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        client
            .play(&[("USER alice@example.test", "+OK"), ("PASS wrong", "-ERR [AUTH]")])
            .await;
    }
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "each guess takes its time"
    );
    client.expect("-ERR [AUTH] too many").await;
    client.closed().await;
}

#[tokio::test]
async fn an_unavailable_directory_is_nobodys_guess() {
    let bench = Bench::new(Pop3Config::default()).await;
    let mut client = bench.greeted().await;
    for _ in 0..5 {
        client
            .play(&[("USER away@example.test", "+OK"), ("PASS x", "-ERR [SYS/TEMP]")])
            .await;
    }
    client
        .play(&[("USER alice@example.test", "+OK"), ("PASS sec ret", "+OK")])
        .await;
}

/// RFC 2595 section 4, and CVE-2011-0411: what stands behind STLS in the clear is dropped, and what was claimed
/// before it is forgotten.
#[tokio::test]
async fn stls_injection() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["example.test".to_owned()]).expect("a certificate");
    let files = TlsConfig::new(folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let mut bench = Bench::new(Pop3Config::default()).await;
    bench.tls = Some(ServerTls::load(&files).expect("loaded"));
    bench.listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    bench.listener.plaintext_login = Some(false);
    let mut client = bench.connect();
    client.expect("+OK [XCLIENT]").await;
    // The test's authenticator refuses whoever comes from there.
    client.play(&[("XCLIENT ADDR=198.51.100.7 PORT=99", "+OK")]).await;
    let capabilities = client.list("CAPA").await;
    assert!(capabilities.contains(&"STLS".to_owned()), "{capabilities:?}");
    assert!(
        !capabilities
            .iter()
            .any(|line| line.starts_with("SASL") || line == "USER"),
        "{capabilities:?}"
    );
    client
        .play(&[
            ("USER alice@example.test", "-ERR start TLS first"),
            ("PASS sec ret", "-ERR start TLS first"),
            ("AUTH PLAIN", "-ERR start TLS first"),
        ])
        .await;
    client.send("STLS\r\nUSER mallory@example.test\r\n").await;
    client.expect("+OK").await;
    let tls = ClientTls::new(&ClientTlsConfig {
        verify: false,
        ..ClientTlsConfig::default()
    });
    let tls = tls.expect("a client");
    client
        .stream
        .start_tls_client(&tls, "example.test", WAIT)
        .await
        .expect("a handshake");
    let capabilities = client.list("CAPA").await;
    assert!(!capabilities.contains(&"STLS".to_owned()), "{capabilities:?}");
    assert!(
        capabilities.contains(&"SASL PLAIN LOGIN".to_owned()),
        "{capabilities:?}"
    );
    client
        .play(&[
            ("PASS sec ret", "-ERR"),
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "+OK"),
        ])
        .await;
}

/// RFC 5034 section 4: a response that is too long ends the exchange.
#[tokio::test]
async fn a_response_that_is_too_long_ends_the_exchange() {
    let bench = Bench::new(Pop3Config::default()).await;
    let mut client = bench.greeted().await;
    client
        .play(&[
            ("AUTH PLAIN", "+ "),
            (&"x".repeat(20_000), "-ERR line too long"),
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "+OK"),
        ])
        .await;
}

// RFC 2449 section 8.1.2.
#[tokio::test]
async fn in_use_when_exclusive() {
    let bench = Bench::new(Pop3Config {
        exclusive: true,
        ..Pop3Config::default()
    })
    .await;
    let mut first = bench.logged_in().await;
    let mut second = bench.greeted().await;
    let login = [
        ("USER alice@example.test", "+OK"),
        ("PASS sec ret", "-ERR [IN-USE]"),
    ];
    second.play(&login).await;
    first.play(&[("QUIT", "+OK")]).await;
    first.closed().await;
    second.play(&[login[0], ("PASS sec ret", "+OK")]).await;
}

#[tokio::test]
async fn going_down_is_said_before_login() {
    let bench = Bench::new(Pop3Config::default()).await;
    let mut idle = bench.greeted().await;
    bench.trigger.request(WAIT);
    idle.expect("-ERR [SYS/TEMP]").await;
    idle.closed().await;
}

/// Dovecot's XCLIENT: known to trusted front ends only.
#[tokio::test]
async fn a_trusted_front_end_names_its_client() {
    let mut bench = Bench::new(Pop3Config::default()).await;
    let claim = "XCLIENT ADDR=198.51.100.7 PORT=99 SESSION=00000000000000aa TTL=6";
    let mut stranger = bench.greeted().await;
    stranger.play(&[(claim, "-ERR command not known")]).await;
    bench.listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let mut front = bench.connect();
    front.expect("+OK [XCLIENT] example.test").await;
    front
        .play(&[
            (claim, "+OK"),
            // The test's authenticator refuses whoever comes from that address.
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "-ERR [AUTH]"),
            ("XCLIENT ADDR=198.51.100.8", "+OK"),
            ("USER alice@example.test", "+OK"),
            ("PASS sec ret", "+OK"),
            (claim, "-ERR not now"),
        ])
        .await;
    let mut looping = bench.connect();
    looping.expect("+OK [XCLIENT]").await;
    looping.play(&[("XCLIENT TTL=0", "-ERR [SYS/PERM]")]).await;
    looping.closed().await;
}

// Deletions of a session that is ended from outside are not carried out (RFC 1939 section 6).
#[tokio::test]
async fn a_session_that_is_told_to_end_hears_it() {
    for (why, words) in [
        (SessionEnd::Revoked, "-ERR log in again"),
        (
            SessionEnd::Drained,
            "-ERR [SYS/TEMP] this server is being emptied",
        ),
    ] {
        let bench = Bench::new(Pop3Config::default()).await;
        bench.deliver("Subject: one\r\n\r\nx\r\n").await;
        let mut client = bench.logged_in().await;
        client.play(&[("DELE 1", "+OK")]).await;
        assert_eq!(
            bench.service.parts.sessions.end(&SessionFilter::default(), why),
            1
        );
        client.expect(words).await;
        client.closed().await;
        assert_eq!(bench.left().await, 1);
    }
}
