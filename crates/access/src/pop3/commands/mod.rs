//! The commands: one file each, and the table of where each is legal.

mod auth;
mod capa;
mod dele;
mod list;
mod pass;
mod quit;
mod retr;
mod stls;
mod xclient;

use super::reply;
use super::state::{Phase, Session, State};
use bytes::Bytes;
use wire::pop3::{Command, Response};

/// What the session does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Answer and go on.
    Reply(Response),
    /// Answer, and count an error of the client.
    Wrong(Response),
    /// Answer and close.
    Close(Response),
    /// Answer with a list: lines with CRLF, none of which begins with a dot.
    Lines(Response, String),
    /// Answer with a message.
    Message(Response, Bytes),
    /// Answer, then do the handshake.
    StartTls(Response),
}

/// The phases in which a command is legal (RFC 1939 sections 4 to 6, RFC 2449 section 5, RFC 2595 section 4).
fn legal_in(command: &Command) -> &'static [Phase] {
    use Phase::{Authorization, Transaction};
    match command {
        Command::User(_) | Command::Pass(_) | Command::Auth { .. } | Command::Stls | Command::Xclient(_) => {
            &[Authorization]
        }
        Command::Quit | Command::Capa => &[Authorization, Transaction],
        Command::Stat
        | Command::List(_)
        | Command::Retr(_)
        | Command::Dele(_)
        | Command::Top { .. }
        | Command::Uidl(_)
        | Command::Noop
        | Command::Rset => &[Transaction],
    }
}

/// Carries out one command.
pub(super) async fn run(session: &mut Session, command: Command) -> Next {
    if !legal_in(&command).contains(&session.phase()) {
        return Next::Wrong(reply::out_of_place());
    }
    match command {
        Command::User(name) => pass::user(session, name),
        Command::Pass(password) => pass::pass(session, password).await,
        Command::Auth { mechanism, initial } => auth::auth(session, mechanism, initial).await,
        Command::Stls => stls::stls(session),
        Command::Xclient(claims) => xclient::xclient(session, claims),
        Command::Capa => capa::capa(session),
        Command::Quit => quit::quit(session).await,
        other => transaction(session, other).await,
    }
}

async fn transaction(session: &mut Session, command: Command) -> Next {
    let State::Transaction(maildrop) = &mut session.state else {
        return Next::Wrong(reply::out_of_place());
    };
    match command {
        Command::Stat => list::stat(maildrop),
        Command::List(number) => list::list(maildrop, number),
        Command::Uidl(number) => list::uidl(maildrop, number),
        Command::Retr(number) => retr::retr(maildrop, number).await,
        Command::Top { message, lines } => retr::top(maildrop, message, lines).await,
        Command::Dele(number) => dele::dele(maildrop, number),
        Command::Rset => dele::rset(maildrop),
        Command::Noop => Next::Reply(reply::ok("")),
        _ => Next::Wrong(reply::out_of_place()),
    }
}

/// Takes a line of a SASL exchange.
pub(super) async fn respond(session: &mut Session, line: &[u8]) -> Next {
    auth::respond(session, line).await
}
