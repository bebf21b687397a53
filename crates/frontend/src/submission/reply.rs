//! The only place where an outcome becomes a reply of submission.

use crate::failure::Failure;
use wire::smtp::{EnhancedCode, Reply};

fn reply(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    // The class of the enhanced code is the first digit of the code: RFC 2034 section 4.
    let class = u8::try_from(code / 100).unwrap_or(5);
    Reply::new(code, Some(EnhancedCode(class, subject, detail)), text)
}

/// What the client hears of a failed login: one fixed text each. RFC 4954 section 6: 535 only for credentials that
/// are wrong; all else is 454.
pub(super) fn failure(failure: &Failure) -> Reply {
    let later = |text| reply(454, 7, 0, text);
    match failure {
        Failure::Rejected(_) => reply(535, 7, 8, "Authentication failed"),
        Failure::Expired => reply(535, 7, 8, "The password or the account has expired"),
        Failure::Authorization => reply(535, 7, 8, "Logging in on behalf of another user is not supported"),
        Failure::Directory(_) => later("The directory is not available; try again later"),
        Failure::NoHome | Failure::Ambiguous(_) | Failure::NotServed(_) | Failure::LeadsBack(_) => {
            later("This account cannot be reached; the administrator has been told")
        }
        Failure::Throttled(_) => later("Too many failed logins; try again later"),
        Failure::TooMany(_) => later("Too many sessions; close some and try again"),
        Failure::HomeDown(_) | Failure::Connect { .. } | Failure::Timeout(_) | Failure::Drained(_) => {
            later("The mail server of this account is not available; try again later")
        }
        Failure::Tls { .. }
        | Failure::Protocol { .. }
        | Failure::Buffer(_)
        | Failure::Exhausted(_)
        | Failure::LoginMode { .. } => {
            later("The mail server of this account has a problem; try again later")
        }
        Failure::HomeRefusedLogin { .. } | Failure::HomeTemporary { .. } => {
            later("The mail server of this account cannot serve it now; try again later")
        }
        Failure::Loop => later("The session goes in circles between servers"),
        Failure::ShuttingDown => later("This server is shutting down; try again"),
    }
}

macro_rules! fixed {
    ($($name:ident => $code:literal $subject:literal $detail:literal $text:literal;)*) => {
        $(pub(super) fn $name() -> Reply { reply($code, $subject, $detail, $text) })*
    };
}

fixed! {
    session_ends => 421 3 2 "The session is ended; try again";
    logged_in => 235 7 0 "Logged in";
    log_in_first => 530 7 0 "Authentication required";
    tls_first => 530 7 0 "Start TLS first";
    mechanism_needs_tls => 538 7 11 "This mechanism needs TLS";
    no_such_mechanism => 504 5 4 "Mechanism not supported";
    broken_exchange => 501 5 2 "The exchange was cancelled or malformed";
    response_too_long => 500 5 6 "Response too long";
    hello_first => 503 5 1 "Say EHLO first";
    line_too_long => 500 5 2 "Line too long";
    unknown => 500 5 1 "Command not recognised";
    wrong_arguments => 501 5 4 "Wrong arguments";
    no_tls => 502 5 1 "STARTTLS is not available";
    start_tls => 220 0 0 "Begin TLS now";
    ok => 250 0 0 "Done";
    help => 214 0 0 "See RFC 6409";
    bye => 221 0 0 "Goodbye";
    too_many_errors => 421 7 0 "Too many errors";
    too_many_refusals => 421 7 0 "Too many failed logins";
    timed_out => 421 4 2 "Login took too long";
    shutting_down => 421 3 2 "Shutting down; try again";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_said_of_wrong_passwords_only() {
        for kind in crate::failure::tests::all() {
            let reply = failure(&kind).to_string();
            let wanted = if kind.blames_client() {
                "535 5.7.8"
            } else {
                "454 4.7.0"
            };
            assert!(reply.starts_with(wanted), "{kind}: {reply}");
            assert!(
                !reply.contains("store") && !reply.contains("detail"),
                "the cause is for the log"
            );
        }
    }
}
