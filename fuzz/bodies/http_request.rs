//! Any bytes as what a client sends to the HTTP proxy, up to what its home gets to see.

use directory::{Homes, UserMap, UserMaps};
use frontend::http::{HttpFiles, HttpProxy, HttpProxyConfig, SessionKeys, serve};
use frontend::{Dialer, LocalHome, ProxyContext};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, Credential, Peer,
    Protocol, RejectReason, SystemClock, TlsState, TraceId,
};
use net::{
    Accepted, ClientTlsConfig, Connection, ListenerConfig, Metrics, Resolver, SessionLimits, Sessions,
    Shutdown, ShutdownTrigger,
};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The front end, with a home in the same process that keeps what it is sent, one text for each connection.
struct Site {
    runtime: tokio::runtime::Runtime,
    proxy: Arc<HttpProxy>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    shutdown: (ShutdownTrigger, Shutdown),
    _folder: tempfile::TempDir,
}

thread_local! {
    static SITE: Site = site();
}

/// Alice has a password; nobody else has an account.
struct Alice;

impl Authenticator for Alice {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        let good = matches!(&request.credential, Credential::Password(text) if text.expose() == b"secret");
        let address = Address::parse("alice@example.test").expect("an address");
        let outcome = match good && request.login == address.as_str() {
            true => AuthOutcome::Accepted(Authenticated { address, entry: None }),
            false => AuthOutcome::Rejected(RejectReason::WrongCredential),
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn site() -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let map = folder.path().join("map");
    std::fs::write(&map, "alice@example.test home.example.test\n").expect("written");
    let map = serde_json::json!({ "name": "file", "kind": "local-file", "path": map });
    let map = serde_json::from_value(map).expect("a map");
    let map = UserMap::new(map, None, clock.clone()).expect("a good map");
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let local = LocalHome::new("home.example.test");
    let log = seen.clone();
    local.serve(
        Protocol::Http,
        Arc::new(move |accepted: Accepted| {
            tokio::spawn(keep(accepted.connection, log.clone()));
        }),
    );
    let homes = Homes::new(Vec::new(), &ClientTlsConfig::default()).expect("no homes are good homes");
    let dialer = Dialer::new(Arc::new(homes), Resolver::system(), clock.clone()).serving(local);
    let keys = folder.path().join("session.keys");
    SessionKeys::ensure(&keys).expect("made");
    let config = HttpProxyConfig {
        header_timeout: 1,
        body_timeout: 1,
        home_timeout: 1,
        max_login_failures: 100,
        ..HttpProxyConfig::default()
    };
    let context = ProxyContext {
        maps: Arc::new(UserMaps::new(vec![map])),
        dialer: Arc::new(dialer),
        server_name: "front.example.test".to_owned(),
        sessions: Sessions::new(clock.clone(), SessionLimits::default()),
        metrics: Metrics::default(),
        assertions: None,
        clock,
    };
    let (trigger, shutdown) = Shutdown::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let files = HttpFiles {
        session_keys: &keys,
        logouts: &folder.path().join("http-logouts"),
    };
    let entered = runtime.enter();
    let proxy = HttpProxy::new(&config, files, context, Some(Arc::new(Alice)));
    drop(entered);
    Site {
        runtime,
        proxy: Arc::new(proxy.expect("a proxy")),
        seen,
        shutdown: (trigger, shutdown),
        _folder: folder,
    }
}

/// A home that takes a request to its end before it answers, and whatever comes after it.
async fn keep(mut connection: Connection, log: Arc<Mutex<Vec<Vec<u8>>>>) {
    let place = {
        let mut log = log.lock().expect("no panic");
        log.push(Vec::new());
        log.len() - 1
    };
    let mut buffer = [0; 4096];
    let mut answered = false;
    while let Ok(length @ 1..) = connection.read(&mut buffer).await {
        let whole = {
            let mut log = log.lock().expect("no panic");
            log[place].extend_from_slice(&buffer[..length]);
            is_whole(&log[place])
        };
        if whole && !answered {
            answered = true;
            if connection.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

/// The fields of a head, names in lower case.
type Fields = Vec<(String, String)>;

/// A request as the home reads it: its fields, and what stands behind the head.
fn split(text: &[u8]) -> Option<(Fields, &[u8])> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    assert!(first.ends_with(" HTTP/1.1"), "{first:?}");
    let field = |line: &str| {
        let (name, value) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("no field: {line:?}"));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Some((lines.map(field).collect(), &text[end + 4..]))
}

fn is_whole(text: &[u8]) -> bool {
    let Some((fields, rest)) = split(text) else {
        return false;
    };
    let value = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    match value("content-length") {
        Some(length) => rest.len() >= length.parse::<usize>().expect("a length"),
        None => value("transfer-encoding").is_none() || rest.ends_with(b"0\r\n\r\n"),
    }
}

/// Whatever a client sends, a home is sent one request on one reading of it, for the account that has proved itself,
/// and nothing behind it.
pub(crate) fn run(data: &[u8]) {
    SITE.with(|site| {
        site.seen.lock().expect("no panic").clear();
        site.runtime.block_on(async {
            let (mut near, far) = Connection::pair();
            let client = ([192, 0, 2, 7], 4242).into();
            let mut config = ListenerConfig::at(([127, 0, 0, 1], 80).into());
            config.plaintext_login = Some(true);
            let accepted = Accepted {
                connection: far,
                peer: Peer {
                    client,
                    local: config.address,
                    tls: TlsState::Plain,
                    trace: TraceId::new(1),
                },
                connected: client,
                config: Arc::new(config),
                tls: None,
                shutdown: site.shutdown.1.clone(),
            };
            let serving = tokio::spawn(serve(accepted, site.proxy.clone()));
            // A client that is larger than the pipe is cut off.
            let _ = near.write_all(&data[..data.len().min(60_000)]).await;
            let _ = near.shutdown().await;
            let mut answers = Vec::new();
            let _ = near.read_to_end(&mut answers).await;
            drop(near);
            serving.await.expect("no panic");
            assert!(
                answers.is_empty() || answers.starts_with(b"HTTP/1."),
                "{answers:?}"
            );
        });
        for text in site.seen.lock().expect("no panic").iter() {
            judge(text);
        }
    });
}

fn judge(text: &[u8]) {
    let Some((fields, rest)) = split(text) else {
        return;
    };
    let all = |wanted: &str| -> Vec<&str> {
        let meant = fields.iter().filter(|(name, _)| name.replace('_', "-") == wanted);
        meant.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(
        all("authorization"),
        ["Basic YWxpY2VAZXhhbXBsZS50ZXN0OnNlY3JldA=="]
    );
    assert_eq!(all("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(all("host").len(), 1);
    for never in ["expect", "te", "trailer", "upgrade", "remote-user", "proxy"] {
        // A WebSocket's handshake has its own.
        assert!(never == "upgrade" || all(never).is_empty(), "{never}");
    }
    match (
        all("content-length")[..].first(),
        all("transfer-encoding")[..].first(),
    ) {
        (Some(_), Some(_)) => panic!("two ways to tell the length"),
        (Some(length), None) => assert!(rest.len() <= length.parse::<usize>().expect("a length")),
        (None, Some(coding)) => {
            assert_eq!(*coding, "chunked");
            chunks(rest);
        }
        (None, None) => assert!(rest.is_empty(), "{rest:?}"),
    }
}

/// Chunks to their end, or to where the client broke off.
fn chunks(mut rest: &[u8]) {
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).ok();
        let length = length
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .expect("a length");
        let Some(behind) = rest.get(end + 2 + length + 2..) else {
            return;
        };
        if length == 0 {
            assert!(
                behind.is_empty(),
                "something hides behind the last chunk: {behind:?}"
            );
            return;
        }
        rest = behind;
    }
}
