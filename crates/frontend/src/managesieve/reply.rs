//! The only place where an outcome becomes a ManageSieve response.

use crate::failure::Failure;
use wire::managesieve::{Capabilities, Code, Status, Word};
use wire::sasl::Channel;

/// What the client hears of a failure: one fixed text each.
pub(super) fn failure(failure: &Failure) -> Status {
    let no = |text: &'static str| Status::new(Word::No, text);
    // RFC 5804 section 1.3: TRYLATER for everything that is not the user's fault.
    let later = |text: &'static str| no(text).with_code(Code::TryLater);
    match failure {
        Failure::Rejected(_) => no("Authentication failed."),
        Failure::Expired => no("The password or the account has expired."),
        Failure::Authorization => no("Logging in on behalf of another user is not supported."),
        Failure::Directory(_) => later("The directory is not available; try again later."),
        Failure::NoHome | Failure::Ambiguous(_) | Failure::NotServed(_) | Failure::LeadsBack(_) => {
            later("This account cannot be reached; the administrator has been told.")
        }
        Failure::Throttled(_) => later("Too many failed logins; try again later."),
        Failure::TooMany(_) => later("Too many sessions; close some and try again."),
        Failure::HomeDown(_) | Failure::Connect { .. } | Failure::Timeout(_) | Failure::Drained(_) => {
            later("The mail server of this account is not available; try again later.")
        }
        Failure::Tls { .. }
        | Failure::Protocol { .. }
        | Failure::Buffer(_)
        | Failure::Exhausted(_)
        | Failure::LoginMode { .. } => {
            later("The mail server of this account has a problem; try again later.")
        }
        Failure::HomeRefusedLogin { .. } | Failure::HomeTemporary { .. } => {
            later("The mail server of this account cannot serve it now; try again later.")
        }
        Failure::Loop => later("The session goes in circles between servers."),
        Failure::ShuttingDown => later("This server is shutting down; try again."),
    }
}

/// What can be done before the login. What scripts may require is the home's to say; before the login it is what
/// the configuration says of all homes.
pub(super) fn capabilities(
    sieve: &[String],
    channel: &Channel,
    starttls: bool,
    trusted: bool,
) -> Capabilities {
    Capabilities {
        implementation: "Homing".to_owned(),
        sasl: channel
            .offered()
            .iter()
            .map(|mechanism| mechanism.name().to_owned())
            .collect(),
        sieve: sieve.to_vec(),
        starttls,
        version: "1.0".to_owned(),
        xclient: trusted,
        unauthenticate: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_said_of_wrong_passwords_only() {
        for kind in crate::failure::tests::all() {
            let status = failure(&kind);
            assert_eq!(status.word, Word::No);
            let later = status.code == Some(Code::TryLater);
            assert_eq!(later, !kind.blames_client(), "{kind}");
            assert!(
                !status.text.contains("store") && !status.text.contains("detail"),
                "the cause is for the log"
            );
        }
    }
}
