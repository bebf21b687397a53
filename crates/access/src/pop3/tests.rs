//! Scripted dialogues over a pipe in memory, filed by RFC section.

mod auth;
mod maildrop;

use super::{Pop3Config, Pop3Parts, Pop3Service, serve};
use model::{
    AccountId, Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential,
    Domain, MailboxName, ManualClock, Peer, RejectReason, Timestamp, TlsState, TraceId, Unavailable,
};
use net::{
    Accepted, Connection, LineStream, ListenerConfig, ReadError, ServerTls, SessionLimits, Sessions,
    Shutdown, ShutdownTrigger,
};
use std::sync::Arc;
use std::time::Duration;
use store::{Delivery, NewAccount, Origin, Store};

const WAIT: Duration = Duration::from_secs(10);

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// Knows three people: one with the password `secret`, one whose password has expired, one whose directory is
/// away.
struct Gate;

impl Authenticator for Gate {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        let Credential::Password(password) = &request.credential else {
            panic!("no password")
        };
        let outcome = match request.login.split('@').next() {
            Some("expired") => AuthOutcome::Rejected(RejectReason::Expired),
            Some("away") => AuthOutcome::Unavailable(Unavailable("the directory is away".into())),
            Some("nobody") => AuthOutcome::NoEntry,
            _ if request.peer.client.to_string() == "198.51.100.7:99" => {
                AuthOutcome::Rejected(RejectReason::NotAllowed)
            }
            _ if password.expose() != b"sec ret" => AuthOutcome::Rejected(RejectReason::WrongCredential),
            _ => AuthOutcome::Accepted(Authenticated {
                address: address(&request.login),
                entry: None,
            }),
        };
        Box::pin(async move { outcome })
    }
}

struct Bench {
    store: Store,
    alice: AccountId,
    service: Arc<Pop3Service>,
    listener: ListenerConfig,
    tls: Option<ServerTls>,
    /// Kept, so that no order to stop is given.
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
}

impl Bench {
    async fn new(config: Pop3Config) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_324_557_000)));
        let store = Store::in_memory(clock.clone()).expect("a store");
        let domain = Domain::parse("example.test").expect("a domain");
        store
            .create_domain(&domain, &Origin::System)
            .await
            .expect("created");
        let new = NewAccount::new(address("alice@example.test"));
        let alice = store.create_account(new, &Origin::System).await.expect("created");
        let parts = Pop3Parts {
            server_name: domain,
            store: store.clone(),
            sessions: Sessions::new(clock, SessionLimits::default()),
            authenticator: Arc::new(Gate),
        };
        let (trigger, shutdown) = Shutdown::new();
        Self {
            store,
            alice,
            service: Pop3Service::new(parts, config),
            listener: ListenerConfig::at("127.0.0.1:110".parse().expect("an address")),
            tls: None,
            trigger,
            shutdown,
        }
    }

    /// Puts a message into alice's INBOX.
    async fn deliver(&self, message: &'static str) {
        let delivery = Delivery::new(bytes::Bytes::from_static(message.as_bytes()));
        let done = self.store.deliver_many(&delivery, &[self.alice]).await;
        assert!(done.iter().all(|(_, outcome)| outcome.is_ok()), "{done:?}");
    }

    /// How many messages alice's INBOX has now.
    async fn left(&self) -> u32 {
        let mailbox = self
            .store
            .mail(self.alice)
            .open(&MailboxName::inbox())
            .await
            .expect("INBOX");
        mailbox.snapshot().len()
    }

    fn connect(&self) -> Client {
        let (ours, theirs) = Connection::pair();
        let peer = "192.0.2.1:1234".parse().expect("an address");
        let accepted = Accepted {
            connection: theirs,
            peer: Peer {
                client: peer,
                local: "127.0.0.1:110".parse().expect("an address"),
                tls: TlsState::Plain,
                trace: TraceId::new(7),
            },
            connected: peer,
            config: Arc::new(self.listener.clone()),
            tls: self.tls.clone(),
            shutdown: self.shutdown.clone(),
        };
        tokio::spawn(serve(accepted, self.service.clone()));
        Client {
            stream: LineStream::new(ours, 4096),
        }
    }

    async fn greeted(&self) -> Client {
        let mut client = self.connect();
        client.expect("+OK example.test POP3 Homing").await;
        client
    }

    /// A session that is logged in as alice.
    async fn logged_in(&self) -> Client {
        let mut client = self.greeted().await;
        client
            .play(&[("USER alice@example.test", "+OK"), ("PASS sec ret", "+OK")])
            .await;
        client
    }
}

struct Client {
    stream: LineStream,
}

impl Client {
    async fn line(&mut self) -> String {
        let line = self.stream.read_line(WAIT).await.expect("a line");
        String::from_utf8(line.to_vec()).expect("text")
    }

    async fn expect(&mut self, prefix: &str) {
        let line = self.line().await;
        assert!(line.starts_with(prefix), "wanted {prefix:?}, got {line:?}");
    }

    async fn send(&mut self, text: &str) {
        self.stream.write(text.as_bytes());
        self.stream.flush(WAIT).await.expect("sent");
    }

    async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.line().await
    }

    /// The lines up to the dot, as they are on the wire.
    async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == "." {
                return lines;
            }
            lines.push(line);
        }
    }

    async fn list(&mut self, command: &str) -> Vec<String> {
        let status = self.say(command).await;
        assert!(status.starts_with("+OK"), "{command}: {status}");
        self.rest().await
    }

    async fn play(&mut self, script: &[(&str, &str)]) {
        for (line, wanted) in script {
            let reply = self.say(line).await;
            assert!(
                reply.starts_with(wanted),
                "{line:?}: wanted {wanted:?}, got {reply:?}"
            );
        }
    }

    async fn closed(&mut self) {
        let got = self.stream.read_line(WAIT).await;
        assert!(matches!(got, Err(ReadError::Closed)), "{got:?}");
    }
}
