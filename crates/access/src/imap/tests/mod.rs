//! Scripted dialogues with the server, over a pipe and the store in memory. One file a group of commands.

mod before_login;
mod changes;
mod ending;
mod fetching;
mod limits;
mod mailboxes;
mod searching;
mod thunderbird;
mod two_sessions;

use super::{ImapConfig, ImapService, serve};
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, Credential, Domain,
    ManualClock, Peer, RejectReason, Timestamp, TlsState, TraceId, Unavailable,
};
use net::{
    Accepted, Connection, LineStream, ListenerConfig, SessionLimits, Sessions, Shutdown, ShutdownTrigger,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{NewAccount, Origin, Store};
use wire::imap::{Assembler, Next};

const PATIENCE: Duration = Duration::from_secs(20);

/// Knows one password for everybody, and remembers who asked.
#[derive(Default)]
struct Door {
    asked: Mutex<Vec<AuthRequest>>,
}

impl Authenticator for Door {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            self.asked.lock().expect("not poisoned").push(request.clone());
            let Credential::Password(password) = &request.credential else {
                return AuthOutcome::NoEntry;
            };
            match (password.expose(), Address::parse(&request.login)) {
                (b"secret", Ok(address)) => AuthOutcome::Accepted(Authenticated { address, entry: None }),
                (b"expired", _) => AuthOutcome::Rejected(RejectReason::Expired),
                (b"down", _) => AuthOutcome::Unavailable(Unavailable("the directory is down".into())),
                (_, Err(_)) => AuthOutcome::NoEntry,
                _ => AuthOutcome::Rejected(RejectReason::WrongCredential),
            }
        })
    }
}

/// A server with one account, alice@example.test.
struct Server {
    service: Arc<ImapService>,
    time: Arc<ManualClock>,
    door: Arc<Door>,
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
}

async fn server() -> Server {
    server_with(ImapConfig::default()).await
}

async fn server_with(config: ImapConfig) -> Server {
    // 2 February 2024, 10:00 UTC.
    let time = Arc::new(ManualClock::new(Timestamp::from_millis(1_706_868_000_000)));
    let clock: Arc<dyn Clock> = time.clone();
    let store = Store::in_memory(clock.clone()).expect("a store");
    store
        .create_domain(&Domain::parse("example.test").expect("a domain"), &Origin::System)
        .await
        .expect("a new domain");
    let account = NewAccount::new(Address::parse("alice@example.test").expect("an address"));
    store
        .create_account(account, &Origin::System)
        .await
        .expect("a new account");
    let door = Arc::new(Door::default());
    let (trigger, shutdown) = Shutdown::new();
    Server {
        time,
        service: ImapService::new(
            store,
            door.clone(),
            clock.clone(),
            Sessions::new(clock, SessionLimits::default()),
            config,
        ),
        door,
        trigger,
        shutdown,
    }
}

impl Server {
    fn connect_to(&self, listener: ListenerConfig) -> Client {
        let (ours, accepted) = self.accept(listener);
        tokio::spawn(serve(accepted, self.service.clone()));
        Client {
            stream: LineStream::new(ours, 1 << 20),
            tags: 0,
        }
    }

    /// A connection that nobody serves yet.
    fn accept(&self, listener: ListenerConfig) -> (Connection, Accepted) {
        let (ours, theirs) = Connection::pair();
        let address = "192.0.2.7:4000".parse().expect("an address");
        let accepted = Accepted {
            connection: theirs,
            peer: Peer {
                client: address,
                local: listener.address,
                tls: TlsState::Plain,
                trace: TraceId::new(7),
            },
            connected: address,
            config: Arc::new(listener),
            tls: None,
            shutdown: self.shutdown.clone(),
        };
        (ours, accepted)
    }

    fn connect(&self) -> Client {
        self.connect_to(ListenerConfig::at("127.0.0.1:143".parse().expect("an address")))
    }

    /// A client that is logged in.
    async fn alice(&self) -> Client {
        let mut client = self.connect();
        client.response().await;
        client.ok("LOGIN alice@example.test secret").await;
        client
    }

    /// A client that has an INBOX with these messages open.
    async fn alice_with(&self, messages: &[&str]) -> Client {
        let mut client = self.alice().await;
        for message in messages {
            client.append("INBOX", "", message).await;
        }
        // The second time nothing is \Recent, which most tests are not about.
        client.ok("SELECT INBOX").await;
        client.ok("SELECT INBOX").await;
        client
    }
}

/// The client's end.
struct Client {
    stream: LineStream,
    tags: u32,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write(bytes.as_ref());
        self.stream.flush(PATIENCE).await.expect("the server reads");
    }

    /// One response, literals with their line breaks in it; none when the server has closed.
    async fn try_response(&mut self) -> Option<String> {
        let mut assembler = Assembler::new(1 << 24);
        loop {
            let line = self.stream.read_line(PATIENCE).await.ok()?;
            match assembler.response_line(&line).expect("not too long") {
                Next::Complete(response) => return Some(String::from_utf8_lossy(&response).into_owned()),
                Next::Literal(literal) => {
                    let size = usize::try_from(literal.size).expect("small");
                    let data = self.stream.read_exact(size, PATIENCE).await.expect("the literal");
                    assembler.literal(&data).expect("fits");
                }
            }
        }
    }

    async fn response(&mut self) -> String {
        self.try_response().await.expect("a response")
    }

    /// Responses up to the tagged one, which is the last, without its tag.
    async fn until(&mut self, tag: &str) -> Vec<String> {
        let mut responses = Vec::new();
        loop {
            let response = self.response().await;
            if let Some(result) = response.strip_prefix(&format!("{tag} ")) {
                responses.push(result.to_owned());
                return responses;
            }
            responses.push(response);
        }
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    async fn command(&mut self, command: &str) -> Vec<String> {
        let tag = self.tag();
        self.send(format!("{tag} {command}\r\n")).await;
        self.until(&tag).await
    }

    /// The untagged responses of a command that succeeds.
    async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut responses = self.command(command).await;
        let result = responses.pop().expect("a result");
        assert!(result.starts_with("OK"), "{command}: {result}");
        responses
    }

    /// The result of a command.
    async fn result(&mut self, command: &str) -> String {
        self.command(command).await.pop().expect("a result")
    }

    /// APPEND with a literal that waits; the result.
    async fn append(&mut self, mailbox: &str, arguments: &str, message: &str) -> String {
        let tag = self.tag();
        self.send(format!(
            "{tag} APPEND {mailbox} {arguments}{{{}}}\r\n",
            message.len()
        ))
        .await;
        let invitation = self.response().await;
        if let Some(result) = invitation.strip_prefix(&format!("{tag} ")) {
            return result.to_owned();
        }
        assert!(invitation.starts_with('+'), "{invitation}");
        self.send(format!("{message}\r\n")).await;
        self.until(&tag).await.pop().expect("a result")
    }
}

fn starts(text: &str, with: &str) {
    assert!(text.starts_with(with), "{text:?} does not start with {with:?}");
}
