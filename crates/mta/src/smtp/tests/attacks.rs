//! By the name of the attack.

use super::*;
use net::{ClientTls, ClientTlsConfig, TlsConfig};

fn certificate(folder: &std::path::Path) -> ServerTls {
    let made = rcgen::generate_simple_self_signed(vec!["mx.example.test".to_owned()]).expect("a certificate");
    let config = TlsConfig {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
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
