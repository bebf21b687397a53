//! AUTH (RFC 5034), and the login that it shares with USER and PASS.

use super::super::maildrop::Maildrop;
use super::super::reply::{self, OpenError};
use super::super::state::{Session, State};
use super::Next;
use model::{Address, AuthOutcome, AuthRequest, Protocol, Secret};
use store::AccountState;
use wire::pop3::Response;
use wire::sasl::{Login, Mechanism, ServerExchange, Step};

pub(super) async fn auth(session: &mut Session, mechanism: Option<String>, initial: Option<Secret>) -> Next {
    let allowed = session.may_log_in();
    let Some(mechanism) = mechanism else {
        // Before RFC 5034 clients asked for the list this way; some still do.
        let names = Mechanism::ALL
            .iter()
            .filter(|_| allowed)
            .map(|m| format!("{}\r\n", m.name()))
            .collect();
        return Next::Lines(reply::ok("mechanisms follow"), names);
    };
    if !allowed {
        return Next::Wrong(reply::tls_first());
    }
    let Some(mechanism) = Mechanism::parse(mechanism.as_bytes()) else {
        return Next::Wrong(reply::no_mechanism());
    };
    let (exchange, step) = ServerExchange::start(mechanism, initial.as_ref().map(Secret::expose));
    session.state = State::Exchange(exchange);
    take(session, step).await
}

pub(super) async fn respond(session: &mut Session, line: &[u8]) -> Next {
    let State::Exchange(exchange) = &mut session.state else {
        return Next::Wrong(reply::out_of_place());
    };
    let step = exchange.respond(line);
    take(session, step).await
}

async fn take(session: &mut Session, step: Step) -> Next {
    match step {
        Step::Challenge(text) => Next::Reply(Response::Continue(text)),
        Step::Done(login) => log_in(session, login).await,
        Step::Failed(error) => {
            tracing::debug!(trace = %session.peer.trace, %error, "AUTH");
            session.state = State::Authorization { user: None };
            Next::Wrong(reply::exchange_failed())
        }
    }
}

/// Asks the authenticator and opens the maildrop.
pub(super) async fn log_in(session: &mut Session, login: Login) -> Next {
    session.state = State::Authorization { user: None };
    let request = AuthRequest {
        login: login.login,
        authzid: login.authzid,
        credential: login.credential,
        protocol: Protocol::Pop3,
        peer: session.peer.clone(),
    };
    let outcome = session.service.parts.authenticator.check(&request).await;
    let (trace, client) = (session.peer.trace, session.peer.client);
    let AuthOutcome::Accepted(who) = outcome else {
        if !matches!(outcome, AuthOutcome::Unavailable(_)) {
            session.failures = session.failures.saturating_add(1);
        }
        tracing::info!(%trace, %client, protocol = "pop3", login = %request.login, ?outcome, "login refused");
        return Next::Reply(reply::login_refused(&outcome));
    };
    match open(session, &who.address).await {
        Ok((state, messages)) => {
            tracing::info!(%trace, %client, protocol = "pop3", account = %who.address, messages, "login");
            session.state = state;
            Next::Reply(reply::ok(format!("{messages} messages")))
        }
        Err(error) => {
            if matches!(error, OpenError::NotAllowed) {
                session.failures = session.failures.saturating_add(1);
            }
            tracing::warn!(%trace, %client, protocol = "pop3", account = %who.address, %error, "login failed");
            Next::Reply(reply::open_error(&error))
        }
    }
}

async fn open(session: &Session, address: &Address) -> Result<(State, usize), OpenError> {
    let store = &session.service.parts.store;
    let account = store.account_by_address(address)?.ok_or(OpenError::NoAccount)?;
    match &account.state {
        AccountState::MovedAway { .. } | AccountState::AwaitingMail { .. } => {
            return Err(OpenError::Elsewhere);
        }
        _ if !account.can_log_in() => return Err(OpenError::NotAllowed),
        _ => {}
    }
    let hold = session.service.hold(account.id).ok_or(OpenError::InUse)?;
    let maildrop = Maildrop::open(store.mail(account.id), hold).await?;
    let messages = maildrop.totals().0;
    Ok((State::Transaction(maildrop), messages))
}
