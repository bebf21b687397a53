//! Every reply of the server. The only file that turns an error into a reply: fixed text to the client, the
//! cause to the log.

use model::{AuthOutcome, RejectReason};
use net::SessionEnd;
use store::StoreError;
use wire::pop3::{CommandError, Response, ResponseCode};

/// Why a login that the authenticator accepted still cannot begin.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum OpenError {
    /// The directory knows the account and this store does not (yet).
    #[error("the account is not in the store")]
    NoAccount,
    /// Disabled or deleted here.
    #[error("the account may not log in")]
    NotAllowed,
    /// Its mail is on another server now, or not here yet.
    #[error("the account's mail is on another server")]
    Elsewhere,
    /// The account or the client has too many sessions.
    #[error(transparent)]
    TooMany(#[from] net::TooMany),
    /// Another session holds the maildrop.
    #[error("the maildrop is in use")]
    InUse,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command about a message cannot be carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum MessageError {
    /// No such number, or marked as deleted.
    #[error("no such message")]
    NoSuchMessage,
    /// Another session removed it after this one began.
    #[error("the message was removed meanwhile")]
    Gone,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refused(code: Option<ResponseCode>, text: &'static str) -> Response {
    Response::Err(code, text.into())
}

/// `announce` goes first: what only some clients may use.
pub(super) fn greeting(server_name: &str, announce: Option<&str>) -> Response {
    match announce {
        Some(word) => Response::Ok(format!("{word} {server_name} POP3 Homing ready").into()),
        None => Response::Ok(format!("{server_name} POP3 Homing ready").into()),
    }
}

pub(super) fn ok(text: impl Into<std::borrow::Cow<'static, str>>) -> Response {
    Response::Ok(text.into())
}

pub(super) fn command_error(error: CommandError) -> Response {
    refused(
        None,
        match error {
            CommandError::Unknown => "command not known",
            CommandError::Arguments => "wrong arguments",
        },
    )
}

pub(super) fn out_of_place() -> Response {
    refused(None, "not now")
}

pub(super) fn line_too_long() -> Response {
    refused(None, "line too long")
}

pub(super) fn tls_first() -> Response {
    refused(None, "start TLS first")
}

pub(super) fn no_mechanism() -> Response {
    refused(None, "mechanism not known")
}

/// RFC 5034 section 4: a cancelled or malformed exchange.
pub(super) fn exchange_failed() -> Response {
    refused(None, "authentication exchange failed")
}

pub(super) fn too_many_failures() -> Response {
    refused(Some(ResponseCode::Auth), "too many failed logins")
}

pub(super) fn too_many_hops() -> Response {
    refused(Some(ResponseCode::SysPerm), "too many front ends in a row")
}

pub(super) fn too_many_errors() -> Response {
    refused(None, "too many errors")
}

pub(super) fn shutting_down() -> Response {
    refused(Some(ResponseCode::SysTemp), "this server is going down")
}

/// What a client hears whose session is ended from outside.
pub(super) fn told(why: SessionEnd) -> Response {
    match why {
        SessionEnd::Revoked => refused(None, "log in again"),
        SessionEnd::Kicked => refused(None, "ended by the administrator"),
        SessionEnd::Drained => refused(Some(ResponseCode::SysTemp), "this server is being emptied"),
    }
}

/// What the client hears about a login that was not accepted. Every refusal for the credentials has one text,
/// but for an expired password, which the user can do something about.
pub(super) fn login_refused(outcome: &AuthOutcome) -> Response {
    match outcome {
        AuthOutcome::Rejected(RejectReason::Expired) => {
            refused(Some(ResponseCode::Auth), "the password has expired")
        }
        AuthOutcome::Throttled(_) => {
            refused(Some(ResponseCode::SysTemp), "too many failed logins, try later")
        }
        AuthOutcome::Unavailable(_) => refused(Some(ResponseCode::SysTemp), "logins are not possible now"),
        AuthOutcome::Accepted(_) | AuthOutcome::Rejected(_) | AuthOutcome::NoEntry => {
            refused(Some(ResponseCode::Auth), "authentication failed")
        }
    }
}

pub(super) fn open_error(error: &OpenError) -> Response {
    match error {
        OpenError::NotAllowed => refused(Some(ResponseCode::Auth), "authentication failed"),
        OpenError::InUse => refused(Some(ResponseCode::InUse), "another session has this mailbox"),
        OpenError::TooMany(_) => refused(
            Some(ResponseCode::SysTemp),
            "too many sessions; close some and try again",
        ),
        OpenError::NoAccount | OpenError::Elsewhere | OpenError::Store(_) => {
            refused(Some(ResponseCode::SysTemp), "the mailbox is not available now")
        }
    }
}

pub(super) fn message_error(error: &MessageError) -> Response {
    match error {
        MessageError::NoSuchMessage => refused(None, "no such message"),
        MessageError::Gone => refused(None, "the message was removed meanwhile"),
        MessageError::Store(error) if error.is_temporary() => {
            refused(Some(ResponseCode::SysTemp), "the message cannot be read now")
        }
        MessageError::Store(_) => refused(Some(ResponseCode::SysPerm), "the message cannot be read"),
    }
}

/// RFC 1939 section 6: some messages were not removed.
pub(super) fn update_failed() -> Response {
    refused(
        Some(ResponseCode::SysTemp),
        "some deleted messages were not removed",
    )
}
