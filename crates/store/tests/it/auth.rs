//! Local passwords.

use crate::support::{account, admin, memory};
use ::model::{
    AuthOutcome, AuthRequest, Authenticator, Credential, Peer, Protocol, RejectReason, Secret, TlsState,
    TraceId,
};
use store::{AccountChange, LocalAuthenticator};

fn request(login: &str, password: &str) -> AuthRequest {
    AuthRequest {
        login: login.into(),
        authzid: None,
        credential: Credential::Password(Secret::from(password)),
        protocol: Protocol::Imap,
        peer: Peer {
            client: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            tls: TlsState::Plain,
            trace: TraceId::new(1),
        },
    }
}

#[tokio::test]
async fn outcomes() {
    let store = memory();
    let id = account(&store, "alice").await;
    let pool = password::VerifyPool::for_this_machine();
    let auth = LocalAuthenticator::new(store.clone(), pool);
    // Without a local password the directory decides.
    assert_eq!(
        auth.check(&request("alice@example.test", "x")).await,
        AuthOutcome::NoEntry
    );
    let change = AccountChange {
        password_hash: Some(Some(Secret::from("{CLEARTEXT}secret"))),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, change, &admin())
        .await
        .expect("sets");
    assert!(matches!(
        auth.check(&request("ALICE@example.test", "secret")).await,
        AuthOutcome::Accepted(who) if who.address.as_str() == "alice@example.test"
    ));
    for (login, password, outcome) in [
        (
            "alice@example.test",
            "wrong",
            AuthOutcome::Rejected(RejectReason::WrongCredential),
        ),
        (
            "alice@example.test",
            "",
            AuthOutcome::Rejected(RejectReason::EmptyPassword),
        ),
        ("bob@example.test", "secret", AuthOutcome::NoEntry),
        ("alice", "secret", AuthOutcome::NoEntry),
    ] {
        assert_eq!(auth.check(&request(login, password)).await, outcome, "{login}");
    }
    let off = AccountChange {
        enabled: Some(false),
        ..AccountChange::default()
    };
    store
        .update_account(id, None, off, &admin())
        .await
        .expect("disables");
    for (password, reason) in [
        ("secret", RejectReason::Disabled),
        ("wrong", RejectReason::WrongCredential),
    ] {
        assert_eq!(
            auth.check(&request("alice@example.test", password)).await,
            AuthOutcome::Rejected(reason)
        );
    }
}
