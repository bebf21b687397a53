//! Who may relay through `[smtp_proxy]`: never everybody.

use super::SmtpProxyConfig;
use model::ConfigProblem;
use net::{Network, check_certificate_names};

/// Wider networks than the widest private ones (10.0.0.0/8, fc00::/7) are the Internet, or much of it.
const WIDEST: (u8, u8) = (8, 7);

/// What is wrong with `relay_from`, `relay_certificates` and `relay_home`.
pub(super) fn check(config: &SmtpProxyConfig, problems: &mut Vec<ConfigProblem>) {
    for (index, network) in config.relay_from.iter().enumerate() {
        if is_too_wide(network) {
            let message = format!(
                "{network} would make this an open relay; name the networks of your own clients, at most a /{} or /{}",
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
    network.prefix() < if network.is_ipv4() { WIDEST.0 } else { WIDEST.1 }
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
        let own = ["10.0.0.0/8", "192.0.2.7", "fc00::/7", "2001:db8::/32"];
        assert_eq!(keys(with(&own)), [""; 0]);
        for wide in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "10.0.0.0/7",
            "::/0",
            "2000::/3",
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
