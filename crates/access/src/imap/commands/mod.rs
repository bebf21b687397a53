//! The verbs: one file each, and the table of the states they are legal in.
//!
//! A verb writes its untagged responses and returns its tagged one; failures become replies in `reply`
//! alone. What other sessions did is told after the verb, here, so that no verb can do it at a wrong moment.

pub(super) mod append;
mod authenticate;
pub(super) mod capability;
mod close;
mod copy;
mod create;
mod delete;
mod end_session;
mod expunge;
mod fetch;
mod id;
mod idle;
mod list;
mod login;
mod logout;
mod namespace;
mod noop;
mod rename;
mod search;
mod select;
mod starttls;
mod status;
mod store;
mod subscribe;

use super::reply::Failure;
use super::session::{Request, Session};
use super::state::{Access, Legal};
use super::updates::Expunges;
use model::MailboxName;
use wire::imap::{CommandBody, MailboxArg, Numbering, StatusLine, Tag};

/// RFC 3501 section 6: each verb with the states it is legal in.
const TABLE: [(&str, Legal); 30] = [
    ("CAPABILITY", Legal::Always),
    ("NOOP", Legal::Always),
    ("LOGOUT", Legal::Always),
    ("ID", Legal::Always),
    ("STARTTLS", Legal::NotAuthenticated),
    ("LOGIN", Legal::NotAuthenticated),
    ("AUTHENTICATE", Legal::NotAuthenticated),
    ("XENDSESSION", Legal::NotAuthenticated),
    ("SELECT", Legal::Authenticated),
    ("EXAMINE", Legal::Authenticated),
    ("CREATE", Legal::Authenticated),
    ("DELETE", Legal::Authenticated),
    ("RENAME", Legal::Authenticated),
    ("SUBSCRIBE", Legal::Authenticated),
    ("UNSUBSCRIBE", Legal::Authenticated),
    ("LIST", Legal::Authenticated),
    ("LSUB", Legal::Authenticated),
    ("NAMESPACE", Legal::Authenticated),
    ("STATUS", Legal::Authenticated),
    ("APPEND", Legal::Authenticated),
    ("IDLE", Legal::Authenticated),
    ("CHECK", Legal::Selected),
    ("CLOSE", Legal::Selected),
    ("UNSELECT", Legal::Selected),
    ("EXPUNGE", Legal::Selected),
    ("SEARCH", Legal::Selected),
    ("FETCH", Legal::Selected),
    ("STORE", Legal::Selected),
    ("COPY", Legal::Selected),
    ("MOVE", Legal::Selected),
];

/// Carries out one command. None: the verb has answered itself.
pub(super) async fn run(
    session: &mut Session,
    tag: &Tag,
    request: Request,
) -> Result<Option<StatusLine>, Failure> {
    session.still_welcome()?;
    let body = match request {
        Request::Append(append, message, memory) => {
            let result = append::run(session, append, message).await;
            drop(memory);
            session.update(Expunges::Tell).await?;
            return result.map(Some);
        }
        Request::Command(body) => body,
    };
    let legal = TABLE.iter().find(|(verb, _)| *verb == body.verb());
    if !legal.is_some_and(|(_, legal)| session.state.allows(*legal)) {
        return Err(Failure::WrongState);
    }
    let expunges = expunges(&body);
    let result = match body {
        CommandBody::StartTls => return starttls::run(session, tag).await,
        CommandBody::Search(search) => search::run(session, tag, &search).await,
        other => dispatch(session, other).await,
    };
    if !matches!(
        result,
        Err(Failure::Gone | Failure::GoingDown | Failure::IdleTooLong)
    ) {
        session.update(expunges).await?;
    }
    result.map(Some)
}

/// RFC 3501 section 7.4.1, on EXPUNGE; the UID forms may be interrupted.
fn expunges(body: &CommandBody) -> Expunges {
    let by = match body {
        CommandBody::Fetch { by, .. } => *by,
        CommandBody::Store(store) => store.by,
        CommandBody::Search(search) => search.by,
        _ => Numbering::Uid,
    };
    match by {
        Numbering::Sequence => Expunges::Hold,
        Numbering::Uid => Expunges::Tell,
    }
}

async fn dispatch(session: &mut Session, body: CommandBody) -> Result<StatusLine, Failure> {
    match body {
        CommandBody::Capability => capability::run(session),
        CommandBody::Noop => noop::run("NOOP completed"),
        CommandBody::Check => noop::run("CHECK completed"),
        CommandBody::Logout => logout::run(session),
        CommandBody::Id(fields) => id::run(session, &fields),
        CommandBody::Login { user, password } => login::run(session, user, password).await,
        CommandBody::Authenticate { mechanism, initial } => {
            authenticate::run(session, &mechanism, initial).await
        }
        CommandBody::EndSession { trace, why } => end_session::run(session, &trace, &why),
        CommandBody::Select(mailbox) => select::run(session, &mailbox, Access::ReadWrite).await,
        CommandBody::Examine(mailbox) => select::run(session, &mailbox, Access::ReadOnly).await,
        CommandBody::Create { mailbox, special_use } => create::run(session, &mailbox, &special_use).await,
        CommandBody::Delete(mailbox) => delete::run(session, &mailbox).await,
        CommandBody::Rename { from, to } => rename::run(session, &from, &to).await,
        CommandBody::Subscribe(mailbox) => {
            subscribe::run(session, &mailbox, subscribe::Wish::Subscribe).await
        }
        CommandBody::Unsubscribe(mailbox) => {
            subscribe::run(session, &mailbox, subscribe::Wish::Unsubscribe).await
        }
        CommandBody::List(list) => list::run(session, &list).await,
        CommandBody::Lsub { reference, pattern } => list::run_lsub(session, &reference, &pattern).await,
        CommandBody::Namespace => namespace::run(session),
        CommandBody::Status { mailbox, items } => status::run(session, &mailbox, &items).await,
        CommandBody::Idle => idle::run(session).await,
        CommandBody::Close => close::run(session).await,
        CommandBody::Unselect => close::unselect(session),
        CommandBody::Expunge(set) => expunge::run(session, set.as_ref()).await,
        CommandBody::Fetch { numbers, items, by } => fetch::run(session, &numbers, items, by).await,
        CommandBody::Store(store) => store::run(session, store).await,
        CommandBody::Copy { numbers, mailbox, by } => copy::run(session, &numbers, &mailbox, by).await,
        CommandBody::Move { numbers, mailbox, by } => copy::run_move(session, &numbers, &mailbox, by).await,
        // These three have left already, in `run` and in the session's reader.
        CommandBody::Append(_) | CommandBody::StartTls | CommandBody::Search(_) => Err(Failure::WrongState),
    }
}

/// The name of a mailbox that may come to be.
fn name(mailbox: &MailboxArg) -> Result<MailboxName, Failure> {
    mailbox.name().map_err(|_| Failure::NotAName)
}

/// The name of a mailbox that should be there: what is no name names none.
fn existing(mailbox: &MailboxArg) -> Result<MailboxName, Failure> {
    mailbox.name().map_err(|_| Failure::NoSuchMailbox)
}
