//! The only place where an outcome becomes an SMTP reply.

use crate::failure::Failure;
use wire::smtp::{CommandError, EnhancedCode, PathError, Reply};

fn reply(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    // The class of the enhanced code is the first digit of the code: RFC 2034 section 4.
    let class = u8::try_from(code / 100).unwrap_or(5);
    Reply::new(code, Some(EnhancedCode(class, subject, detail)), text)
}

/// What the client hears of a failure on the way to a home.
pub(super) fn failure(failure: &Failure) -> Reply {
    match failure {
        Failure::Directory(_) => reply(451, 4, 3, "The directory is not available; try again later"),
        Failure::NoHome => reply(
            451,
            4,
            3,
            "No mail server for this recipient now; try again later",
        ),
        Failure::Ambiguous(_) => reply(
            451,
            3,
            5,
            "This recipient is ambiguous; the administrator has been told",
        ),
        Failure::Buffer(_) | Failure::Exhausted(_) => no_space(),
        // Of the set-up, not of the message: it is put right while the message waits. RFC 3463 section 3.4.
        Failure::NotServed(_) | Failure::LeadsBack(_) => reply(
            451,
            3,
            5,
            "This server is set up wrongly; the administrator has been told",
        ),
        Failure::Loop => reply(554, 4, 6, "The message goes in circles between servers"),
        Failure::ShuttingDown => shutting_down(),
        Failure::Rejected(_) | Failure::Expired | Failure::Authorization => no_such_account(),
        Failure::HomeDown(_)
        | Failure::Connect { .. }
        | Failure::Timeout(_)
        | Failure::Tls { .. }
        | Failure::Protocol { .. }
        | Failure::HomeRefusedLogin { .. }
        | Failure::TooMany(_)
        | Failure::Throttled(_)
        | Failure::Drained(_)
        | Failure::LoginMode { .. }
        | Failure::HomeTemporary { .. } => reply(
            451,
            4,
            1,
            "The mail server of this recipient is not available; try again later",
        ),
    }
}

/// What a line that is no command gets.
pub(super) fn command_error(error: &CommandError) -> Reply {
    match error {
        CommandError::UnknownVerb => reply(500, 5, 1, "Command not recognised"),
        CommandError::NotImplemented => reply(502, 5, 1, "Command not implemented"),
        CommandError::ControlCharacter => reply(500, 5, 2, "Control character in the command"),
        CommandError::Syntax => reply(501, 5, 4, "Wrong arguments"),
        CommandError::ReversePath(PathError::NeedsUtf8) | CommandError::ForwardPath(PathError::NeedsUtf8) => {
            undeclared_utf8()
        }
        CommandError::ReversePath(_) => reply(501, 1, 7, "The reverse-path is not <local-part@domain>"),
        CommandError::ForwardPath(PathError::AddressLiteral) => other_domain(),
        CommandError::ForwardPath(_) => reply(501, 1, 3, "The forward-path is not <local-part@domain>"),
        // RFC 5321 section 4.1.1.11.
        CommandError::UnknownParameter => reply(555, 5, 4, "Parameter not recognised"),
        CommandError::BadParameter => reply(501, 5, 4, "Wrong parameter"),
        CommandError::ChunkSize => reply(501, 5, 4, "The size of the chunk cannot be read"),
    }
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident => $code:literal $subject:literal $detail:literal $text:literal;)*) => {
        $($(#[$doc])* pub(super) fn $name() -> Reply { reply($code, $subject, $detail, $text) })*
    };
}

fixed! {
    /// A domain that is not listed: frontend.md, whatever a map says.
    other_domain => 550 7 1 "We do not take mail for this domain";
    no_such_account => 550 1 1 "No such account here";
    one_home => 452 5 3 "This recipient has another mail server; send to it in another transaction";
    too_many_recipients => 452 5 3 "Too many recipients; send the rest in another transaction";
    /// RFC 6531 section 3.5.
    undeclared_utf8 => 553 6 7 "The address needs SMTPUTF8";
    /// RFC 6152 section 3, RFC 3030 section 3: conversion would be required.
    no_eight_bits => 550 6 3 "The mail server of this recipient takes no eight-bit message";
    no_binary => 550 6 3 "The mail server of this recipient takes no binary message";
    no_utf8 => 550 6 7 "The mail server of this recipient does not know SMTPUTF8";
    /// RFC 8689 section 5.
    no_required_tls => 550 7 30 "The mail server of this recipient cannot be reached as REQUIRETLS demands";
    /// The configuration promises DSN for all homes; this one does not know it.
    no_notification => 451 3 5 "No notification can be sent for this recipient; the administrator has been told";
    binary_needs_chunks => 503 5 1 "A binary message is sent with BDAT";
    chunks_begun => 503 5 1 "The message has begun; go on with BDAT";
    chunk_taken => 250 0 0 "Chunk taken";
    sender_ok => 250 1 0 "Sender taken";
    ok => 250 0 0 "Done";
    bye => 221 0 0 "Goodbye";
    start_tls => 220 0 0 "Begin TLS now";
    no_tls => 502 5 1 "STARTTLS is not available";
    help => 214 0 0 "See RFC 5321";
    cannot_verify => 252 0 0 "Send some mail; whether it arrives will be seen";
    no_expansion => 502 5 1 "Lists are not shown";
    ehlo_instead => 500 5 1 "This is SMTP; say EHLO";
    lhlo_instead => 500 5 1 "This is LMTP; say LHLO";
    /// RFC 2033 section 4.2.
    rcpt_first => 503 5 1 "No valid recipients";
    hello_first => 503 5 1 "Say EHLO first";
    mail_first => 503 5 1 "MAIL comes first";
    nested_mail => 503 5 1 "A transaction is open already";
    no_recipients => 554 5 1 "No valid recipients";
    not_here => 503 5 1 "Not available here";
    line_too_long => 500 5 2 "Line too long";
    too_large => 552 3 4 "The message is too large";
    bare_line_end => 550 6 0 "The message has a CR or LF that stands alone";
    looping => 554 4 6 "Too many Received fields; the message goes in circles";
    no_space => 452 3 1 "No space for the message; try again later";
    too_many_errors => 421 7 0 "Too many errors";
    timed_out => 421 4 2 "Timed out";
    shutting_down => 421 3 2 "Shutting down; try again";
    /// A leg broke while or after it got the message.
    leg_lost => 451 4 2 "The mail server of a recipient broke off; try again later";
    /// Some homes have the message, others not, and nobody took over the rest. The homes that have it
    /// recognise the retry.
    partly_taken => 451 3 0 "Not all recipients could be served; try again later";
    taken_by_all => 250 0 0 "Taken by all mail servers";
}

/// `354`, which has no enhanced code (RFC 2034 section 4).
pub(super) fn go_on() -> Reply {
    Reply::new(354, None, "Send the message; end with a dot on a line of its own")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Rejection;

    #[test]
    fn codes_of_failures() {
        for kind in crate::failure::tests::all() {
            let reply = failure(&kind);
            let wanted = match &kind {
                Failure::Rejected(_) | Failure::Expired | Failure::Authorization => "550 5.1.1",
                Failure::Directory(_) | Failure::NoHome => "451 4.4.3",
                Failure::Ambiguous(_) | Failure::NotServed(_) | Failure::LeadsBack(_) => "451 4.3.5",
                Failure::Buffer(_) | Failure::Exhausted(_) => "452 4.3.1",
                Failure::Loop => "554 5.4.6",
                Failure::ShuttingDown => "421 4.3.2",
                _ => "451 4.4.1",
            };
            assert!(reply.to_string().starts_with(wanted), "{kind}: {reply}");
            assert!(!reply.to_string().contains("store"), "the cause is for the log");
        }
        assert_eq!(
            failure(&Failure::Rejected(Rejection::NoSuchAccount)),
            no_such_account()
        );
    }
}
