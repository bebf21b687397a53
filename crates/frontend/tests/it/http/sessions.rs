//! HTTP logins are sessions: listed, limited, ended; homes are drained.

use super::app::App;
use super::{ALICE, Answer, BASIC, Setup, read_until, web};
use directory::HomeRef;
use model::{
    Address, AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Credential, Protocol,
    RejectReason,
};
use net::{SessionEnd, SessionFilter, SessionLimits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// A password that changes.
struct Changing {
    password: Mutex<&'static str>,
    asked: Mutex<u32>,
}

impl Changing {
    fn from(password: &'static str) -> Arc<Self> {
        Arc::new(Self {
            password: Mutex::new(password),
            asked: Mutex::new(0),
        })
    }
}

impl Authenticator for Changing {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            *self.asked.lock() += 1;
            // As long as a directory takes, so that requests meet here.
            tokio::time::sleep(Duration::from_millis(20)).await;
            match &request.credential {
                Credential::Password(password) if password.expose() == self.password.lock().as_bytes() => {
                    let address = Address::parse(&request.login).expect("an address");
                    AuthOutcome::Accepted(Authenticated { address, entry: None })
                }
                _ => AuthOutcome::Rejected(RejectReason::WrongCredential),
            }
        })
    }
}

#[tokio::test]
async fn requests_with_one_credential_are_one_session_and_one_check() {
    let app = App::start().await;
    let authenticator = Changing::from("secret");
    let setup = Setup {
        authenticator: authenticator.clone(),
        ..Setup::default()
    };
    let web = Arc::new(setup.start(&app.name).await);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let web = web.clone();
        all.spawn(async move { web.get("/", "").await.status });
    }
    assert!(all.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(*authenticator.asked.lock(), 1);
    let rows = web.context.sessions.list(&SessionFilter::default(), 0, 9);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].about.protocol, rows[0].about.account.as_str()),
        (Protocol::Http, ALICE)
    );
    assert_eq!(rows[0].about.home.as_deref(), Some(app.name.as_str()));
    // Told to end, it is checked again, and the password is another one now.
    *authenticator.password.lock() = "changed";
    web.context
        .sessions
        .end(&SessionFilter::default(), SessionEnd::Revoked);
    super::until(|| web.context.sessions.is_empty()).await;
    assert_eq!(web.get("/", "").await.status, 401);
}

#[tokio::test]
async fn an_answer_in_the_middle_is_cut_when_the_account_is_closed() {
    let (name, _) = super::app::raw(super::app::Raw::Stops(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
    ))
    .await;
    let web = super::web(&name).await;
    let mut connection = web.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{BASIC}\r\n");
    connection.write_all(request.as_bytes()).await.expect("written");
    read_until(&mut connection, "half").await;
    web.context
        .sessions
        .end(&SessionFilter::default(), SessionEnd::Revoked);
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut rest);
    let read = tokio::time::timeout(super::SOON, read).await;
    assert!(read.is_ok() && rest.is_empty(), "closed, and nothing was made up");
}

#[tokio::test]
async fn one_login_too_many_is_told_to_wait() {
    let app = App::start().await;
    let web = web(&app.name).await;
    web.context.sessions.set_limits(SessionLimits {
        max_per_account: 1,
        ..SessionLimits::default()
    });
    assert_eq!(web.get("/", "").await.status, 200);
    // The same account by another name of its own is another login.
    let other = wire::sasl::encode_base64(b"Alice@Example.test:secret");
    let refused = web
        .anonymous("/", &format!("Authorization: Basic {other}\r\n"))
        .await;
    assert_eq!(refused.status, 429);
    assert!(refused.field("retry-after").is_some());
    assert_eq!(web.get("/", "").await.status, 200, "whoever was there goes on");
}

#[tokio::test]
async fn a_drained_home_gets_no_requests() {
    let app = App::start().await;
    let web = web(&app.name).await;
    assert_eq!(web.get("/", "").await.status, 200);
    let home = HomeRef::parse(&app.name).expect("a home");
    web.context.dialer.drain(&home, "new disks").expect("in memory");
    let refused = web.get("/", "").await;
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some());
    web.context.dialer.enable(&home).expect("in memory");
    assert_eq!(web.get("/", "").await.status, 200);
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_has_begun() {
    let app = App::start().await;
    let web = web(&app.name).await;
    let mut idle = web.connect().await;
    let mut held = web.connect().await;
    let request = format!("GET /held HTTP/1.1\r\nHost: a\r\n{BASIC}\r\n");
    held.write_all(request.as_bytes()).await.expect("written");
    super::until(|| app.seen().len() == 1).await;
    web.front.trigger.request(super::SOON);
    let mut rest = Vec::new();
    let closed = tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest);
    closed.await.expect("nobody waits for an idle connection");
    app.gate.add_permits(1);
    let mut octets = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut held, &mut octets);
    read.await.expect("answered");
    let answer = Answer::parse(&octets);
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.field("connection")),
        (200, "hello", Some("close"))
    );
}
