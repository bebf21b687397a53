//! Front ends under test, homes that follow a script, and a client that speaks lines.

use directory::{Domains, DomainsConfig, Homes, UserMap, UserMaps};
use frontend::{Dialer, ProxyContext};
use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential, Protocol, RejectReason,
    SystemClock, Unavailable,
};
use net::{
    Accepted, ClientTls, ClientTlsConfig, Connection, LineStream, Listener, ListenerConfig, Metrics,
    Resolver, Rest, ServerTls, SessionLimits, Sessions, Shutdown, ShutdownTrigger, TlsConfig,
};
use parking_lot::Mutex;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A context whose maps know these addresses.
pub(crate) fn context(rules: &[(&str, &str)]) -> ProxyContext {
    context_with(rules, &[])
}

/// The same with `[[home]]` sections.
pub(crate) fn context_with(rules: &[(&str, &str)], homes: &[serde_json::Value]) -> ProxyContext {
    let clock = Arc::new(SystemClock::new());
    let homes = homes
        .iter()
        .map(|home| serde_json::from_value(home.clone()).expect("a home"))
        .collect();
    let homes = Homes::new(homes, &ClientTlsConfig::default()).expect("good homes");
    ProxyContext {
        maps: Arc::new(maps(rules, clock.clone())),
        dialer: Arc::new(Dialer::new(Arc::new(homes), Resolver::system(), clock.clone())),
        server_name: "front.example.test".to_owned(),
        sessions: Sessions::new(clock.clone(), SessionLimits::default()),
        metrics: Metrics::default(),
        assertions: None,
        clock,
    }
}

/// These domains are ours.
pub(crate) fn listed_domains(names: &[&str]) -> DomainsConfig {
    let domain = |name: &&str| model::Domain::parse(name).expect("a domain");
    DomainsConfig::Listed(names.iter().map(domain).collect())
}

/// Who knows the domains that are configured like this; no directory does.
pub(crate) fn domains(config: &DomainsConfig) -> Arc<Domains> {
    let aliases = model::DomainAliases::default();
    Domains::new(config, None, aliases, Arc::new(SystemClock::new())).expect("good domains")
}

/// A map in a file, as an administrator would write it.
fn maps(rules: &[(&str, &str)], clock: Arc<SystemClock>) -> UserMaps {
    let mut file = tempfile::NamedTempFile::new().expect("a scratch file");
    for (address, home) in rules {
        writeln!(file, "{address} {home}").expect("write");
    }
    let config = serde_json::json!({ "name": "file", "kind": "local-file", "path": file.path() });
    let config = serde_json::from_value(config).expect("a user map");
    UserMaps::new(vec![UserMap::new(config, None, clock).expect("a good file")])
}

/// Knows one password for everybody.
pub(crate) struct OnePassword;

impl Authenticator for OnePassword {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            let Credential::Password(password) = &request.credential else {
                return AuthOutcome::NoEntry;
            };
            match (password.expose(), model::Address::parse(&request.login)) {
                (b"directory down", _) => AuthOutcome::Unavailable(Unavailable("down".to_owned())),
                (b"expired", _) => AuthOutcome::Rejected(RejectReason::Expired),
                (b"secret", Ok(address)) => AuthOutcome::Accepted(Authenticated { address, entry: None }),
                _ => AuthOutcome::Rejected(RejectReason::WrongCredential),
            }
        })
    }
}

/// A front end that runs until it is dropped.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) tls: ClientTls,
    pub(crate) trigger: ShutdownTrigger,
    files: tempfile::TempDir,
}

/// A certificate for `localhost` in a scratch folder.
pub(crate) fn certificate() -> (tempfile::TempDir, ServerTls, ClientTls) {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let config = TlsConfig::new(dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&config.certificate, signed.cert.pem()).expect("write");
    std::fs::write(&config.key, signed.signing_key.serialize_pem()).expect("write");
    let client = ClientTls::new(&ClientTlsConfig {
        ca_file: Some(config.certificate.clone()),
        ..ClientTlsConfig::default()
    });
    (
        dir,
        ServerTls::load(&config).expect("good files"),
        client.expect("good files"),
    )
}

impl Front {
    /// The certificate that it shows, in a file.
    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        self.files.path().join("cert.pem")
    }
}

pub(crate) async fn front<F, Fut>(protocol: Protocol, configure: fn(&mut ListenerConfig), handler: F) -> Front
where
    F: Fn(Accepted) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: Into<Rest>> + Send + 'static,
{
    let (files, server, tls) = certificate();
    let mut config = ListenerConfig::at(([127, 0, 0, 1], 0).into());
    configure(&mut config);
    let listener = Listener::bind(config, protocol, Some(server))
        .await
        .expect("a free port");
    let address = listener.local_addr();
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(listener.run(shutdown, handler));
    Front {
        address,
        tls,
        trigger,
        files,
    }
}

/// One step of a home.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Sends these bytes.
    Say(&'static str),
    /// Reads a line that begins so.
    Hear(&'static str),
    /// Reads a line that begins so, and answers with its first word and this text.
    Answer(&'static str, &'static str),
    /// Says this again and again, as long as somebody listens.
    Flood(&'static str),
    /// Says nothing more, and stays.
    Hang,
    /// Echoes every line with this before it, until the other side closes.
    Echo(&'static str),
}

/// A home that plays one script for each connection, the last one for all that follow.
pub(crate) struct Home {
    pub(crate) name: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Home {
    pub(crate) async fn start(scripts: &[&[Do]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let name = listener.local_addr().expect("bound").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let scripts: Vec<Vec<Do>> = scripts.iter().map(|script| script.to_vec()).collect();
        let log = heard.clone();
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let script = scripts
                    .get(number)
                    .or(scripts.last())
                    .cloned()
                    .unwrap_or_default();
                number += 1;
                let log = log.clone();
                tokio::spawn(async move {
                    let mut stream = LineStream::new(stream.into(), 65_536);
                    play(&mut stream, &script, &log).await;
                    stream.close(SOON).await;
                });
            }
        });
        Self { name, heard }
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    /// The first line heard that holds this text.
    pub(crate) fn line_with(&self, text: &str) -> Option<String> {
        self.heard.lock().iter().find(|line| line.contains(text)).cloned()
    }
}

async fn play(stream: &mut LineStream, script: &[Do], log: &Mutex<Vec<String>>) {
    for step in script {
        match step {
            Do::Say(text) => stream.write(text.as_bytes()),
            Do::Flood(text) => loop {
                stream.write(text.as_bytes());
                if stream.flush(SOON).await.is_err() {
                    return;
                }
            },
            Do::Hang => {
                let _ = stream.flush(SOON).await;
                tokio::time::sleep(SOON).await;
            }
            Do::Hear(start) | Do::Answer(start, _) => {
                let Ok(line) = stream.read_line(SOON).await else {
                    return;
                };
                let line = String::from_utf8_lossy(&line).into_owned();
                log.lock().push(line.clone());
                let (tag, rest) = line.split_once(' ').unwrap_or(("", &line));
                if !line.starts_with(start) && !rest.starts_with(start) {
                    log.lock().push(format!("EXPECTED {start}"));
                    return;
                }
                if let Do::Answer(_, text) = step {
                    stream.write(format!("{tag} {text}\r\n").as_bytes());
                }
            }
            Do::Echo(before) => {
                while let Ok(line) = stream.read_line(SOON).await {
                    stream.write(before.as_bytes());
                    stream.write(&line);
                    stream.write(b"\r\n");
                }
            }
        }
    }
}

/// A client that speaks lines.
pub(crate) struct Client(pub(crate) LineStream);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let connection = Connection::connect(address, SOON)
            .await
            .expect("the front end listens");
        Self(LineStream::new(connection, 65_536))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write(text.as_bytes());
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = self.0.read_line(SOON).await.expect("a line");
        String::from_utf8(line.to_vec()).expect("text")
    }

    /// Sends a line and gives the next one.
    pub(crate) async fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.send("\r\n");
        self.line().await
    }

    /// Sends a line and reads up to the line that begins so.
    pub(crate) async fn until(&mut self, text: &str, start: &str) -> String {
        self.send(text);
        self.send("\r\n");
        loop {
            let line = self.line().await;
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        self.0.read_line(SOON).await.is_err()
    }
}
