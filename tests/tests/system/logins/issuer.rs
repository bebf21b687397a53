//! An issuer of tokens: keys of its own, published over HTTP on loopback, and an endpoint that is asked about tokens.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A key that signs tokens.
pub(super) struct SigningKey {
    pair: rcgen::KeyPair,
    name: &'static str,
}

impl SigningKey {
    pub(super) fn new(name: &'static str) -> Result<Self> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { pair, name })
    }

    fn published(&self) -> Value {
        use rcgen::PublicKeyData as _;
        // RFC 5480 section 2.2: 4, then both coordinates.
        let point = self.pair.der_bytes();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    /// A signed token.
    pub(super) fn token(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.name.to_owned());
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes())?;
        Ok(jsonwebtoken::encode(&header, claims, &key)?)
    }
}

#[derive(Default)]
struct Published {
    keys: Vec<Value>,
    /// What is said about tokens (RFC 7662 section 2.2).
    tokens: HashMap<String, Value>,
}

/// The server; it is away once it is dropped.
pub(super) struct Issuer {
    pub(super) port: u16,
    published: Arc<Mutex<Published>>,
    gone: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Issuer {
    pub(super) fn start() -> Result<Self> {
        Self::start_at(testkit::free_port()?)
    }

    pub(super) fn start_at(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("the issuer's port")?;
        let published = Arc::new(Mutex::new(Published::default()));
        let gone = Arc::new(AtomicBool::new(false));
        let (what, over) = (Arc::clone(&published), Arc::clone(&gone));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                // A client that goes away is its own affair.
                let _ = answer(stream, &what);
            }
        });
        Ok(Self {
            port,
            published,
            gone,
            serving: Some(serving),
        })
    }

    /// Publishes these keys and no others.
    pub(super) fn publish(&self, keys: &[&SigningKey]) {
        let keys = keys.iter().map(|key| key.published()).collect();
        self.published.lock().unwrap_or_else(PoisonError::into_inner).keys = keys;
    }

    /// What it says about a token from now on.
    pub(super) fn know(&self, token: &str, about: Value) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.tokens.insert(token.to_owned(), about);
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        // It waits for a connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

fn answer(mut stream: TcpStream, published: &Mutex<Published>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let (head, body) = loop {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let wanted = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= wanted.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        }
        if read == 0 {
            return Ok(());
        }
    };
    let published = published.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, said) = if head.starts_with("GET /keys ") {
        ("200 OK", json!({ "keys": published.keys }))
    } else if head.starts_with("POST /introspect ") {
        let asked = body.split('&').find_map(|field| field.strip_prefix("token="));
        let about = asked.and_then(|token| published.tokens.get(token)).cloned();
        ("200 OK", about.unwrap_or_else(|| json!({ "active": false })))
    } else {
        ("404 Not Found", json!({}))
    };
    let said = said.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
        said.len()
    )
}
