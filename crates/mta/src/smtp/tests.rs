//! Scripted dialogues over a pipe in memory, filed by RFC section and by the name of the attack.

mod attacks;
mod dialogue;
mod extensions;
mod lmtp;
mod rfc5321;

use crate::{Dialect, Receiver, ReceiverParts, SmtpConfig};
use model::{
    AccountId, Address, Domain, MailboxName, ManualClock, OnDemandOutcome, Peer, Timestamp, TlsState, TraceId,
};
use net::{
    Accepted, Connection, LineStream, ListenerConfig, ReadError, ServerTls, Shutdown, ShutdownTrigger,
};
use std::sync::Arc;
use std::time::Duration;
use store::{AccountState, NewAccount, NewGroup, Origin, Store};

const WAIT: Duration = Duration::from_secs(10);

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// A store with a few accounts, and a service over it.
struct Bench {
    store: Store,
    config: SmtpConfig,
    listener: ListenerConfig,
    tls: Option<ServerTls>,
    on_demand: Option<OnDemandOutcome>,
    /// Kept, so that no order to stop is given.
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
}

impl Bench {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_324_557_000)));
        let store = Store::in_memory(clock).expect("a store");
        store
            .create_domain(&Domain::parse("example.test").expect("a domain"), &Origin::System)
            .await
            .expect("created");
        let (trigger, shutdown) = Shutdown::new();
        let bench = Self {
            store,
            config: SmtpConfig::default(),
            listener: ListenerConfig::at("127.0.0.1:25".parse().expect("an address")),
            tls: None,
            on_demand: None,
            trigger,
            shutdown,
        };
        bench.account("alice@example.test").await;
        bench.account("bob@example.test").await;
        bench
    }

    async fn account(&self, name: &str) -> AccountId {
        self.add(NewAccount::new(address(name))).await
    }

    async fn add(&self, account: NewAccount) -> AccountId {
        self.store
            .create_account(account, &Origin::System)
            .await
            .expect("created")
    }

    fn connect_as(&self, dialect: Dialect) -> Client {
        let outcome = self.on_demand;
        let parts = ReceiverParts {
            dialect,
            server_name: Domain::parse("mx.example.test").expect("a domain"),
            store: self.store.clone(),
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_795_324_557_000))),
            on_demand: outcome
                .map(|outcome| -> model::OnDemand { Arc::new(move |_| Box::pin(async move { outcome })) }),
        };
        let receiver = Receiver::new(parts, &self.config);
        let (ours, theirs) = Connection::pair();
        let accepted = Accepted {
            connection: theirs,
            peer: Peer {
                client: "192.0.2.1:1234".parse().expect("an address"),
                local: "127.0.0.1:25".parse().expect("an address"),
                tls: TlsState::Plain,
                trace: TraceId::new(7),
            },
            connected: "192.0.2.1:1234".parse().expect("an address"),
            config: Arc::new(self.listener.clone()),
            tls: self.tls.clone(),
            shutdown: self.shutdown.clone(),
        };
        tokio::spawn(super::serve(accepted, receiver));
        Client {
            stream: LineStream::new(ours, 4096),
        }
    }

    /// An SMTP session past its greeting.
    async fn smtp(&self) -> Client {
        let mut client = self.connect_as(Dialect::Smtp);
        client.expect("220 mx.example.test ESMTP").await;
        client
    }

    /// An LMTP session past its greeting.
    async fn lmtp(&self) -> Client {
        let mut client = self.connect_as(Dialect::Lmtp);
        client.expect("220 mx.example.test LMTP").await;
        client.say("LHLO front.test").await;
        client
    }

    /// The messages in somebody's INBOX, oldest first.
    async fn inbox(&self, name: &str) -> Vec<String> {
        let account = self
            .store
            .account_by_address(&address(name))
            .expect("read")
            .expect("exists");
        read_inbox(&self.store, account.id).await
    }
}

/// Everything in an account's INBOX, as text.
async fn read_inbox(store: &Store, account: AccountId) -> Vec<String> {
    let mailbox = store
        .mail(account)
        .open(&MailboxName::inbox())
        .await
        .expect("INBOX");
    let mut found = Vec::new();
    for entry in mailbox.snapshot().iter() {
        let message = mailbox
            .messages(&[entry.uid])
            .await
            .expect("read")
            .pop()
            .expect("there");
        let body = mailbox.body(&message).await.expect("read");
        found.push(String::from_utf8(body.to_vec()).expect("text"));
    }
    found
}

/// The other end of a session.
struct Client {
    stream: LineStream,
}

impl Client {
    /// The next reply, its lines joined by newlines.
    async fn reply(&mut self) -> String {
        let mut all = String::new();
        loop {
            let line = self.stream.read_line(WAIT).await.expect("a reply");
            let line = String::from_utf8(line.to_vec()).expect("ASCII");
            let more = line.as_bytes().get(3) == Some(&b'-');
            all.push_str(&line);
            if !more {
                return all;
            }
            all.push('\n');
        }
    }

    async fn expect(&mut self, prefix: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(prefix), "wanted {prefix:?}, got {reply:?}");
    }

    async fn send(&mut self, text: &str) {
        self.stream.write(text.as_bytes());
        self.stream.flush(WAIT).await.expect("sent");
    }

    /// Sends a line and gives the reply.
    async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Plays a table of lines and the beginnings of their replies.
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

const MESSAGE: &str = "Message-ID: <1@x.test>\r\nSubject: hello\r\n\r\nbody\r\n..dot\r\n.\r\n";
