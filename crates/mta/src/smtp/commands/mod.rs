//! The commands: one file each, and the table of where each is legal.

mod claims;
mod data;
mod hello;
mod mail;
mod rcpt;
mod starttls;

use super::reply;
use super::state::{Phase, Session};
use crate::receiver::Dialect;
use wire::smtp::{Command, Reply};

/// What the session does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Answer and go on.
    Reply(Reply),
    /// Answer and close.
    Close(Reply),
    /// Answer, then do the handshake.
    StartTls(Reply),
    /// Answer, then read the message.
    Data(Reply),
    /// Read a chunk of the message.
    Chunk {
        /// Its octets.
        size: u64,
        /// Whether the message ends with it.
        last: bool,
    },
    /// Read so many octets that belong to no message, then answer.
    Skip(u64, Reply),
}

/// The phases in which a command is legal (RFC 5321 section 4.1.4).
fn legal_in(command: &Command) -> &'static [Phase] {
    use Phase::{Chunks, Mail, Rcpt, Ready, Start};
    match command {
        Command::Ehlo(_)
        | Command::Helo(_)
        | Command::Lhlo(_)
        | Command::Rset
        | Command::Noop
        | Command::Quit
        | Command::Vrfy
        | Command::Expn
        | Command::Help => &[Start, Ready, Mail, Rcpt, Chunks],
        Command::Mail { .. } | Command::StartTls | Command::Xclient(_) | Command::Xforward(_) => &[Ready],
        Command::Rcpt { .. } => &[Mail, Rcpt],
        // RFC 3030 section 2: DATA and BDAT are not mixed.
        Command::Data => &[Rcpt],
        // Its data has to be read wherever it stands.
        Command::Bdat { .. } => &[Start, Ready, Mail, Rcpt, Chunks],
        // Not announced here, so the parser gives it to nobody.
        Command::Auth { .. } | Command::Xtrace(_) => &[],
    }
}

/// The greeting of the server (RFC 5321 section 3.1).
pub(super) fn greeting(session: &Session) -> Reply {
    let protocol = match session.receiver.dialect() {
        Dialect::Smtp => "ESMTP",
        Dialect::Lmtp => "LMTP",
    };
    reply::greeting(session.receiver.parts.server_name.as_str(), protocol)
}

/// Carries out one command.
pub(super) async fn run(session: &mut Session, command: Command) -> Next {
    session.idle_commands = session.idle_commands.saturating_add(1);
    let phase = session.phase();
    if !legal_in(&command).contains(&phase) {
        return Next::Reply(reply::bad_sequence(phase));
    }
    match command {
        Command::Ehlo(name) => Next::Reply(hello::ehlo(session, name)),
        Command::Helo(name) => Next::Reply(hello::helo(session, name)),
        Command::Lhlo(name) => Next::Reply(hello::lhlo(session, name)),
        Command::Mail { from, parameters } => Next::Reply(mail::mail(session, from, parameters)),
        Command::Rcpt { to, .. } => Next::Reply(rcpt::rcpt(session, to).await),
        Command::Data => data::data(session),
        Command::Bdat { size, last } => data::bdat(session, size, last),
        Command::Rset => {
            // RFC 5321 section 4.1.1.5: the greeting stays.
            session.end_transaction();
            Next::Reply(reply::ok())
        }
        Command::Noop => Next::Reply(reply::ok()),
        Command::Quit => Next::Close(reply::bye()),
        Command::Vrfy => Next::Reply(reply::not_verified()),
        Command::Help => Next::Reply(reply::help()),
        Command::StartTls => starttls::starttls(session),
        Command::Xclient(claims) => Next::Reply(claims::xclient(session, claims)),
        Command::Xforward(claims) => Next::Reply(claims::xforward(session, claims)),
        Command::Expn | Command::Auth { .. } | Command::Xtrace(_) => Next::Reply(reply::not_implemented()),
    }
}
