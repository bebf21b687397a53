//! AUTH (RFC 5034), and the login that it shares with USER and PASS.

use super::super::maildrop::Maildrop;
use super::super::reply::{self, OpenError};
use super::super::state::{Session, State};
use super::Next;
use crate::{channel, registered};
use model::{AuthOutcome, AuthRequest, Authenticated, Protocol, RejectReason, Secret};
use net::NewSession;
use std::sync::Arc;
use store::AccountState;
use wire::pop3::Response;
use wire::sasl::{Conclusion, Login, Mechanism, SaslError, ServerExchange, Step, Verdict};

pub(super) async fn auth(session: &mut Session, mechanism: Option<String>, initial: Option<Secret>) -> Next {
    let Some(mechanism) = mechanism else {
        // Before RFC 5034 clients asked for the list this way; some still do.
        let offered = session.channel.offered();
        let names = offered.iter().map(|m| format!("{}\r\n", m.name())).collect();
        return Next::Lines(reply::ok("mechanisms follow"), names);
    };
    let Some(mechanism) = Mechanism::parse(mechanism.as_bytes()) else {
        return Next::Wrong(reply::no_mechanism());
    };
    let Some(context) = session.channel.begin(mechanism, net::fresh_nonce) else {
        return Next::Wrong(match session.channel.needs_tls(mechanism) {
            true => reply::tls_first(),
            false => reply::no_mechanism(),
        });
    };
    let initial = initial.as_ref().map(Secret::expose);
    let (exchange, step) = ServerExchange::start(mechanism, initial, context);
    go_on(session, Box::new(exchange), step, None).await
}

pub(super) async fn respond(session: &mut Session, line: &[u8]) -> Next {
    let nobody = State::Authorization { user: None };
    match std::mem::replace(&mut session.state, nobody) {
        State::Exchange { mut exchange, judged } => {
            let step = exchange.respond(line);
            go_on(session, exchange, step, judged).await
        }
        other => {
            session.state = other;
            Next::Wrong(reply::out_of_place())
        }
    }
}

/// Goes as far as it can without the client's next line.
async fn go_on(
    session: &mut Session,
    mut exchange: Box<ServerExchange>,
    mut step: Step,
    mut judged: Option<Box<(AuthRequest, AuthOutcome)>>,
) -> Next {
    session.state = State::Authorization { user: None };
    loop {
        step = match step {
            Step::Challenge(text) => {
                session.state = State::Exchange { exchange, judged };
                return Next::Reply(Response::Continue(text));
            }
            Step::Keys(wanted) => {
                let authenticator = session.service.parts.authenticator.clone();
                let peer = &session.peer;
                match channel::scram_keys(authenticator.as_ref(), wanted, Protocol::Pop3, peer).await {
                    Ok(keys) => exchange.keys(keys),
                    Err(outcome) => return refused(session, &outcome),
                }
            }
            Step::Done(login) => {
                let (request, outcome) = ask(session, login).await;
                match exchange.conclude(Verdict::from(&outcome)) {
                    Conclusion::Reply => return admit(session, &request, outcome).await,
                    Conclusion::Challenge(text) => {
                        judged = Some(Box::new((request, outcome)));
                        Step::Challenge(text)
                    }
                }
            }
            Step::Acknowledged => match judged.take() {
                Some(judged) => return admit(session, &judged.0, judged.1).await,
                None => Step::Failed(SaslError::OutOfTurn),
            },
            Step::Failed(error) => {
                tracing::debug!(trace = %session.peer.trace, %error, "AUTH");
                // A client that hears of its failure inside the exchange may also end it there.
                return match judged {
                    Some(judged) if Verdict::from(&judged.1) != Verdict::Good => {
                        admit(session, &judged.0, judged.1).await
                    }
                    // RFC 5802 section 6: the login fails. Nothing is wrong with the grammar.
                    None if error == SaslError::ChannelBinding => {
                        tracing::warn!(trace = %session.peer.trace, client = %session.peer.client, protocol = "pop3", %error, "login refused");
                        refused(session, &AuthOutcome::Rejected(RejectReason::NotAllowed))
                    }
                    _ => Next::Wrong(reply::exchange_failed()),
                };
            }
        };
    }
}

/// Asks the authenticator and opens the maildrop.
pub(super) async fn log_in(session: &mut Session, login: Login) -> Next {
    session.state = State::Authorization { user: None };
    let (request, outcome) = ask(session, login).await;
    admit(session, &request, outcome).await
}

async fn ask(session: &Session, login: Login) -> (AuthRequest, AuthOutcome) {
    let request = AuthRequest {
        login: login.login,
        authzid: login.authzid,
        credential: session.channel.proof(login.credential),
        protocol: Protocol::Pop3,
        peer: session.peer.clone(),
    };
    let outcome = session.service.parts.authenticator.check(&request).await;
    (request, outcome)
}

/// What the client hears of a login that was not accepted; it counts unless nobody could judge it.
fn refused(session: &mut Session, outcome: &AuthOutcome) -> Next {
    if !matches!(outcome, AuthOutcome::Unavailable(_) | AuthOutcome::Throttled(_)) {
        session.failures = session.failures.saturating_add(1);
    }
    Next::Reply(reply::login_refused(outcome))
}

/// Opens the maildrop, if the authenticator let the account in.
async fn admit(session: &mut Session, request: &AuthRequest, outcome: AuthOutcome) -> Next {
    let (trace, client) = (session.peer.trace, session.peer.client);
    let AuthOutcome::Accepted(who) = outcome else {
        tracing::info!(%trace, %client, protocol = "pop3", login = %request.login, ?outcome, "login refused");
        return refused(session, &outcome);
    };
    match open(session, &who).await {
        Ok((state, place, messages)) => {
            session.place = Some(place);
            let transport = session.client_tls.map_or("unknown", wire::transport::word);
            tracing::info!(%trace, %client, transport, protocol = "pop3", account = %who.address, messages, "login");
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

async fn open(
    session: &Session,
    who: &Authenticated,
) -> Result<(State, Arc<net::Session>, usize), OpenError> {
    let store = &session.service.parts.store;
    let account = store
        .account_by_address(&who.address)?
        .ok_or(OpenError::NoAccount)?;
    match &account.state {
        AccountState::MovedAway { .. } | AccountState::AwaitingMail { .. } => {
            return Err(OpenError::Elsewhere);
        }
        _ if !account.can_log_in() => return Err(OpenError::NotAllowed),
        _ => {}
    }
    let place = registered::enter(
        &session.service.parts.sessions,
        NewSession {
            protocol: Protocol::Pop3,
            account: account.address.clone(),
            entry: who.entry,
            client: session.peer.client,
            home: None,
            trace: session.peer.trace,
        },
        session.reach,
    )?;
    let hold = session.service.hold(account.id).ok_or(OpenError::InUse)?;
    let maildrop = Maildrop::open(store.mail(account.id), hold).await?;
    let messages = maildrop.totals().0;
    Ok((State::Transaction(maildrop), place, messages))
}
