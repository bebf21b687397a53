//! The HTTP proxy from outside: raw requests, curl, HTTP/2, WebSockets; an application, nginx and broken servers as
//! homes.

mod app;
mod faults;
mod form;
mod limits;
mod logouts;
mod nginx;
mod requests;
mod sessions;
mod smuggling;
mod sockets;

use crate::support::{Front, OnePassword, SOON, context_with, front};
use frontend::ProxyContext;
use frontend::http::{HttpFiles, HttpProxy, HttpProxyConfig, SessionKeys, serve};
use model::{Authenticator, Protocol};
use net::{Connection, ListenerConfig, TlsMode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ALICE: &str = "alice@example.test";
/// `alice@example.test:secret`
const BASIC: &str = "Authorization: Basic YWxpY2VAZXhhbXBsZS50ZXN0OnNlY3JldA==\r\n";

/// A front end with what a test may want to look at.
struct Web {
    front: Front,
    context: ProxyContext,
    keys: PathBuf,
    logouts: PathBuf,
    _folder: tempfile::TempDir,
}

/// How a front end is set up.
struct Setup {
    homes: Vec<Value>,
    listener: fn(&mut ListenerConfig),
    config: HttpProxyConfig,
    keys: Option<PathBuf>,
    logouts: Option<PathBuf>,
    authenticator: Arc<dyn Authenticator>,
    context: Option<ProxyContext>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            homes: Vec::new(),
            listener: |config| config.tls = Some(TlsMode::None),
            config: HttpProxyConfig {
                title: Some("Example mail".to_owned()),
                ..HttpProxyConfig::default()
            },
            keys: None,
            logouts: None,
            authenticator: Arc::new(OnePassword),
            context: None,
        }
    }
}

impl Setup {
    async fn start(self, home: &str) -> Web {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let keys = self.keys.unwrap_or_else(|| folder.path().join("session.keys"));
        SessionKeys::ensure(&keys).expect("made");
        let context = self
            .context
            .unwrap_or_else(|| context_with(&[(ALICE, home)], &self.homes));
        let logouts = self.logouts.unwrap_or_else(|| folder.path().join("http-logouts"));
        let files = HttpFiles {
            session_keys: &keys,
            logouts: &logouts,
        };
        let proxy = HttpProxy::new(&self.config, files, context.clone(), Some(self.authenticator));
        let proxy = Arc::new(proxy.expect("a good configuration"));
        let front = front(Protocol::Http, self.listener, move |accepted| {
            serve(accepted, proxy.clone())
        })
        .await;
        Web {
            front,
            context,
            keys,
            logouts,
            _folder: folder,
        }
    }
}

/// A front end before this home, with nothing unusual.
async fn web(home: &str) -> Web {
    Setup::default().start(home).await
}

/// A home that believes assertions.
fn asserted(name: &str, address: &str) -> Value {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port");
    json!({ "name": name, "host": host, "http": { "port": port, "login": "assertion" } })
}

/// An answer, taken apart.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(octets: &[u8]) -> Self {
        let text = String::from_utf8_lossy(octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }
}

impl Web {
    async fn connect(&self) -> Connection {
        let connected = Connection::connect(self.front.address, SOON).await;
        connected.expect("the front end listens")
    }

    /// Sends these octets, and reads until the front end closes.
    async fn raw(&self, text: &str) -> Answer {
        let mut connection = self.connect().await;
        connection.write_all(text.as_bytes()).await.expect("written");
        let mut octets = Vec::new();
        let read = tokio::time::timeout(SOON, connection.read_to_end(&mut octets)).await;
        // A server that has not read everything may reset; what came before counts.
        let _ = read.expect("it closes in time");
        Answer::parse(&octets)
    }

    /// One GET by Alice with these fields more, each with its line end.
    async fn get(&self, path: &str, fields: &str) -> Answer {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: mail.example.test\r\nConnection: close\r\n{BASIC}{fields}\r\n"
        ))
        .await
    }

    /// The same by nobody.
    async fn anonymous(&self, path: &str, fields: &str) -> Answer {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: mail.example.test\r\nConnection: close\r\n{fields}\r\n"
        ))
        .await
    }
}

/// Reads until the text has come.
async fn read_until(connection: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) -> String {
    let mut octets = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&octets).contains(text) {
        let read = tokio::time::timeout(SOON, connection.read(&mut buffer)).await;
        let length = read.expect("in time").expect("readable");
        assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&octets));
        octets.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Waits until it is so.
async fn until(what: impl Fn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !what() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("in time");
}
