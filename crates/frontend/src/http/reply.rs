//! What clients hear when a request cannot be answered by its home: one status and one fixed text for each fault.

use crate::failure::Failure;
use hyper::StatusCode;

/// Why the front end answers by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Login, route or home.
    Failure(Failure),
    /// The request can be read in more than one way, or in none.
    Malformed(&'static str),
    /// A method that no home is asked for.
    Method,
    /// A transfer coding or a protocol that is not spoken.
    Unsupported,
    /// The request is for a host that is not served.
    Misdirected,
    /// A login over a connection that is not encrypted.
    Clear,
    /// Another site's page would act for the user.
    CrossSite,
    /// The head is larger than it may be.
    HeadTooLarge,
    /// The body is larger than it may be.
    TooLarge,
    /// The client stopped in the middle of its body.
    Slow,
    /// The client went away in the middle of its body.
    Gone,
    /// The account has too many requests at once.
    TooMany,
    /// The home has too many requests, and too many wait.
    Busy(String),
    /// There is no randomness, or no key.
    Own(&'static str),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(f),
            Self::Malformed(what) | Self::Own(what) => f.write_str(what),
            Self::Busy(home) => write!(f, "home {home} has too many requests"),
            other => f.write_str(other.text()),
        }
    }
}

impl Fault {
    /// RFC 9110 section 15; the causes that a client may do something about are told apart from those that it must
    /// wait for.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Failure(failure) => status_of(failure),
            Self::Malformed(_) | Self::Gone => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Clear | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Own(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What people read.
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Failure(failure) => text_of(failure),
            Self::Malformed(_) | Self::Gone => "The request is malformed.",
            Self::Method => "This method is not allowed.",
            Self::Unsupported => "This coding or protocol is not supported.",
            Self::Misdirected => "This host is not served here.",
            Self::Clear => "Use https to log in.",
            Self::CrossSite => "The request comes from another site.",
            Self::HeadTooLarge | Self::TooLarge => "The request is too large.",
            Self::Slow => "The request took too long.",
            Self::TooMany => "Too many requests at once; try again later.",
            Self::Busy(_) => "The server is busy; try again in a moment.",
            Self::Own(_) => "Something is wrong with this server.",
        }
    }

    /// Seconds after which it is worth trying again (RFC 9110 section 10.2.3).
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Busy(_) | Self::TooMany => Some(1),
            Self::Failure(Failure::Directory(_)) => Some(10),
            _ => match self.status() {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(5),
                _ => None,
            },
        }
    }

    /// In one word, for metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.kind(),
            Self::Malformed(_) => "malformed",
            Self::Method => "method",
            Self::Unsupported => "unsupported",
            Self::Misdirected => "misdirected",
            Self::Clear => "clear",
            Self::CrossSite => "cross_site",
            Self::HeadTooLarge | Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Gone => "gone",
            Self::TooMany => "limit",
            Self::Busy(_) => "busy",
            Self::Own(_) => "own",
        }
    }
}

/// 502: the home is broken; 504: it is silent; 503: wait.
fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Rejected(_) | Failure::Expired | Failure::Authorization => StatusCode::UNAUTHORIZED,
        Failure::Connect { .. } | Failure::Tls { .. } | Failure::Protocol { .. } => StatusCode::BAD_GATEWAY,
        Failure::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        Failure::TooMany(_) | Failure::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Failure::Loop => StatusCode::LOOP_DETECTED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn text_of(failure: &Failure) -> &'static str {
    match failure {
        Failure::Rejected(_) | Failure::Authorization => "The name or the password is wrong.",
        Failure::Expired => "The password or the account has expired.",
        Failure::Directory(_) => "Logins cannot be checked now; try again later.",
        Failure::Connect { .. } | Failure::Tls { .. } | Failure::Protocol { .. } => {
            "The server of this account does not work as it should; try again later."
        }
        Failure::Timeout(_) => "The server of this account did not answer in time.",
        Failure::Throttled(_) => "Too many failed logins; try again later.",
        Failure::TooMany(_) => "Too many logins at once; try again later.",
        Failure::Loop => "The request goes in circles.",
        Failure::ShuttingDown => "This server is being restarted; try again in a moment.",
        _ => "The server of this account is not available now; try again later.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::tests::all;

    #[test]
    fn clients_hear_neither_causes_nor_a_no_for_what_is_not_their_fault() {
        for failure in all() {
            let blames = failure.blames_client();
            let fault = Fault::from(failure);
            assert!(
                !fault.text().contains("secret detail") && !fault.text().contains("store"),
                "{fault}"
            );
            assert_eq!(fault.status() == StatusCode::UNAUTHORIZED, blames, "{fault}");
            let waits = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
            assert_eq!(
                fault.retry_after().is_some(),
                waits.contains(&fault.status()),
                "{fault}"
            );
        }
    }
}
