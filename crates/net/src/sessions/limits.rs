//! How many sessions one account, and one client address, may have.

use model::ConfigProblem;
use std::net::{IpAddr, Ipv6Addr};

/// `[sessions]`: limits on logins, over all services of this server together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLimits {
    /// How many sessions one account may have at once; 1 to 1000000, default 100. One more login hears "try
    /// later".
    pub max_per_account: u32,
    /// How many sessions one client address (an IPv6 /64) may have at once; 1 to 1000000, default 1000. A home
    /// behind front ends counts the clients that they name.
    pub max_per_client: u32,
    /// Seconds after which a session's account is looked up again, for accounts that no change feed tells of: one
    /// that is disabled, deleted or moved by then loses its sessions. 10 to 86400, default 60.
    pub recheck: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_per_account: 100,
            max_per_client: 1000,
            recheck: 60,
        }
    }
}

/// Why one more session is too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// The account has as many as it may.
    #[error("the account has too many sessions")]
    Account,
    /// The client has as many as it may.
    #[error("the client has too many sessions")]
    Client,
}

impl SessionLimits {
    /// Everything wrong with this section; keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (key, value) in [
            ("max_per_account", self.max_per_account),
            ("max_per_client", self.max_per_client),
        ] {
            if !(1..=1_000_000).contains(&value) {
                let message = format!("{value} is not between 1 and 1000000");
                problems.push(ConfigProblem::new(key, message));
            }
        }
        if !(10..=86_400).contains(&self.recheck) {
            let message = format!("{} is not between 10 and 86400 seconds", self.recheck);
            problems.push(ConfigProblem::new("recheck", message));
        }
        problems
    }

    pub(super) fn admit(&self, of_account: usize, of_client: u32) -> Result<(), TooMany> {
        if u32::try_from(of_account).map_or(true, |count| count >= self.max_per_account) {
            return Err(TooMany::Account);
        }
        if of_client >= self.max_per_client {
            return Err(TooMany::Client);
        }
        Ok(())
    }
}

/// A site gets a whole IPv6 /64, so that is what counts as one client.
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}
