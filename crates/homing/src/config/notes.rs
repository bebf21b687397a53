//! What is allowed and perhaps not meant: told by `check-config` and in the log, and no reason not to start.

use super::Config;
use super::check::within;
use model::{ConfigProblem, Protocol};
use net::{ListenerConfig, Network, TlsMode};

/// Services whose clients log in before anything else.
const LOGINS: [&str; 6] = [
    "imap",
    "pop3",
    "imap_proxy",
    "pop3_proxy",
    "managesieve_proxy",
    "submission_proxy",
];

impl Config {
    /// Everything that is to be told; keys are paths from the file's root.
    pub(super) fn find_notes(&self) -> Vec<ConfigProblem> {
        let mut notes = Vec::new();
        for (index, network) in self.smtp_proxy.relay_from.iter().enumerate() {
            if let Some(message) = self.relay_note(network) {
                notes.push(ConfigProblem::new(
                    format!("smtp_proxy.relay_from.{index}"),
                    message,
                ));
            }
        }
        let spoken = self.spoken_to_homes();
        for (index, home) in self.home.iter().enumerate() {
            within(&format!("home.{index}"), home.notes(&spoken), &mut notes);
        }
        notes.extend(self.nobody_logs_in());
        notes
    }

    /// Listeners where a login is all that a client can do, and none is allowed: no TLS, and none without TLS.
    fn nobody_logs_in(&self) -> Vec<ConfigProblem> {
        let services = self.listeners().into_iter();
        let services = services.filter(|(service, _)| LOGINS.contains(service));
        let listeners = services.flat_map(|(service, list)| {
            let numbered = list.iter().enumerate();
            numbered.map(move |(index, listener)| (format!("{service}.listener.{index}"), listener))
        });
        let clear = |listener: &ListenerConfig| match listener.tls {
            Some(mode) => mode == TlsMode::None,
            None => self.tls.is_none(),
        };
        let shut = listeners.filter(|(_, listener)| {
            clear(listener) && !listener.allows_plaintext_login() && !listener.allows_plaintext_challenge()
        });
        shut.map(|(key, _)| {
            let message = "nobody can log in here: it has no TLS, and without TLS logins are taken on loopback only. Set \
                           certificate and key in [tls] and let this listener use them, or say plaintext_login = true \
                           where the network is safe";
            ConfigProblem::new(key, message)
        })
        .collect()
    }

    /// Who may relay is judged by where the client is. Where a listener takes a load balancer for the client, it is
    /// everybody. No configuration proves that: a mail server of ours may be in the same network.
    fn relay_note(&self, network: &Network) -> Option<String> {
        let judged = |listener: &ListenerConfig, of: &Network| {
            !(listener.proxy_protocol
                && listener
                    .trusted_networks
                    .iter()
                    .any(|trusted| covers(trusted, of)))
        };
        let receiving = || self.smtp_proxy.listener.iter().enumerate();
        for (service, listeners) in self.listeners() {
            for (index, listener) in listeners.iter().enumerate().filter(|(_, one)| one.proxy_protocol) {
                let balancers = listener.trusted_networks.iter();
                for balancer in balancers.filter(|balancer| overlap(balancer, network)) {
                    if let Some((here, _)) = receiving().find(|(_, one)| judged(one, balancer)) {
                        return Some(format!(
                            "{balancer} is in it and begins with PROXY headers at {service}.listener.{index}, but not at \
                             smtp_proxy.listener.{here}: if a load balancer there leads to that one too, everybody who \
                             comes through it may relay. Say proxy_protocol = true at that listener, or leave the \
                             balancer out of relay_from"
                        ));
                    }
                }
            }
        }
        let (index, trusted) = receiving()
            .filter(|(_, listener)| !listener.proxy_protocol)
            .find_map(|(index, listener)| {
                let mut trusted = listener.trusted_networks.iter();
                Some((index, trusted.find(|trusted| overlap(trusted, network))?))
            })?;
        Some(format!(
            "{trusted} is in it and trusted at smtp_proxy.listener.{index}: right for mail servers and front ends, which \
             are the client or name it. If a load balancer connects from there, everybody who comes through it may \
             relay: then say proxy_protocol = true at that listener"
        ))
    }

    /// What this front end speaks to homes.
    fn spoken_to_homes(&self) -> Vec<Protocol> {
        let logins = self.login_proxies().into_iter();
        let mut spoken: Vec<Protocol> = logins
            .filter(|(_, _, section)| !section.listener.is_empty())
            .map(|(protocol, ..)| protocol)
            .collect();
        for section in [&self.smtp_proxy, &self.lmtp_proxy] {
            if section.listener.is_empty() {
                continue;
            }
            spoken.push(match section.home_protocol {
                frontend::HomeProtocol::Smtp => Protocol::Smtp,
                frontend::HomeProtocol::Lmtp => Protocol::Lmtp,
            });
        }
        spoken
    }
}

/// Whether all of `inner` is in `outer`.
fn covers(outer: &Network, inner: &Network) -> bool {
    outer.contains(inner.address()) && outer.prefix() <= inner.prefix()
}

fn overlap(one: &Network, other: &Network) -> bool {
    one.contains(other.address()) || other.contains(one.address())
}

#[cfg(test)]
mod tests {
    use super::super::load;

    const MAP: &str = "[[user_map]]\nname = \"m\"\nkind = \"local-file\"\npath = \"/nowhere\"\n";

    /// The notes of a configuration without problems.
    fn notes(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("homing.toml");
        std::fs::write(&file, format!("{text}\n{MAP}")).expect("written");
        let config = load(Some(&file)).expect("a good configuration");
        config.notes.iter().flat_map(|notes| notes.lines()).collect()
    }

    fn relaying(relay_from: &str, listeners: &str) -> Vec<String> {
        notes(&format!(
            "[smtp_proxy]\nuser_maps = [\"m\"]\ndomains = [\"example.org\"]\nrelay_home = \"out\"\n\
             relay_from = [{relay_from}]\n{listeners}"
        ))
    }

    const PLAIN: &str = "[[smtp_proxy.listener]]\naddress = \"127.0.0.1:0\"\n";

    fn listener(service: &str, trusted: &str, proxy_protocol: bool) -> String {
        format!(
            "[[{service}.listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"{trusted}\"]\n\
             proxy_protocol = {proxy_protocol}\n"
        )
    }

    #[test]
    fn a_balancer_that_would_relay_for_everybody_is_told() {
        let balancer = "10.0.0.5";
        let behind = listener("smtp_proxy", balancer, true);
        let wide = "\"192.0.2.0/24\", \"10.0.0.0/8\"";
        for (relay_from, listeners, told) in [
            // Behind a PROXY header it is the client that is judged.
            (wide, behind.clone(), None),
            (wide, PLAIN.to_owned(), None),
            ("\"192.0.2.0/24\"", format!("{behind}{PLAIN}"), None),
            (
                wide,
                listener("smtp_proxy", balancer, false),
                Some("is in it and trusted"),
            ),
            (
                wide,
                format!("{behind}{PLAIN}"),
                Some("smtp_proxy.listener.0, but not at smtp_proxy.listener.1"),
            ),
            (
                wide,
                format!("{PLAIN}{}", listener("pop3", balancer, true)),
                Some("at pop3.listener.0, but not at"),
            ),
            // It begins with a header from the other one only.
            (
                "\"10.0.0.5\"",
                format!(
                    "{}{}",
                    listener("smtp_proxy", "10.0.0.6", true),
                    listener("pop3", "10.0.0.0/24", true)
                ),
                Some("10.0.0.0/24 is in it and begins with PROXY headers at pop3.listener.0"),
            ),
        ] {
            let notes = relaying(relay_from, &listeners);
            match told {
                None => assert_eq!(notes, [""; 0], "{relay_from} {listeners}"),
                Some(words) => {
                    let [note] = notes.as_slice() else {
                        panic!("{notes:?}");
                    };
                    assert!(
                        note.contains(words) && note.contains("smtp_proxy.relay_from."),
                        "{note}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_listener_where_nobody_can_log_in_is_told() {
        let listener = |service: &str, keys: &str| notes(&format!("[[{service}.listener]]\n{keys}\n"));
        for (service, keys, told) in [
            ("imap", "address = \"0.0.0.0:0\"", true),
            ("pop3", "address = \"[::]:0\"\ntls = \"none\"", true),
            ("imap", "address = \"127.0.0.1:0\"", false),
            ("imap", "address = \"0.0.0.0:0\"\nplaintext_login = true", false),
            (
                "imap",
                "address = \"0.0.0.0:0\"\nplaintext_challenge = true",
                false,
            ),
            // Mail from elsewhere comes without a login.
            ("smtp", "address = \"0.0.0.0:0\"", false),
        ] {
            let notes = listener(service, keys);
            assert_eq!(notes.len(), usize::from(told), "{service} {keys}: {notes:?}");
            for note in notes {
                assert!(
                    note.contains("nobody can log in") && note.contains(".listener.0"),
                    "{note}"
                );
            }
        }
    }

    #[test]
    fn authorities_that_nothing_is_verified_with_are_told() {
        let imap = "[imap_proxy]\nuser_maps = [\"m\"]\nauthenticate = \"home\"\n\
                    [[imap_proxy.listener]]\naddress = \"127.0.0.1:0\"\n";
        let home = |keys: &str| notes(&format!("{imap}[[home]]\nname = \"store\"\n{keys}"));
        for quiet in [
            "host = \"127.0.0.1\"",
            "ca_file = \"/ca.pem\"",
            "host = \"127.0.0.1\"\nca_file = \"/ca.pem\"\nimap.tls = \"starttls\"",
            "host = \"localhost\"\nca_file = \"/ca.pem\"\nimap.port = 993",
        ] {
            assert_eq!(home(quiet), [""; 0], "{quiet}");
        }
        for (keys, key) in [
            ("host = \"127.0.0.1\"\nca_file = \"/ca.pem\"", "home.0.ca_file"),
            ("ca_file = \"/ca.pem\"\nimap.tls = \"none\"", "home.0.ca_file"),
            (
                "host = \"::1\"\nclient_cert = \"/c\"\nclient_key = \"/k\"\npop3.tls = \"implicit\"",
                "home.0.client_cert",
            ),
        ] {
            let notes = home(keys);
            let [note] = notes.as_slice() else {
                panic!("{keys}: {notes:?}");
            };
            assert!(note.contains(key) && note.contains("imap"), "{note}");
        }
    }
}
