//! Who may connect: one ordered list, the first rule that matches wins.

use crate::Network;
use std::net::IpAddr;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It is served.
    Allow,
    /// It is closed without a word.
    Deny,
}

/// One rule: what becomes of clients from these networks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// `allow` or `deny`.
    pub action: Access,
    /// Whom it is about: networks such as `"192.0.2.0/24"`. Default: everybody.
    #[serde(default)]
    pub networks: Vec<Network>,
}

impl AccessRule {
    fn matches(&self, client: IpAddr) -> bool {
        self.networks.is_empty() || Network::any_contains(&self.networks, client)
    }

    /// What the list says about this client. Whom no rule is about is let in.
    #[must_use]
    pub fn decide(rules: &[Self], client: IpAddr) -> Access {
        let first = rules.iter().find(|rule| rule.matches(client));
        first.map_or(Access::Allow, |rule| rule.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: Access, networks: &[&str]) -> AccessRule {
        AccessRule {
            action,
            networks: networks
                .iter()
                .map(|text| text.parse().expect("a network"))
                .collect(),
        }
    }

    #[test]
    fn the_first_that_matches_wins() {
        use Access::{Allow, Deny};
        let rules = [
            rule(Allow, &["192.0.2.7", "2001:db8:1::/48"]),
            rule(Deny, &["192.0.2.0/24"]),
            rule(Allow, &["192.0.0.0/16", "2001:db8::/32"]),
            rule(Deny, &[]),
            rule(Allow, &["203.0.113.1"]),
        ];
        for (client, expected) in [
            ("192.0.2.7", Allow),
            ("::ffff:192.0.2.7", Allow),
            ("192.0.2.8", Deny),
            ("192.0.3.8", Allow),
            ("2001:db8:1::1", Allow),
            ("203.0.113.1", Deny),
        ] {
            let client = client.parse().expect("an address");
            assert_eq!(AccessRule::decide(&rules, client), expected, "{client}");
        }
        let anybody = "203.0.113.1".parse().expect("an address");
        assert_eq!(AccessRule::decide(&[], anybody), Allow);
    }
}
