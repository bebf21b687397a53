//! LOGIN (RFC 3501 section 6.2.3), and what every way to log in ends with.

use super::capability;
use crate::imap::reply::{self, Failure, LoginFailure};
use crate::imap::session::Session;
use crate::imap::state::User;
use crate::registered::{self, Reach};
use model::{AuthOutcome, AuthRequest, Credential, Protocol, Secret};
use net::NewSession;
use store::AccountState;
use wire::imap::StatusLine;
use wire::sasl::Login;

pub(super) async fn run(
    session: &mut Session,
    user: Vec<u8>,
    password: Secret,
) -> Result<StatusLine, Failure> {
    if !capability::channel(session).allows_password() {
        return Err(Failure::PrivacyRequired);
    }
    let Some(login) = String::from_utf8(user).ok().filter(|login| !login.is_empty()) else {
        session.login_failures += 1;
        return Err(Failure::Login(LoginFailure::Rejected));
    };
    let login = Login {
        login,
        authzid: None,
        credential: Credential::Password(password),
    };
    let (request, outcome) = ask(session, login).await;
    admit(session, &request, outcome)
}

/// Asks the authenticator.
pub(super) async fn ask(session: &Session, login: Login) -> (AuthRequest, AuthOutcome) {
    let request = AuthRequest {
        login: login.login,
        authzid: login.authzid,
        credential: capability::channel(session).proof(login.credential),
        protocol: Protocol::Imap,
        peer: session.peer.clone(),
    };
    let outcome = session.service.authenticator.check(&request).await;
    (request, outcome)
}

/// What the client hears of a login that was not accepted; it counts unless nobody could judge it.
pub(super) fn refused(session: &mut Session, outcome: &AuthOutcome) -> Failure {
    let failure = LoginFailure::of(outcome);
    if !matches!(failure, LoginFailure::Unavailable | LoginFailure::Throttled) {
        session.login_failures += 1;
    }
    Failure::Login(failure)
}

/// Lets the account in, if the authenticator did.
pub(super) fn admit(
    session: &mut Session,
    request: &AuthRequest,
    outcome: AuthOutcome,
) -> Result<StatusLine, Failure> {
    let AuthOutcome::Accepted(who) = outcome else {
        tracing::info!(
            trace = %session.peer.trace, client = %session.peer.client, login = request.login, ?outcome,
            "imap: login failed"
        );
        return Err(refused(session, &outcome));
    };
    let account = match session.service.store.account_by_address(&who.address) {
        // Where the password is right says nothing about where the mail is.
        Ok(Some(account)) if !account.can_log_in() => {
            tracing::info!(
                trace = %session.peer.trace, client = %session.peer.client, address = %who.address, state = ?account.state,
                "imap: the account cannot be used here"
            );
            return Err(Failure::Login(match account.state {
                AccountState::MovedAway { .. } | AccountState::AwaitingMail { .. } => {
                    LoginFailure::Unavailable
                }
                AccountState::Active | AccountState::SoftDeleted { .. } => {
                    session.login_failures += 1;
                    LoginFailure::Rejected
                }
            }));
        }
        Ok(Some(account)) => account,
        // The source of truth knows the account and this store does not (yet), or cannot say.
        Ok(None) => {
            tracing::warn!(trace = %session.peer.trace, address = %who.address, "imap: no such account in the store");
            return Err(Failure::Login(LoginFailure::Unavailable));
        }
        Err(error) => {
            tracing::warn!(trace = %session.peer.trace, address = %who.address, %error, "imap: the store failed");
            return Err(Failure::Login(LoginFailure::Unavailable));
        }
    };
    let about = NewSession {
        protocol: Protocol::Imap,
        account: account.address.clone(),
        entry: who.entry,
        client: session.peer.client,
        home: None,
        trace: session.peer.trace,
    };
    let place = match registered::enter(&session.service.sessions, about, Reach::of(&session.stream)) {
        Ok(place) => place,
        Err(why) => {
            tracing::info!(trace = %session.peer.trace, client = %session.peer.client, address = %who.address, %why, "imap: refused");
            return Err(Failure::Login(LoginFailure::TooMany));
        }
    };
    let transport = session.client_tls.map_or("unknown", wire::transport::word);
    tracing::info!(
        trace = %session.peer.trace, client = %session.peer.client, transport, address = %who.address,
        "imap: logged in"
    );
    session.place = Some(place);
    session.authenticated(User {
        address: account.address.clone(),
        mail: session.service.store.mail(account.id),
        checked: session.service.clock.monotonic(),
    });
    Ok(reply::ok("Logged in").with_code(capability::code(session)))
}
