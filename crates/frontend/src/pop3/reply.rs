//! The only place where an outcome becomes a POP3 response.

use crate::failure::Failure;
use wire::pop3::{Capabilities, Response, ResponseCode};
use wire::sasl::Channel;

/// What the client hears of a failure: one fixed text each.
pub(super) fn failure(failure: &Failure) -> Response {
    // RFC 3206: [AUTH] only for credentials that are wrong; all else is [SYS/TEMP].
    let (code, text) = match failure {
        Failure::Rejected(_) => (ResponseCode::Auth, "Authentication failed."),
        Failure::Expired => (ResponseCode::Auth, "The password or the account has expired."),
        Failure::Authorization => (
            ResponseCode::Auth,
            "Logging in on behalf of another user is not supported.",
        ),
        Failure::Directory(_) => (
            ResponseCode::SysTemp,
            "The directory is not available; try again later.",
        ),
        Failure::NoHome | Failure::Ambiguous(_) | Failure::NotServed(_) | Failure::LeadsBack(_) => (
            ResponseCode::SysTemp,
            "This account cannot be reached; the administrator has been told.",
        ),
        Failure::Throttled(_) => (ResponseCode::SysTemp, "Too many failed logins; try again later."),
        Failure::TooMany(_) => (
            ResponseCode::SysTemp,
            "Too many sessions; close some and try again.",
        ),
        Failure::HomeDown(_) | Failure::Connect { .. } | Failure::Timeout(_) | Failure::Drained(_) => (
            ResponseCode::SysTemp,
            "The mail server of this account is not available; try again later.",
        ),
        Failure::Tls { .. }
        | Failure::Protocol { .. }
        | Failure::Buffer(_)
        | Failure::Exhausted(_)
        | Failure::LoginMode { .. } => (
            ResponseCode::SysTemp,
            "The mail server of this account has a problem; try again later.",
        ),
        Failure::HomeRefusedLogin { .. } | Failure::HomeTemporary { .. } => (
            ResponseCode::SysTemp,
            "The mail server of this account cannot serve it now; try again later.",
        ),
        Failure::Loop => (
            ResponseCode::SysTemp,
            "The session goes in circles between servers.",
        ),
        Failure::ShuttingDown => (ResponseCode::SysTemp, "This server is shutting down; try again."),
    };
    Response::Err(Some(code), text.into())
}

/// What can be done before the login, and what every home can do after it.
pub(super) fn capabilities(starttls: bool, channel: &Channel) -> Capabilities {
    Capabilities {
        user: channel.allows_password(),
        stls: starttls,
        sasl: channel
            .offered()
            .iter()
            .map(|mechanism| mechanism.name().to_owned())
            .collect(),
        top: true,
        uidl: true,
        pipelining: true,
        resp_codes: true,
        auth_resp_code: true,
        xclient: false,
        expire: None,
        implementation: Some("Homing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_said_of_wrong_passwords_only() {
        for kind in crate::failure::tests::all() {
            let Response::Err(code, text) = failure(&kind) else {
                panic!("{kind} is no success");
            };
            let wanted = if kind.blames_client() {
                ResponseCode::Auth
            } else {
                ResponseCode::SysTemp
            };
            assert_eq!(code, Some(wanted), "{kind}");
            assert!(
                !text.contains("store") && !text.contains("detail"),
                "the cause is for the log"
            );
        }
    }
}
