//! Who may connect, and how often: one ordered list, the first rule that matches wins.

mod meter;

pub(crate) use meter::{Pass, TooOften};

use crate::Network;
use meter::{Limits, Meter};
use model::ConfigProblem;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

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
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// `allow` or `deny`.
    pub action: Access,
    /// Whom it is about: networks such as `"192.0.2.0/24"`. Default: everybody.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// In the top-level `[[access]]`: the services that it is about, such as `["imap_proxy", "pop3_proxy"]`. These rules
    /// go before those about all services, and behind those of a listener. Default: all.
    #[serde(default)]
    pub services: Vec<String>,
    /// With `allow`: how many connections one address (an IPv6 /64) may hold at once, at all places where the rule holds
    /// together; 1 to 1000000. Default: no limit but the listener's.
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// With `allow`: how many connections one address (an IPv6 /64) may make in a minute; 1 to 1000000. Default: no
    /// limit.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// With `allow`: the same for all whom the rule is about together; 1 to 10000000. Default: no limit.
    #[serde(default)]
    pub per_minute_together: Option<u32>,
    /// What the rule has let in. Copies of the rule count together.
    #[serde(skip)]
    meter: Arc<Meter>,
}

impl PartialEq for AccessRule {
    /// Whether both say the same; what they have counted does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
            && self.networks == other.networks
            && self.services == other.services
            && self.limits() == other.limits()
    }
}

impl Eq for AccessRule {}

/// What the list says about a connection.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is let in, and counts as long as this is kept.
    Allowed(Option<Pass>),
    /// It is closed without a word.
    Denied,
    /// It may come again later.
    TooOften(TooOften),
}

impl AccessRule {
    /// A rule without limits.
    #[must_use]
    pub fn new(action: Access, networks: Vec<Network>) -> Self {
        Self {
            action,
            networks,
            services: Vec::new(),
            max_connections: None,
            per_minute: None,
            per_minute_together: None,
            meter: Arc::default(),
        }
    }

    fn matches(&self, client: IpAddr) -> bool {
        self.networks.is_empty() || Network::any_contains(&self.networks, client)
    }

    const fn limits(&self) -> Limits {
        Limits {
            at_once: self.max_connections,
            per_minute: self.per_minute,
            together: self.per_minute_together,
        }
    }

    fn first(rules: &[Self], client: IpAddr) -> Option<&Self> {
        rules.iter().find(|rule| rule.matches(client))
    }

    /// What the list says about this client. Whom no rule is about is let in.
    #[must_use]
    pub fn decide(rules: &[Self], client: IpAddr) -> Access {
        Self::first(rules, client).map_or(Access::Allow, |rule| rule.action)
    }

    /// The same for a connection that is made now, and counts.
    pub(crate) fn judge(rules: &[Self], client: IpAddr, now: Instant) -> Verdict {
        match Self::first(rules, client) {
            None => Verdict::Allowed(None),
            Some(rule) if rule.action == Access::Deny => Verdict::Denied,
            Some(rule) => match rule.meter.enter(rule.limits(), client, rule.meter.time(now)) {
                Ok(pass) => Verdict::Allowed(pass),
                Err(limit) => Verdict::TooOften(limit),
            },
        }
    }

    /// The rules of one service behind those of one of its listeners: its own, then those for everybody.
    #[must_use]
    pub fn for_service(general: &[Self], service: &str) -> Vec<Self> {
        let own = |rule: &&Self| rule.services.iter().any(|name| name == service);
        let everybodys = |rule: &&Self| rule.services.is_empty();
        let rules = general
            .iter()
            .filter(own)
            .chain(general.iter().filter(everybodys));
        rules.cloned().collect()
    }

    /// What is wrong with a list of rules; keys begin with `key`. `services` are the names that a rule may use; none
    /// in the rules of a listener.
    pub fn check_all(rules: &[Self], key: &str, services: &[&str], problems: &mut Vec<ConfigProblem>) {
        for (index, rule) in rules.iter().enumerate() {
            let mut problem = |name: &str, message: String| {
                problems.push(ConfigProblem::new(format!("{key}.{index}.{name}"), message))
            };
            for name in &rule.services {
                if services.is_empty() {
                    problem(
                        "services",
                        "this rule is about its listener; remove the key".to_owned(),
                    );
                } else if !services.contains(&name.as_str()) {
                    let known = services.join(", ");
                    problem(
                        "services",
                        format!("there is no service {name:?}; there are {known}"),
                    );
                }
            }
            for (name, value, most) in [
                ("max_connections", rule.max_connections, 1_000_000),
                ("per_minute", rule.per_minute, 1_000_000),
                ("per_minute_together", rule.per_minute_together, 10_000_000),
            ] {
                let Some(value) = value else { continue };
                if rule.action == Access::Deny {
                    problem(
                        name,
                        "who is denied needs no limit; write allow, or remove the key".to_owned(),
                    );
                } else if !(1..=most).contains(&value) {
                    problem(name, format!("{value} is not between 1 and {most}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: Access, networks: &[&str]) -> AccessRule {
        let networks = networks.iter().map(|text| text.parse().expect("a network"));
        AccessRule::new(action, networks.collect())
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

    #[test]
    fn rules_of_a_service_go_before_those_for_everybody() {
        let of = |services: &[&str], network: &str| AccessRule {
            services: services.iter().map(|&name| name.to_owned()).collect(),
            ..rule(Access::Allow, &[network])
        };
        let general = [
            of(&[], "192.0.2.1"),
            of(&["imap_proxy"], "192.0.2.2"),
            of(&["pop3_proxy", "imap_proxy"], "192.0.2.3"),
            of(&["smtp_proxy"], "192.0.2.4"),
        ];
        let chosen = |service: &str| {
            let rules = AccessRule::for_service(&general, service);
            let last = |rule: &AccessRule| rule.networks[0].to_string();
            rules.iter().map(last).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chosen("imap_proxy"), "192.0.2.2/32 192.0.2.3/32 192.0.2.1/32");
        assert_eq!(chosen("pop3_proxy"), "192.0.2.3/32 192.0.2.1/32");
        assert_eq!(chosen("lmtp_proxy"), "192.0.2.1/32");
    }

    #[test]
    fn copies_of_a_rule_count_together() {
        let limited = AccessRule {
            per_minute: Some(2),
            ..rule(Access::Allow, &["192.0.2.0/24"])
        };
        let general = [limited, rule(Access::Deny, &[])];
        let [imap, pop3] = ["imap_proxy", "pop3_proxy"].map(|name| AccessRule::for_service(&general, name));
        let client = "192.0.2.7".parse().expect("an address");
        let now = Instant::now();
        let judge = |rules: &[AccessRule], client| AccessRule::judge(rules, client, now);
        assert!(matches!(judge(&imap, client), Verdict::Allowed(Some(_))));
        assert!(matches!(judge(&pop3, client), Verdict::Allowed(Some(_))));
        assert!(matches!(
            judge(&imap, client),
            Verdict::TooOften(TooOften::PerMinute)
        ));
        let stranger = "203.0.113.1".parse().expect("an address");
        assert!(matches!(judge(&imap, stranger), Verdict::Denied));
    }

    #[test]
    fn what_is_wrong_with_rules() {
        let parse = |text: serde_json::Value| serde_json::from_value::<AccessRule>(text).expect("a rule");
        let rules = [
            parse(serde_json::json!({ "action": "deny", "per_minute": 5 })),
            parse(serde_json::json!({ "action": "allow", "per_minute": 0, "max_connections": 3 })),
            parse(serde_json::json!({ "action": "allow", "services": ["imap_proxy", "imp"] })),
        ];
        let keys = |services: &[&str]| {
            let mut problems = Vec::new();
            AccessRule::check_all(&rules, "access", services, &mut problems);
            problems
                .into_iter()
                .map(|problem| problem.key)
                .collect::<Vec<_>>()
        };
        let limits = ["access.0.per_minute", "access.1.per_minute"];
        assert_eq!(
            keys(&["imap_proxy"]),
            [&limits[..], &["access.2.services"]].concat()
        );
        assert_eq!(
            keys(&[]),
            [&limits[..], &["access.2.services", "access.2.services"]].concat()
        );
    }
}
