//! Every reply of the server. The only file that turns an error into a reply: fixed text to the client, the
//! cause to the log.

use super::state::Phase;
use crate::deliver::Outcome;
use crate::recipient::Refusal;
use model::TraceId;
use store::StoreError;
use wire::smtp::{CommandError, EnhancedCode, PathError, Reply};

const fn code(class: u8, subject: u16, detail: u16) -> Option<EnhancedCode> {
    Some(EnhancedCode(class, subject, detail))
}

/// Why the data of a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataProblem {
    /// Larger than the limit.
    #[error("the message is too large")]
    TooLarge,
    /// Much larger than the limit: the session ends too.
    #[error("the message does not end")]
    Endless,
    /// A CR or LF stood alone, and the policy is to refuse.
    #[error("a CR or LF stands alone")]
    BareLineEnd,
    /// All memory for messages is in use.
    #[error("no memory for the message")]
    NoMemory,
    /// Too many Received fields.
    #[error("too many hops")]
    Looping,
}

pub(super) fn greeting(server_name: &str, protocol: &str) -> Reply {
    Reply::new(220, None, format!("{server_name} {protocol} Homing"))
}

/// A chunk is in memory (RFC 3030 section 2).
pub(super) fn chunk_taken() -> Reply {
    Reply::new(250, code(2, 0, 0), "chunk taken")
}

/// RFC 6531 section 3.5.
pub(super) fn undeclared_utf8() -> Reply {
    Reply::new(553, code(5, 6, 7), "the address needs SMTPUTF8")
}

/// `250` without news.
pub(super) fn ok() -> Reply {
    Reply::new(250, code(2, 0, 0), "OK")
}

pub(super) fn sender_ok() -> Reply {
    Reply::new(250, code(2, 1, 0), "sender OK")
}

pub(super) fn recipient_ok() -> Reply {
    Reply::new(250, code(2, 1, 5), "recipient OK")
}

pub(super) fn helo(server_name: &str) -> Reply {
    Reply::new(250, None, server_name.to_owned())
}

pub(super) fn start_data() -> Reply {
    Reply::new(354, None, "end data with <CR><LF>.<CR><LF>")
}

pub(super) fn start_tls() -> Reply {
    Reply::new(220, code(2, 0, 0), "ready to start TLS")
}

pub(super) fn bye() -> Reply {
    Reply::new(221, code(2, 0, 0), "goodbye")
}

/// RFC 5321 section 3.5.3: neither yes nor no.
pub(super) fn not_verified() -> Reply {
    Reply::new(252, code(2, 0, 0), "send the mail and see")
}

pub(super) fn help() -> Reply {
    Reply::new(214, code(2, 0, 0), "see RFC 5321 and RFC 2033")
}

pub(super) fn timed_out() -> Reply {
    Reply::new(421, code(4, 4, 2), "nothing was heard for too long")
}

pub(super) fn shutting_down() -> Reply {
    Reply::new(421, code(4, 3, 2), "this server is going down, try again later")
}

pub(super) fn too_many_errors() -> Reply {
    Reply::new(421, code(4, 7, 0), "too many errors")
}

pub(super) fn line_too_long() -> Reply {
    Reply::new(500, code(5, 5, 2), "line too long")
}

pub(super) fn not_implemented() -> Reply {
    Reply::new(502, code(5, 5, 1), "command not implemented")
}

/// HELO and EHLO in LMTP, LHLO in SMTP (RFC 2033 section 4.1).
pub(super) fn wrong_hello(right: &'static str) -> Reply {
    Reply::new(500, code(5, 5, 1), format!("say {right} here"))
}

/// RFC 5321 section 4.1.4: a command out of order.
pub(super) fn bad_sequence(phase: Phase) -> Reply {
    let text = match phase {
        Phase::Start => "greet first",
        Phase::Ready => "send MAIL first",
        Phase::Mail => "no valid recipient",
        Phase::Rcpt => "not in the middle of a transaction",
        Phase::Chunks => "the message has begun, go on with BDAT",
    };
    Reply::new(503, code(5, 5, 1), text)
}

pub(super) fn message_too_large() -> Reply {
    data_problem(DataProblem::TooLarge)
}

/// RFC 5321 section 4.5.3.1.10.
pub(super) fn too_many_recipients() -> Reply {
    Reply::new(
        452,
        code(4, 5, 3),
        "too many recipients, send the others another time",
    )
}

pub(super) fn command_error(error: CommandError) -> Reply {
    let syntax = |text| Reply::new(501, code(5, 5, 4), text);
    match error {
        CommandError::UnknownVerb => Reply::new(500, code(5, 5, 2), "command not recognised"),
        CommandError::NotImplemented => not_implemented(),
        CommandError::ControlCharacter => Reply::new(500, code(5, 5, 2), "control character in the line"),
        CommandError::Syntax => syntax("syntax error in the arguments"),
        CommandError::BadParameter => syntax("syntax error in a parameter"),
        CommandError::ChunkSize => syntax("the size of the chunk cannot be read"),
        CommandError::UnknownParameter => Reply::new(555, code(5, 5, 4), "parameter not recognised"),
        CommandError::ReversePath(PathError::Syntax) => Reply::new(501, code(5, 1, 7), "bad sender address"),
        CommandError::ForwardPath(PathError::Syntax) => {
            Reply::new(501, code(5, 1, 3), "bad recipient address")
        }
        CommandError::ReversePath(PathError::AddressLiteral) => {
            Reply::new(501, code(5, 1, 7), "address literals are not accepted")
        }
        CommandError::ForwardPath(PathError::AddressLiteral) => {
            Reply::new(550, code(5, 1, 2), "address literals are not accepted")
        }
        CommandError::ReversePath(PathError::NeedsUtf8) | CommandError::ForwardPath(PathError::NeedsUtf8) => {
            undeclared_utf8()
        }
    }
}

pub(super) fn refusal(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::NoSuchName => Reply::new(550, code(5, 1, 1), "no such user here"),
        Refusal::NotLocalDomain => Reply::new(550, code(5, 7, 1), "relaying is not allowed"),
        Refusal::Disabled => Reply::new(550, code(5, 2, 1), "this mailbox does not accept mail"),
        Refusal::DisabledForNow => {
            Reply::new(450, code(4, 2, 1), "this mailbox is disabled, try again later")
        }
        Refusal::MovedAway => Reply::new(451, code(4, 2, 1), "this mailbox has moved, try again later"),
        Refusal::AwaitingMail => {
            Reply::new(451, code(4, 2, 1), "this mailbox is being moved, try again later")
        }
        Refusal::DirectoryUnavailable => Reply::new(
            451,
            code(4, 4, 3),
            "the directory does not answer, try again later",
        ),
        Refusal::GroupElsewhere => Reply::new(
            451,
            code(4, 2, 4),
            "this list has members that cannot be reached now",
        ),
        Refusal::GroupDead => Reply::new(550, code(5, 2, 4), "this list has no members"),
        Refusal::NoPostmaster => Reply::new(451, code(4, 3, 5), "no postmaster is set up here"),
        Refusal::OverQuota => Reply::new(452, code(4, 2, 2), "the mailbox is full"),
        Refusal::Store(error) => store_error(error),
    }
}

fn store_error(error: &StoreError) -> Reply {
    match error {
        StoreError::OverQuota => Reply::new(452, code(4, 2, 2), "the mailbox is full"),
        StoreError::Full => Reply::new(452, code(4, 3, 1), "no space left, try again later"),
        StoreError::Invalid(_) => Reply::new(554, code(5, 6, 0), "the message cannot be stored"),
        // The account vanished after RCPT, or something is broken: the next attempt will find out.
        _ => Reply::new(451, code(4, 3, 0), "local error, try again later"),
    }
}

pub(super) fn data_problem(problem: DataProblem) -> Reply {
    match problem {
        DataProblem::TooLarge | DataProblem::Endless => {
            Reply::new(552, code(5, 3, 4), "the message is larger than this server takes")
        }
        DataProblem::BareLineEnd => Reply::new(550, code(5, 6, 0), "a CR or LF stands alone in the message"),
        DataProblem::NoMemory => Reply::new(452, code(4, 3, 1), "too many messages at once, try again later"),
        DataProblem::Looping => Reply::new(554, code(5, 4, 6), "too many hops, the message is looping"),
    }
}

/// The answer for one recipient (LMTP).
pub(super) fn outcome(outcome: &Outcome, trace: TraceId) -> Reply {
    match outcome {
        Ok(_) => Reply::new(250, code(2, 0, 0), format!("delivered as {trace}")),
        Err(error) => store_error(error),
    }
}

/// The one answer for all recipients (SMTP). When some failed the client must try again, or a message would be
/// lost in silence; those who have it already are recognised then.
pub(super) fn outcomes(all: &[Outcome], trace: TraceId) -> Reply {
    let replies: Vec<Reply> = all.iter().map(|one| outcome(one, trace)).collect();
    let failed = |reply: &&Reply| !reply.is_completed();
    let all_failed = replies.iter().all(|reply| failed(&reply));
    let worst = replies.iter().filter(failed).min_by_key(|reply| reply.code());
    match worst {
        None => Reply::new(250, code(2, 0, 0), format!("delivered as {trace}")),
        Some(reply) if all_failed || reply.code() < 500 => reply.clone(),
        Some(_) => Reply::new(
            451,
            code(4, 3, 0),
            "not delivered to all recipients, try again later",
        ),
    }
}
