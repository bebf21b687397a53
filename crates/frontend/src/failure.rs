//! Why a session could not be brought home. Each protocol's `reply.rs` gives each kind one fixed text.

use model::RejectReason;

/// Why nobody logs in at a home that is up and shows no mechanism for it.
pub(crate) const NO_WAY_IN: &str = "it offers no SASL mechanism for this way to log in; for login = \"assertion\" a Homing \
    home must name this front end in a [[trusted_front_end]], read at its start, and have its network in trusted_networks";

/// The kinds of failure. The cause inside is for the log; clients hear a fixed text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The password is wrong, or the account does not exist or may not log in. One text for all of these.
    #[error("login rejected: {0}")]
    Rejected(Rejection),
    /// The password or the account has expired, and the user can do something about it.
    #[error("expired")]
    Expired,
    /// The client wants to act as somebody else, which a replayed login cannot do.
    #[error("an authorization identity was given")]
    Authorization,
    /// Somebody guesses: no password of this account is checked for this client now.
    #[error("{0}")]
    Throttled(String),
    /// No source of logins, or no user map, can answer now.
    #[error("directory unavailable: {0}")]
    Directory(String),
    /// The account has no home.
    #[error("the account has no home")]
    NoHome,
    /// Several entries, or several homes, match.
    #[error("ambiguous: {0}")]
    Ambiguous(String),
    /// The home has failed often enough that it is not tried now.
    #[error("home {0} is down")]
    HomeDown(String),
    /// The home does not take the connection.
    #[error("cannot connect to home {home}: {cause}")]
    Connect {
        /// The home.
        home: String,
        /// What the system or the resolver said.
        cause: String,
    },
    /// The home did not answer in time.
    #[error("home {0} did not answer in time")]
    Timeout(String),
    /// TLS with the home failed.
    #[error("TLS with home {home}: {cause}")]
    Tls {
        /// The home.
        home: String,
        /// What is wrong.
        cause: String,
    },
    /// The home does not speak the protocol, or hung up in the middle of it.
    #[error("home {home} broke the protocol: {cause}")]
    Protocol {
        /// The home.
        home: String,
        /// What it did.
        cause: String,
    },
    /// The home refused a login that was accepted here. Shown as temporary, never as a wrong password.
    #[error("home {home} refused a login that was accepted here: {text}")]
    HomeRefusedLogin {
        /// The home.
        home: String,
        /// Its words.
        text: String,
    },
    /// The home says "try later".
    #[error("home {home} is temporarily unable: {text}")]
    HomeTemporary {
        /// The home.
        home: String,
        /// Its words.
        text: String,
    },
    /// The message that waits here cannot be read back.
    #[error("cannot read the buffered message: {0}")]
    Buffer(String),
    /// This server has no descriptor, port or memory left for a connection: no fault of the home.
    #[error("nothing is left for a connection: {0}")]
    Exhausted(String),
    /// The account or the client has too many sessions already.
    #[error("{0}")]
    TooMany(#[from] net::TooMany),
    /// The home takes no new sessions by an administrator's order.
    #[error("home {0} is drained")]
    Drained(String),
    /// The way to log in at this home cannot be used with what the client proved itself by.
    #[error("home {home} cannot be logged in to: {cause}")]
    LoginMode {
        /// The home.
        home: String,
        /// Why.
        cause: String,
    },
    /// The directory names this very server as the home, and it does not serve the protocol: the set-up is wrong.
    #[error(
        "the home {0} is this server, which does not serve this protocol itself; what a map says is wrong"
    )]
    NotServed(String),
    /// The relay that the configuration names asks us in turn: the set-up is wrong.
    #[error("the relay {0} leads back to this server; what relay_home or spill_home says is wrong")]
    LeadsBack(String),
    /// The session has passed too many front ends.
    #[error("the session goes in circles between front ends")]
    Loop,
    /// This server is stopping.
    #[error("shutting down")]
    ShuttingDown,
}

/// What stands behind [`Failure::Rejected`], for the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A source knows the account and says no.
    #[error("{0}")]
    Reason(RejectReason),
    /// No source, or no user map, knows the account.
    #[error("no such account")]
    NoSuchAccount,
    /// The home said no, and it alone decides.
    #[error("the home refused it")]
    Home,
    /// Too many logins failed by other names of the account, which the client must not learn.
    #[error("too many failed logins by other names of the account")]
    Throttled,
}

impl Failure {
    /// True for failures of the home itself, which its health should know of.
    pub(crate) fn blames_home(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Timeout(_) | Self::Tls { .. } | Self::Protocol { .. }
        )
    }

    /// True when the home has heard the login and said no: whatever that means, it is up and well.
    pub(crate) fn clears_home(&self) -> bool {
        matches!(
            self,
            Self::HomeRefusedLogin { .. } | Self::Rejected(Rejection::Home) | Self::Expired
        )
    }

    /// True when the client offered something that is not good enough: guessing ends after some of these.
    pub(crate) fn blames_client(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Expired | Self::Authorization)
    }

    /// True when somebody should look at it: not the user's fault, and not a passing thing.
    pub(crate) fn is_alarming(&self) -> bool {
        matches!(
            self,
            Self::HomeRefusedLogin { .. }
                | Self::NoHome
                | Self::Ambiguous(_)
                | Self::Tls { .. }
                | Self::Buffer(_)
                | Self::Exhausted(_)
                | Self::LoginMode { .. }
                | Self::NotServed(_)
                | Self::LeadsBack(_)
                | Self::Loop
        )
    }

    /// In one word, for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Expired => "expired",
            Self::Authorization => "authorization",
            Self::Throttled(_) => "throttled",
            Self::Directory(_) => "directory",
            Self::NoHome => "no_home",
            Self::Ambiguous(_) => "ambiguous",
            Self::HomeDown(_) => "home_down",
            Self::Connect { .. } => "connect",
            Self::Timeout(_) => "timeout",
            Self::Tls { .. } => "tls",
            Self::Protocol { .. } => "protocol",
            Self::HomeRefusedLogin { .. } => "home_refused",
            Self::HomeTemporary { .. } => "home_temporary",
            Self::Buffer(_) => "buffer",
            Self::Exhausted(_) => "exhausted",
            Self::TooMany(_) => "limit",
            Self::Drained(_) => "drained",
            Self::LoginMode { .. } => "login_mode",
            Self::NotServed(_) => "not_served",
            Self::LeadsBack(_) => "leads_back",
            Self::Loop => "loop",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each kind.
    pub(crate) fn all() -> Vec<Failure> {
        let home = || "store:143".to_owned();
        let text = || "secret detail".to_owned();
        vec![
            Failure::Rejected(Rejection::Reason(RejectReason::WrongCredential)),
            Failure::Rejected(Rejection::NoSuchAccount),
            Failure::Rejected(Rejection::Home),
            Failure::Rejected(Rejection::Throttled),
            Failure::Throttled(text()),
            Failure::Expired,
            Failure::Authorization,
            Failure::Directory(text()),
            Failure::NoHome,
            Failure::Ambiguous(text()),
            Failure::HomeDown(home()),
            Failure::Connect {
                home: home(),
                cause: text(),
            },
            Failure::Timeout(home()),
            Failure::Tls {
                home: home(),
                cause: text(),
            },
            Failure::Protocol {
                home: home(),
                cause: text(),
            },
            Failure::HomeRefusedLogin {
                home: home(),
                text: text(),
            },
            Failure::HomeTemporary {
                home: home(),
                text: text(),
            },
            Failure::Buffer(text()),
            Failure::Exhausted(text()),
            Failure::TooMany(net::TooMany::Account),
            Failure::Drained(home()),
            Failure::LoginMode {
                home: home(),
                cause: text(),
            },
            Failure::NotServed(home()),
            Failure::LeadsBack(home()),
            Failure::Loop,
            Failure::ShuttingDown,
        ]
    }

    #[test]
    fn only_refused_credentials_are_the_clients_fault() {
        for failure in all() {
            assert!(
                !(failure.blames_client() && (failure.blames_home() || failure.is_alarming())),
                "{failure}"
            );
        }
        let refused = all()
            .into_iter()
            .find(|f| matches!(f, Failure::HomeRefusedLogin { .. }))
            .expect("listed");
        assert!(refused.is_alarming() && !refused.blames_client() && !refused.blames_home());
    }
}
