//! What is left of logins that come to nothing.

use super::*;
use crate::config::LoginProxyConfig;
use crate::login::ProxyContext;
use directory::{Homes, UserMaps};
use model::{
    AuthOutcome, AuthRequest, Authenticator, BoxFuture, ManualClock, Timestamp, TlsState, TraceId,
    Unavailable,
};
use net::Metrics;
use net::{ClientTlsConfig, Resolver, SessionLimits, Sessions};

/// Answers once it is told to.
struct Slow(CancellationToken);

impl Authenticator for Slow {
    fn check<'a>(&'a self, _: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async {
            self.0.cancelled().await;
            AuthOutcome::Unavailable(Unavailable("slow".to_owned()))
        })
    }
}

fn gate(clock: &Arc<ManualClock>, source: Slow) -> Gate {
    let homes = Homes::new(Vec::new(), &ClientTlsConfig::default()).expect("no homes are good homes");
    let dialer = crate::Dialer::new(Arc::new(homes), Resolver::system(), clock.clone());
    Gate {
        context: ProxyContext {
            maps: Arc::new(UserMaps::new(Vec::new())),
            dialer: Arc::new(dialer),
            server_name: "front".to_owned(),
            clock: clock.clone(),
            sessions: Sessions::new(clock.clone(), SessionLimits::default()),
            metrics: Metrics::default(),
            assertions: None,
        },
        settings: LoginProxyConfig::default().login_settings(),
        authenticator: Some(Arc::new(source)),
    }
}

#[tokio::test]
async fn clients_that_go_away_while_they_are_checked_leave_nothing_behind() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let dir = tempfile::tempdir().expect("a scratch folder");
    let logouts =
        Logouts::load(&dir.path().join("logouts"), clock.clone(), &Metrics::default()).expect("none yet");
    let logins = Logins::new(clock.clone(), logouts).expect("randomness");
    let answer = CancellationToken::new();
    let gate = gate(&clock, Slow(answer.clone()));
    let peer = Peer {
        client: ([192, 0, 2, 7], 4242).into(),
        local: ([192, 0, 2, 1], 443).into(),
        tls: TlsState::Encrypted,
        trace: TraceId::new(1),
    };
    let brought = |number: u32| Brought::Basic {
        login: format!("a{number}@example.test"),
        password: "x".into(),
    };
    for number in 0..100 {
        let brought = brought(number);
        let mut one = Box::pin(logins.enter(&brought, &gate, &peer, 1));
        let mut two = Box::pin(logins.enter(&brought, &gate, &peer, 1));
        for waiting in [&mut one, &mut two] {
            assert!(futures_poll(waiting.as_mut()).is_pending());
        }
        assert_eq!(logins.table.lock().len(), 1);
        drop(one);
        assert_eq!(logins.table.lock().len(), 1, "somebody waits still");
        drop(two);
        assert!(logins.table.lock().is_empty());
    }
    answer.cancel();
    let refused = logins.enter(&brought(0), &gate, &peer, 1).await;
    assert!(matches!(refused, Err(Fault::Failure(Failure::Directory(_)))));
    assert!(logins.table.lock().is_empty());
}

fn futures_poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
