//! Handshakes with certificates made on the spot.

use super::*;
use crate::{ClientTlsConfig, Connection, TlsConfig};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(10);

/// A self-signed certificate in a scratch folder.
pub(crate) struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new(name: &str) -> Self {
        let files = Self {
            dir: tempfile::tempdir().expect("a scratch folder"),
        };
        files.renew(name);
        files
    }

    fn renew(&self, name: &str) {
        self.renew_as(name, rcgen::IsCa::NoCa);
    }

    fn renew_as(&self, name: &str, is_ca: rcgen::IsCa) {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        params.is_ca = is_ca;
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(self.config().certificate, certificate.pem()).expect("write");
        std::fs::write(self.config().key, key.serialize_pem()).expect("write");
    }

    fn config(&self) -> TlsConfig {
        TlsConfig::new(self.dir.path().join("cert.pem"), self.dir.path().join("key.pem"))
    }

    pub(crate) fn server(&self) -> ServerTls {
        ServerTls::load(&self.config()).expect("good files")
    }

    /// It believes the certificate that it shows itself, of clients too.
    pub(crate) fn mutual_server(&self) -> ServerTls {
        ServerTls::load(&TlsConfig {
            client_ca: Some(self.config().certificate),
            ..self.config()
        })
        .expect("good files")
    }

    /// Shows the same certificate.
    pub(crate) fn mutual_client(&self) -> ClientTls {
        ClientTls::new(&ClientTlsConfig {
            ca_file: Some(self.config().certificate),
            client_cert: Some(self.config().certificate),
            client_key: Some(self.config().key),
            ..ClientTlsConfig::default()
        })
        .expect("good files")
    }

    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::new(&ClientTlsConfig {
            ca_file: Some(self.config().certificate),
            ..ClientTlsConfig::default()
        })
        .expect("good files")
    }
}

async fn handshake(server: &ServerTls, client: &ClientTls, name: &str) -> Result<(), TlsError> {
    let (left, right) = Connection::pair();
    let (accepted, connected) = tokio::join!(
        left.accept_tls(server, SOON),
        right.connect_tls(client, name, SOON)
    );
    let connected = connected?;
    assert!(connected.is_encrypted() && accepted.is_ok_and(|c| c.is_encrypted()));
    Ok(())
}

#[tokio::test]
async fn verifies_by_default_and_says_what_is_wrong() {
    let files = Files::new("mail.example.test");
    let (server, client) = (files.server(), files.client());
    handshake(&server, &client, "mail.example.test")
        .await
        .expect("all is well");
    let error = handshake(&server, &client, "other.example.test")
        .await
        .expect_err("another name");
    assert_eq!(
        error.to_string(),
        "the certificate of other.example.test is not valid for that name, only for mail.example.test"
    );
    let stranger = Files::new("mail.example.test").client();
    let error = handshake(&server, &stranger, "mail.example.test")
        .await
        .expect_err("another authority");
    assert!(error.to_string().contains("ca_file"), "{error}");
    files.renew_as(
        "mail.example.test",
        rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
    );
    let error = handshake(&files.server(), &files.client(), "mail.example.test")
        .await
        .expect_err("what openssl req -x509 makes");
    assert!(error.to_string().contains("CA:FALSE"), "{error}");
    let careless = ClientTls::new(&ClientTlsConfig {
        verify: false,
        ..ClientTlsConfig::default()
    });
    handshake(&server, &careless.expect("no files"), "whoever")
        .await
        .expect("verification is off");
    assert!(handshake(&server, &client, "not a name").await.is_err());
}

#[tokio::test]
async fn reload_takes_the_new_files_or_keeps_the_old() {
    let files = Files::new("mail.example.test");
    let (server, old) = (files.server(), files.client());
    files.renew("mail.example.test");
    handshake(&server, &old, "mail.example.test")
        .await
        .expect("not reloaded yet");
    server.reload().expect("good files");
    assert!(handshake(&server, &old, "mail.example.test").await.is_err());
    handshake(&server, &files.client(), "mail.example.test")
        .await
        .expect("the new one");
    std::fs::write(files.config().key, "nonsense").expect("write");
    assert!(server.reload().is_err());
    handshake(&server, &files.client(), "mail.example.test")
        .await
        .expect("still served");
}

#[test]
fn errors_name_the_file() {
    let files = Files::new("mail.example.test");
    let other = Files::new("mail.example.test");
    let mixed = TlsConfig {
        key: other.config().key,
        ..files.config()
    };
    let swapped = TlsConfig::new(files.config().key, files.config().certificate);
    let missing = TlsConfig {
        certificate: files.dir.path().join("absent.pem"),
        ..files.config()
    };
    for (config, part) in [
        (mixed, "does not belong"),
        (swapped, "BEGIN CERTIFICATE"),
        (missing, "absent.pem"),
    ] {
        let error = ServerTls::load(&config).expect_err("bad files").to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// Mail servers show whatever they have to whoever asks.
#[tokio::test]
async fn a_certificate_of_somebody_else_costs_nobody_tls() {
    let (ours, foreign) = (Files::new("front.example.test"), Files::new("front.example.test"));
    let server = ours.mutual_server();
    let shows = |files: &Files| {
        ClientTls::new(&ClientTlsConfig {
            ca_file: Some(ours.config().certificate),
            client_cert: Some(files.config().certificate),
            client_key: Some(files.config().key),
            ..ClientTlsConfig::default()
        })
        .expect("good files")
    };
    let names = ["front.example.test".to_owned()];
    for (client, counts) in [
        (shows(&ours), true),
        (shows(&foreign), false),
        (ours.client(), false),
    ] {
        // The second time the session is resumed.
        for _ in 0..2 {
            let (left, right) = Connection::pair();
            let (accepted, connected) = tokio::join!(
                left.accept_tls(&server, SOON),
                right.connect_tls(&client, "front.example.test", SOON)
            );
            let (mut accepted, mut connected) = (accepted.expect("TLS"), connected.expect("TLS"));
            assert_eq!(accepted.holds_certificate_of(&names), counts);
            assert_eq!(accepted.client_certificate().is_some(), counts);
            // In TLS 1.3 the client hears of a refusal with the first bytes only.
            accepted.write_all(b"served").await.expect("write");
            accepted.flush().await.expect("flush");
            let mut heard = [0; 6];
            connected.read_exact(&mut heard).await.expect("no alert");
        }
    }
}

/// Old tools make certificates of version 1, which we cannot even read.
#[tokio::test]
async fn a_certificate_that_cannot_be_read_costs_nobody_tls() {
    let files = Files::new("front.example.test");
    let path = |name: &str| files.dir.path().join(name).display().to_string();
    let (key, request, own) = (path("old.key"), path("old.csr"), path("old.pem"));
    let openssl = |arguments: &[&str]| {
        let done = std::process::Command::new("openssl").args(arguments).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "{done:?}");
    };
    let new = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=front.example.test"];
    openssl(&[&["req", "-new", "-keyout", &key, "-out", &request][..], &new].concat());
    openssl(&["x509", "-req", "-in", &request, "-signkey", &key, "-out", &own]);
    let server = files.mutual_server();
    for version in ["-tls1_2", "-tls1_3"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound").to_string();
        let (key, own) = (key.clone(), own.clone());
        let client = tokio::task::spawn_blocking(move || {
            std::process::Command::new("openssl")
                .args([
                    "s_client", "-quiet", version, "-connect", &address, "-cert", &own, "-key", &key,
                ])
                .stdin(std::process::Stdio::null())
                .output()
        });
        let (stream, _) = listener.accept().await.expect("a client");
        let accepted = Connection::from(stream).accept_tls(&server, 6 * SOON).await;
        let mut accepted = accepted.expect("TLS");
        assert!(!accepted.holds_certificate_of(&["front.example.test".to_owned()]));
        assert!(accepted.client_certificate().is_none());
        accepted.write_all(b"served").await.expect("write");
        accepted.shutdown().await.expect("close");
        drop(accepted);
        let heard = client.await.expect("it ends").expect("openssl runs");
        assert_eq!(heard.stdout, b"served", "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_times_out() {
    let files = Files::new("mail.example.test");
    let (left, _right) = Connection::pair();
    assert!(matches!(
        left.accept_tls(&files.server(), SOON).await,
        Err(TlsError::TimedOut)
    ));
}

#[tokio::test]
async fn each_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (main, shop, wild) = (
        Files::new("mail.example.test"),
        Files::new("mail.shop.test"),
        Files::new("*.hosted.test"),
    );
    let more = |files: &Files| crate::CertificateConfig {
        certificate: files.config().certificate,
        key: files.config().key,
    };
    let config = TlsConfig {
        more: vec![more(&shop), more(&wild)],
        ..main.config()
    };
    let server = ServerTls::load(&config).expect("good files");
    for (files, name, good) in [
        (&main, "mail.example.test", true),
        (&shop, "mail.shop.test", true),
        (&shop, "MAIL.shop.test", true),
        (&wild, "a.hosted.test", true),
        // Not two labels, and not none: these get the main one, which is not valid for them.
        (&wild, "a.b.hosted.test", false),
        (&wild, "hosted.test", false),
        (&main, "mail.shop.test", false),
    ] {
        let result = handshake(&server, &files.client(), name).await;
        assert_eq!(result.is_ok(), good, "{name}: {result:?}");
    }
    // A login is bound to the certificate that was shown.
    let (left, right) = Connection::pair();
    let client = shop.client();
    let (accepted, connected) = tokio::join!(
        left.accept_tls(&server, SOON),
        right.connect_tls(&client, "mail.shop.test", SOON)
    );
    let (accepted, connected) = (accepted.expect("TLS"), connected.expect("TLS"));
    assert!(accepted.tls_bindings().server_end_point.is_some());
    assert_eq!(accepted.tls_bindings(), connected.tls_bindings());
    // All of them are read again.
    shop.renew("mail.shop.test");
    server.reload().expect("good files");
    handshake(&server, &shop.client(), "mail.shop.test")
        .await
        .expect("the new one");
    std::fs::write(wild.config().key, "nonsense").expect("write");
    assert!(server.reload().is_err());
    handshake(&server, &shop.client(), "mail.shop.test")
        .await
        .expect("still served");
}
