//! How outcomes look to the client: the only file that turns an error into a reply. Fixed texts to the
//! client, the cause to the log; "try later" (`[UNAVAILABLE]`) and "no" are never mixed.

use model::{AuthOutcome, RejectReason};
use net::SessionEnd;
use std::borrow::Cow;
use store::StoreError;
use wire::imap::{Code, CommandError, Condition, StatusLine};

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is over; nobody reads a reply.
    Gone,
    /// The server stops while the client idles.
    GoingDown,
    /// The client idled for too long.
    IdleTooLong,
    /// The account was disabled, deleted or moved away.
    NoLongerWelcome,
    /// The session was told to end.
    Told(SessionEnd),
    /// The open mailbox was deleted by another session.
    MailboxGone,
    /// The store refuses or fails.
    Store(StoreError),
    /// The verb is not legal in this state.
    WrongState,
    /// A front end named a session that is not here (any more).
    NoSuchSession,
    /// IDLE was ended by something else than DONE.
    NotDone,
    /// A sequence number beyond the mailbox (RFC 3501 section 9, on `seq-number`).
    NoSuchMessage,
    /// The mailbox does not exist.
    NoSuchMailbox,
    /// The target mailbox does not exist, and creating it would help.
    TryCreate,
    /// The text is not a mailbox name.
    NotAName,
    /// The mailbox was opened with EXAMINE.
    ReadOnly,
    /// INBOX cannot be deleted, or created.
    Inbox,
    /// A name below itself, or the same name.
    RenameIntoItself,
    /// A special use that a mailbox cannot have (RFC 6154 section 3).
    UseAttr,
    /// The message is larger than the limit.
    TooBig,
    /// There is no memory for the message now.
    NoMemory,
    /// MULTIAPPEND, which we do not speak.
    OneMessage,
    /// The charset of SEARCH.
    BadCharset,
    /// A password without encryption.
    PrivacyRequired,
    /// No such SASL mechanism.
    NoMechanism,
    /// The client cancelled the SASL exchange, or sent what makes no sense.
    BadExchange,
    /// STARTTLS where there is none to start.
    NoTls,
    /// The credentials were judged.
    Login(LoginFailure),
}

/// Why nobody was logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginFailure {
    /// Wrong, or not allowed: the client is not told which.
    Rejected,
    /// The password or account has expired.
    Expired,
    /// Nobody can say now.
    Unavailable,
    /// Too many logins failed.
    Throttled,
    /// The account or the client has too many sessions.
    TooMany,
}

impl LoginFailure {
    /// What an outcome other than success means.
    pub(super) fn of(outcome: &AuthOutcome) -> Self {
        match outcome {
            AuthOutcome::Rejected(RejectReason::Expired) => Self::Expired,
            AuthOutcome::Rejected(_) | AuthOutcome::NoEntry => Self::Rejected,
            AuthOutcome::Throttled(_) => Self::Throttled,
            AuthOutcome::Unavailable(_) | AuthOutcome::Accepted(_) => Self::Unavailable,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether a session survives a failure.
pub(super) enum Farewell {
    /// It does.
    Stay,
    /// It ends with these words.
    Say(StatusLine),
    /// It ends without a word: nobody listens.
    Leave,
}

/// What a failure means for the session.
pub(super) fn farewell(failure: &Failure) -> Farewell {
    match failure {
        Failure::Gone => Farewell::Leave,
        Failure::GoingDown => Farewell::Say(bye_for_now("The server is going down")),
        Failure::IdleTooLong => Farewell::Say(bye("Idle for too long")),
        Failure::Told(why) => Farewell::Say(told(*why)),
        Failure::NoLongerWelcome => Farewell::Say(bye("The account is no longer served here")),
        // RFC 2180 section 3.3: there is no way to say that the mailbox went.
        Failure::MailboxGone => Farewell::Say(bye("The open mailbox was deleted")),
        _ => Farewell::Stay,
    }
}

/// What a client hears whose session is ended from outside.
pub(super) fn told(why: SessionEnd) -> StatusLine {
    match why {
        SessionEnd::Revoked => bye("Log in again"),
        SessionEnd::Kicked => bye("Ended by the administrator"),
        SessionEnd::Drained => bye_for_now("The server is being emptied"),
    }
}

/// A plain success.
pub(super) fn ok(text: impl Into<Cow<'static, str>>) -> StatusLine {
    StatusLine::new(Condition::Ok, text)
}

fn no(code: Code, text: &'static str) -> StatusLine {
    StatusLine::new(Condition::No, text).with_code(code)
}

fn bad(text: &'static str) -> StatusLine {
    StatusLine::new(Condition::Bad, text)
}

/// The tagged reply to a failure.
pub(super) fn failed(failure: &Failure) -> StatusLine {
    match failure {
        // The sessions of these end with a farewell instead.
        Failure::Gone
        | Failure::GoingDown
        | Failure::IdleTooLong
        | Failure::MailboxGone
        | Failure::Told(_)
        | Failure::NoLongerWelcome => no(Code::Unavailable, "The session is over"),
        Failure::Store(error) => store_failed(error),
        Failure::WrongState => bad("Command not legal in this state"),
        Failure::NotDone => bad("Expected DONE"),
        Failure::NoSuchMessage => bad("No message has that sequence number"),
        // RFC 5530 section 3.
        Failure::NoSuchMailbox => no(Code::NonExistent, "Mailbox does not exist"),
        Failure::TryCreate => no(Code::TryCreate, "Mailbox does not exist"),
        Failure::NotAName => no(Code::Cannot, "Not a valid mailbox name"),
        Failure::ReadOnly => no(Code::NoPerm, "Mailbox is open read-only"),
        Failure::Inbox => no(Code::Cannot, "INBOX always exists"),
        Failure::RenameIntoItself => no(Code::Cannot, "A mailbox cannot move into itself"),
        Failure::UseAttr => no(
            Code::UseAttr,
            "One mailbox has one special use, and no other has it",
        ),
        // RFC 7889 section 4.
        Failure::TooBig => no(Code::TooBig, "Message is larger than the limit"),
        Failure::NoMemory => no(
            Code::Unavailable,
            "Too many messages are being appended, try later",
        ),
        Failure::OneMessage => bad("One message at a time"),
        // RFC 3501 section 6.4.4.
        Failure::BadCharset => {
            let charsets = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
            no(Code::BadCharset(charsets), "Unknown charset")
        }
        Failure::PrivacyRequired => no(Code::PrivacyRequired, "Encryption is required first"),
        Failure::NoSuchSession => no(Code::NonExistent, "No such session"),
        Failure::NoMechanism => no(Code::Cannot, "Unknown authentication mechanism"),
        Failure::BadExchange => bad("Authentication cancelled or not understood"),
        Failure::NoTls => bad("TLS is not available here"),
        Failure::Login(LoginFailure::Rejected) => no(Code::AuthenticationFailed, "Authentication failed"),
        Failure::Login(LoginFailure::Expired) => no(Code::Expired, "The password or account has expired"),
        // RFC 5530 section 3.
        Failure::Login(LoginFailure::Throttled) => no(Code::Limit, "Too many failed logins, try later"),
        Failure::Login(LoginFailure::TooMany) => {
            no(Code::Limit, "Too many sessions; close some and try again")
        }
        Failure::Login(LoginFailure::Unavailable) => {
            no(Code::Unavailable, "Authentication is not possible now, try later")
        }
    }
}

fn store_failed(error: &StoreError) -> StatusLine {
    match error {
        StoreError::NotFound(_) => no(Code::NonExistent, "Does not exist"),
        StoreError::AlreadyExists(_) => no(Code::AlreadyExists, "Exists already"),
        StoreError::InUse(_) => no(Code::Cannot, "Something depends on it"),
        StoreError::Invalid(_) => no(Code::Cannot, "Not possible"),
        StoreError::Limit(_) => no(Code::Limit, "A limit of this server is reached"),
        StoreError::OverQuota => no(Code::OverQuota, "The account is over its quota"),
        StoreError::Corrupt { .. } => no(
            Code::Corruption,
            "Stored data is damaged; the administrator was told",
        ),
        StoreError::Full => no(Code::Unavailable, "The server's disk is full, try later"),
        StoreError::Conflict
        | StoreError::ReadOnly(_)
        | StoreError::Closed
        | StoreError::Locked
        | StoreError::Schema { .. }
        | StoreError::Engine(_) => no(Code::Unavailable, "Not possible now, try later"),
    }
}

/// The reply to something that is no command.
pub(super) fn not_a_command(error: &CommandError) -> StatusLine {
    StatusLine::new(Condition::Bad, format!("Not understood: {}", error.problem))
}

/// The reply to a command, or a line, that is too long.
pub(super) fn too_long() -> StatusLine {
    bad("Command is too long").with_code(Code::Limit)
}

/// The server's farewell.
pub(super) fn bye(text: &'static str) -> StatusLine {
    StatusLine::new(Condition::Bye, text)
}

/// The farewell when it is not the client's fault.
pub(super) fn bye_for_now(text: &'static str) -> StatusLine {
    bye(text).with_code(Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Frontend.md and RFC 5530: a fault of ours never looks like an answer about the client's request.
    #[test]
    fn try_later_and_no_are_different() {
        for error in [
            StoreError::Conflict,
            StoreError::Full,
            StoreError::ReadOnly("x".into()),
            StoreError::Closed,
            StoreError::Engine("x".into()),
        ] {
            assert!(error.is_temporary());
            assert_eq!(failed(&error.into()).code, Some(Code::Unavailable));
        }
        for error in [
            StoreError::NotFound("x"),
            StoreError::AlreadyExists("x".into()),
            StoreError::Limit("x"),
            StoreError::OverQuota,
        ] {
            assert!(!error.is_temporary());
            let line = failed(&error.into());
            assert_eq!(line.condition, Condition::No);
            assert_ne!(line.code, Some(Code::Unavailable));
        }
        let login = |outcome| failed(&Failure::Login(LoginFailure::of(&outcome))).code;
        assert_eq!(login(AuthOutcome::NoEntry), Some(Code::AuthenticationFailed));
        assert_eq!(
            login(AuthOutcome::Rejected(RejectReason::Locked)),
            Some(Code::AuthenticationFailed)
        );
        assert_eq!(
            login(AuthOutcome::Rejected(RejectReason::Expired)),
            Some(Code::Expired)
        );
        assert_eq!(
            login(AuthOutcome::Throttled(model::Unavailable("x".into()))),
            Some(Code::Limit)
        );
        assert_eq!(
            login(AuthOutcome::Unavailable(model::Unavailable("x".into()))),
            Some(Code::Unavailable)
        );
    }
}
