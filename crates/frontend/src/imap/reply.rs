//! The only place where an outcome becomes an IMAP response.

use crate::failure::Failure;
use wire::imap::{Code, Condition, StatusLine};
use wire::sasl::Channel;

/// What the client hears of a failure: one fixed text each.
pub(super) fn failure(failure: &Failure) -> StatusLine {
    let (code, text) = match failure {
        Failure::Rejected(_) => (Code::AuthenticationFailed, "Authentication failed."),
        Failure::Expired => (Code::Expired, "The password or the account has expired."),
        Failure::Authorization => (
            Code::AuthorizationFailed,
            "Logging in on behalf of another user is not supported.",
        ),
        Failure::Directory(_) => (
            Code::Unavailable,
            "The directory is not available; try again later.",
        ),
        Failure::NoHome | Failure::Ambiguous(_) | Failure::NotServed(_) | Failure::LeadsBack(_) => (
            Code::Unavailable,
            "This account cannot be reached; the administrator has been told.",
        ),
        // RFC 5530 section 3. Nothing is down.
        Failure::Throttled(_) => (Code::Limit, "Too many failed logins; try again later."),
        Failure::TooMany(_) => (Code::Limit, "Too many sessions; close some and try again."),
        Failure::HomeDown(_) | Failure::Connect { .. } | Failure::Timeout(_) | Failure::Drained(_) => (
            Code::Unavailable,
            "The mail server of this account is not available; try again later.",
        ),
        Failure::Tls { .. }
        | Failure::Protocol { .. }
        | Failure::Buffer(_)
        | Failure::Exhausted(_)
        | Failure::LoginMode { .. } => (
            Code::Unavailable,
            "The mail server of this account has a problem; try again later.",
        ),
        // RFC 5530 section 3: never AUTHENTICATIONFAILED for a password that was right.
        Failure::HomeRefusedLogin { .. } | Failure::HomeTemporary { .. } => (
            Code::Unavailable,
            "The mail server of this account cannot serve it now; try again later.",
        ),
        Failure::Loop => (Code::Unavailable, "The session goes in circles between servers."),
        Failure::ShuttingDown => (Code::Unavailable, "This server is shutting down; try again."),
    };
    StatusLine::new(Condition::No, text).with_code(code)
}

/// What can be done before the login. RFC 3501 section 6.2.3: LOGINDISABLED while passwords need TLS first.
pub(super) fn capabilities(starttls: bool, channel: &Channel) -> Vec<String> {
    let words = ["IMAP4rev1", "LITERAL+", "SASL-IR", "ID"];
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if starttls {
        words.push("STARTTLS".to_owned());
    }
    words.extend(
        channel
            .offered()
            .iter()
            .map(|mechanism| format!("AUTH={}", mechanism.name())),
    );
    if !channel.allows_password() {
        words.push("LOGINDISABLED".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MechanismSet;
    use wire::sasl::Terms;

    // RFC 3501 section 6.2.3.
    #[test]
    fn login_is_disabled_exactly_while_no_password_may_be_shown() {
        let terms = |may_show_secrets, can| Terms {
            can,
            may_show_secrets,
            may_challenge: true,
            bindings: false,
            certificate: false,
        };
        let password = MechanismSet::PASSWORD;
        let scram = MechanismSet::SCRAM_SHA_256;
        for (secrets, can, disabled, plain, challenge) in [
            (true, password, false, true, false),
            (false, password, true, false, false),
            (false, password.union(scram), true, false, true),
            (true, password.union(scram), false, true, true),
            (true, scram, true, false, true),
        ] {
            let words = capabilities(true, &Channel::with_terms(terms(secrets, can)));
            let has = |word: &str| words.iter().any(|found| found == word);
            assert_eq!(has("LOGINDISABLED"), disabled, "{words:?}");
            assert_eq!(has("AUTH=PLAIN"), plain, "{words:?}");
            assert_eq!(has("AUTH=SCRAM-SHA-256"), challenge, "{words:?}");
            assert!(has("STARTTLS"), "{words:?}");
        }
    }

    #[test]
    fn a_wrong_password_is_said_of_wrong_passwords_only() {
        for kind in crate::failure::tests::all() {
            let reply = failure(&kind);
            let denied = matches!(
                reply.code,
                Some(Code::AuthenticationFailed | Code::AuthorizationFailed | Code::Expired)
            );
            assert_eq!(denied, kind.blames_client(), "{kind}");
            let later = matches!(reply.code, Some(Code::Unavailable | Code::Limit));
            assert!(denied || later, "{kind}");
            assert!(
                !reply.text.contains("store") && !reply.text.contains("detail"),
                "the cause is for the log"
            );
        }
    }
}
