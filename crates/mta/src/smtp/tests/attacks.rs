//! By the name of the attack.

use super::*;
use net::{ClientTls, ClientTlsConfig, TlsConfig};

fn certificate(folder: &std::path::Path) -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec!["mx.example.test".to_owned()]).expect("a certificate");
    let config = TlsConfig::new(folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&config.certificate, made.cert.pem()).expect("written");
    std::fs::write(&config.key, made.signing_key.serialize_pem()).expect("written");
    ServerTls::load(&config).expect("loaded")
}

/// CVE-2011-0411: commands sent in the clear behind STARTTLS must not be carried out inside TLS.
#[tokio::test]
async fn starttls_injection() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new().await;
    bench.tls = Some(certificate(folder.path()));
    let mut client = bench.smtp().await;
    assert!(client.say("EHLO x").await.contains("STARTTLS"));
    client
        .play(&[
            ("MAIL FROM:<>", "250"),
            ("STARTTLS", "503 5.5.1"),
            ("RSET", "250"),
        ])
        .await;
    client
        .send("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@x.test>\r\n")
        .await;
    client.expect("220 2.0.0").await;
    let tls = ClientTls::new(&ClientTlsConfig {
        verify: false,
        ..ClientTlsConfig::default()
    });
    client
        .stream
        .start_tls_client(&tls.expect("a client"), "mx.example.test", WAIT)
        .await
        .expect("a handshake");
    // Nothing of before is left: neither the injected commands nor the greeting.
    client
        .play(&[
            ("MAIL FROM:<a@b.test>", "503 5.5.1 greet first"),
            ("STARTTLS", "502"),
        ])
        .await;
    let ehlo = client.say("EHLO x").await;
    assert!(!ehlo.contains("STARTTLS"), "{ehlo}");
    client
        .play(&[
            ("MAIL FROM:<a@b.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250").await;
    assert!(bench.inbox("alice@example.test").await[0].contains("with ESMTPS id"));
}

/// Whoever sits between a front end and its home could say anything in the clear, about the client too.
#[tokio::test]
async fn claims_from_before_starttls() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new().await;
    bench.tls = Some(certificate(folder.path()));
    bench.listener.trusted_networks = vec!["192.0.2.0/24".parse().expect("a network")];
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("EHLO x", "250"),
            ("XCLIENT ADDR=198.51.100.7 HELO=evil.test", "220"),
            ("EHLO x", "250"),
            ("STARTTLS", "220"),
        ])
        .await;
    let tls = ClientTls::new(&ClientTlsConfig {
        verify: false,
        ..ClientTlsConfig::default()
    });
    client
        .stream
        .start_tls_client(&tls.expect("a client"), "mx.example.test", WAIT)
        .await
        .expect("a handshake");
    client
        .play(&[
            ("EHLO x", "250"),
            ("MAIL FROM:<a@b.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250").await;
    let message = bench.inbox("alice@example.test").await.remove(0);
    assert!(message.contains("from x ([192.0.2.1])"), "{message}");
}

/// CVE-2023-51764 and its kin: whatever stands for a line end elsewhere does not end the data here.
#[tokio::test]
async fn smtp_smuggling() {
    for policy in [
        crate::BareLineEndPolicy::Normalise,
        crate::BareLineEndPolicy::Reject,
    ] {
        for ending in [
            "\n.\n",
            "\r.\r",
            "\n.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\r.\r\n",
            "\n\n.\r\n",
            "\r\n.\r\r\n",
        ] {
            let mut bench = Bench::new().await;
            bench.config.bare_line_ends = policy;
            let mut client = bench.smtp().await;
            client
                .play(&[
                    ("EHLO x", "250"),
                    ("MAIL FROM:<>", "250"),
                    ("RCPT TO:<alice@example.test>", "250"),
                    ("DATA", "354"),
                ])
                .await;
            client
                .send(&format!(
                    "Subject: 1\r\n\r\na{ending}MAIL FROM:<evil@x.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n\
                     Subject: smuggled\r\n\r\nb\r\n.\r\nNOOP\r\n"
                ))
                .await;
            match policy {
                crate::BareLineEndPolicy::Normalise => client.expect("250 2.0.0 delivered").await,
                crate::BareLineEndPolicy::Reject => client.expect("550 5.6.0").await,
            }
            client.expect("250 2.0.0 OK").await;
            assert!(bench.inbox("bob@example.test").await.is_empty(), "{ending:?}");
            let alices = bench.inbox("alice@example.test").await;
            assert_eq!(
                alices.len(),
                usize::from(policy == crate::BareLineEndPolicy::Normalise),
                "{ending:?}"
            );
            assert!(
                alices.iter().all(|message| message.contains("Subject: smuggled")),
                "{ending:?}"
            );
        }
    }
}

/// A bare line end in a command is not two commands.
#[tokio::test]
async fn command_smuggling() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("EHLO x\nMAIL FROM:<>", "500 5.5.2"),
            ("EHLO x", "250"),
            ("MAIL FROM:<a@b.test>\rRCPT TO:<alice@example.test>", "500 5.5.2"),
            ("RCPT TO:<alice@example.test>", "503"),
        ])
        .await;
}

/// The client's name cannot add a field or a clause to the trace.
#[tokio::test]
async fn header_injection() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("EHLO a;by=evil(x)", "250"),
            ("MAIL FROM:<\"a> b\"@x.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250").await;
    let inbox = bench.inbox("alice@example.test").await;
    assert!(
        inbox[0].starts_with("Return-Path: <\"a> b\"@x.test>\r\nReceived: from a?by?evil?x? ("),
        "{inbox:?}"
    );
}

/// Claims from a stranger are not even known as commands, and nothing of them is kept.
#[tokio::test]
async fn forged_claims() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    let ehlo = client.say("EHLO x").await;
    assert!(!ehlo.contains("XCLIENT") && !ehlo.contains("XFORWARD"), "{ehlo}");
    client
        .play(&[
            ("XCLIENT ADDR=127.0.0.1", "502"),
            ("XFORWARD ADDR=127.0.0.1", "502"),
        ])
        .await;
}

/// Slow loris: a silent client is told to go, wherever it stopped.
#[tokio::test(start_paused = true)]
async fn slow_loris() {
    let bench = Bench::new().await;
    let before_data: &[(&str, &str)] = &[
        ("EHLO x", "250"),
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
    ];
    for (script, unfinished) in [
        (&before_data[..1], "MAIL FR"),
        (before_data, "Subject: half a mes"),
    ] {
        let mut client = bench.smtp().await;
        client.play(script).await;
        client.send(unfinished).await;
        // The paused clock runs to the server's deadline at once.
        let said = client
            .stream
            .read_line(Duration::from_secs(310))
            .await
            .expect("a reply");
        assert!(said.starts_with(b"421 4.4.2"), "{unfinished:?}: {said:?}");
        client.closed().await;
    }
    assert!(bench.inbox("alice@example.test").await.is_empty());
}

/// Garbage of every kind: each answer is a reply, and the server lives.
#[tokio::test]
async fn garbage() {
    let bench = Bench::new().await;
    let pieces: [&[u8]; 12] = [
        b"EHLO x\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"RCPT TO:<alice@example.test>\r\n",
        b"RCPT TO:<\"a@example.test>\r\n",
        b"DATA\r\n",
        b"\r\n.\r\n",
        b"\r\n",
        b"\n.\n",
        b"\0\xff\x80",
        b"RSET\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"XFORWARD A=+\r\n",
    ];
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    for _ in 0..200 {
        let mut client = bench.smtp().await;
        for _ in 0..30 {
            client.stream.write(pieces[next(pieces.len())]);
        }
        client.stream.write(b"\r\n.\r\nQUIT\r\n");
        // The server may have closed already: too many errors.
        let _ = client.stream.flush(WAIT).await;
        loop {
            match client.stream.read_line(WAIT).await {
                Ok(line) => {
                    let mut reader = wire::smtp::ReplyReader::new();
                    assert!(reader.push_line(&line).is_ok(), "{line:?}");
                }
                Err(ReadError::TimedOut) => panic!("the server waits for ever"),
                Err(_) => break,
            }
        }
    }
}
