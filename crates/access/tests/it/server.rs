//! A server on a free port of loopback, over the store in memory, with one account.

use access::imap::{ImapConfig, ImapService, serve};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, Credential, Domain,
    Protocol, RejectReason, SystemClock,
};
use net::{
    Listener, ListenerConfig, ServerTls, SessionLimits, Sessions, Shutdown, ShutdownTrigger, TlsConfig,
};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use store::{NewAccount, Origin, Store};
use tempfile::TempDir;
use tokio::process::Command;

pub(crate) const LOGIN: &str = "alice@example.test";
pub(crate) const PASSWORD: &str = "secret \"quoted\"";

struct Door;

impl Authenticator for Door {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            match (&request.credential, Address::parse(&request.login)) {
                (Credential::Password(password), Ok(address)) if password.expose() == PASSWORD.as_bytes() => {
                    AuthOutcome::Accepted(Authenticated { address, entry: None })
                }
                _ => AuthOutcome::Rejected(RejectReason::WrongCredential),
            }
        })
    }
}

/// Stops when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// For the clients' files; the server's certificate is `tls.crt` in it.
    pub(crate) folder: TempDir,
    _trigger: ShutdownTrigger,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn start() -> Server {
    let folder = TempDir::new().expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Store::in_memory(clock.clone()).expect("a store");
    let domain = Domain::parse("example.test").expect("a domain");
    store
        .create_domain(&domain, &Origin::System)
        .await
        .expect("a new domain");
    let account = NewAccount::new(Address::parse(LOGIN).expect("an address"));
    store
        .create_account(account, &Origin::System)
        .await
        .expect("a new account");
    let service = ImapService::new(
        store,
        Arc::new(Door),
        clock.clone(),
        Sessions::new(clock, SessionLimits::default()),
        ImapConfig::default(),
    );

    let config = ListenerConfig::at("127.0.0.1:0".parse().expect("an address"));
    let tls = Some(certificate(folder.path()));
    let listener = Listener::bind(config, Protocol::Imap, tls)
        .await
        .expect("a free port");
    let port = listener.local_addr().port();
    let (trigger, shutdown) = Shutdown::new();
    let task = tokio::spawn(listener.run(shutdown, move |accepted| serve(accepted, service.clone())));
    Server {
        port,
        folder,
        _trigger: trigger,
        task,
    }
}

fn certificate(folder: &Path) -> ServerTls {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let files = TlsConfig::new(folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    ServerTls::load(&files).expect("loaded")
}

impl Server {
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a client to its end and gives what it printed; it must succeed.
    pub(crate) async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(60), child)
            .await
            .unwrap_or_else(|_| panic!("{program} {arguments:?} hangs"))
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{out}\n{err}",
            output.status
        );
        out
    }
}
