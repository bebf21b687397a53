//! Who may relay through `[smtp_proxy]`: never everybody.

use super::SmtpProxyConfig;
use model::ConfigProblem;
use net::{Network, check_certificate_names};

/// The widest network of the Internet that may be somebody's own: a provider's. Most have less.
const WIDEST: (u8, u8) = (16, 29);
/// What nobody reaches from the Internet (RFC 1918, 3927, 4193, 4291, 6598): these and what is in them.
const PRIVATE: [&str; 8] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// What is wrong with `relay_from`, `relay_certificates` and `relay_home`.
pub(super) fn check(config: &SmtpProxyConfig, problems: &mut Vec<ConfigProblem>) {
    for (index, network) in config.relay_from.iter().enumerate() {
        if is_too_wide(network) {
            let message = format!(
                "{network} would make this an open relay; name the networks of your own clients, at most a /{} or /{} of those that are not private",
                WIDEST.0, WIDEST.1
            );
            problems.push(ConfigProblem::new(format!("relay_from.{index}"), message));
        }
    }
    check_certificate_names("relay_certificates", &config.relay_certificates, problems);
    let relays = !config.relay_from.is_empty() || !config.relay_certificates.is_empty();
    let has_home = config.relay_home.is_some() || config.spill_home.is_some();
    if relays && !has_home {
        let message =
            "mail for other domains needs a server that takes it; write relay_home = \"relay1.example.org\"";
        problems.push(ConfigProblem::new("relay_home", message));
    }
    if !relays && config.relay_home.is_some() {
        let message = "nobody may relay; say who may with relay_from or relay_certificates, or remove it";
        problems.push(ConfigProblem::new("relay_home", message));
    }
}

fn is_too_wide(network: &Network) -> bool {
    let widest = if network.is_ipv4() { WIDEST.0 } else { WIDEST.1 };
    let is_private = PRIVATE
        .iter()
        .filter_map(|text| text.parse::<Network>().ok())
        .any(|private| private.contains(network.address()) && network.prefix() >= private.prefix());
    network.prefix() < widest && !is_private
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: serde_json::Value) -> Vec<String> {
        let config: SmtpProxyConfig = serde_json::from_value(config).expect("a section");
        let mut problems = Vec::new();
        check(&config, &mut problems);
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn never_everybody() {
        use serde_json::json;
        let with = |networks: &[&str]| json!({ "relay_from": networks, "relay_home": "out" });
        let own = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "100.64.0.0/10",
            "192.0.2.7",
            "198.51.0.0/16",
            "fc00::/7",
            "fd00::/8",
            "2001:db8::/32",
            "2a00::/29",
        ];
        assert_eq!(keys(with(&own)), [""; 0]);
        for wide in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "10.0.0.0/7",
            "80.0.0.0/8",
            "172.0.0.0/8",
            "172.16.0.0/11",
            "192.0.0.0/15",
            "::/0",
            "2000::/3",
            "2000::/7",
            "2a00::/8",
            "fe00::/7",
            "2001:db8::/28",
        ] {
            assert_eq!(keys(with(&[own[0], wide])), ["relay_from.1"], "{wide}");
        }
        for (config, wrong) in [
            (json!({ "relay_from": ["10.0.0.0/8"] }), &["relay_home"][..]),
            (
                json!({ "relay_certificates": ["mx2.example.org"] }),
                &["relay_home"],
            ),
            (json!({ "relay_home": "out" }), &["relay_home"]),
            (json!({ "relay_from": ["10.0.0.0/8"], "spill_home": "out" }), &[]),
            (
                json!({ "relay_certificates": ["*", "mx2.example.org"], "spill_home": "out" }),
                &["relay_certificates.0"],
            ),
        ] {
            assert_eq!(keys(config.clone()), wrong, "{config}");
        }
    }
}
