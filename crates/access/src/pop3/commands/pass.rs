//! USER and PASS (RFC 1939 section 7).

use super::super::reply;
use super::super::state::{Session, State};
use super::{Next, auth};
use model::{Credential, Secret};
use wire::sasl::Login;

pub(super) fn user(session: &mut Session, name: String) -> Next {
    if !session.channel.allows_password() {
        return Next::Wrong(reply::tls_first());
    }
    // The same answer for every name: it says nothing about who exists.
    session.state = State::Authorization { user: Some(name) };
    Next::Reply(reply::ok("send PASS"))
}

pub(super) async fn pass(session: &mut Session, password: Secret) -> Next {
    if !session.channel.allows_password() {
        return Next::Wrong(reply::tls_first());
    }
    let State::Authorization { user } = &mut session.state else {
        return Next::Wrong(reply::out_of_place());
    };
    // RFC 1939 section 7: PASS follows a USER, and each PASS needs its own.
    let Some(login) = user.take() else {
        return Next::Wrong(reply::out_of_place());
    };
    let login = Login {
        login,
        authzid: None,
        credential: Credential::Password(password),
    };
    auth::log_in(session, login).await
}
