//! What only a look at several keys shows.

use super::{AuthMethod, Config};
use directory::LoginMode;
use directory::config::{Direction, MapKind};
use model::{ConfigProblem, Domain, Protocol};
use std::collections::HashMap;
use std::net::SocketAddr;

impl Config {
    /// Everything wrong with the configuration as a whole; keys are paths from the file's root.
    pub(super) fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        self.check_server(&mut problems);
        self.check_names(&mut problems);
        self.check_sessions(&mut problems);
        self.check_directory(&mut problems);
        self.check_services(&mut problems);
        self.check_domains(&mut problems);
        self.check_aliases(&mut problems);
        self.check_addresses(&mut problems);
        problems
    }

    fn check_server(&self, problems: &mut Vec<ConfigProblem>) {
        if model::Domain::parse(&self.server_name).is_err() {
            let message = format!(
                "{:?} is not a host name; write for example \"mail.example.org\"",
                self.server_name
            );
            problems.push(ConfigProblem::new("server_name", message));
        }
        if self.drain_timeout > 3600 {
            problems.push(ConfigProblem::new(
                "drain_timeout",
                "must be between 0 and 3600 seconds",
            ));
        }
        if self.linger > 86_400 {
            problems.push(ConfigProblem::new(
                "linger",
                "must be between 0 and 86400 seconds",
            ));
        }
        if self.password.workers > 256 {
            problems.push(ConfigProblem::new(
                "password.workers",
                "must be between 0 and 256",
            ));
        }
        if !(1..=100_000).contains(&self.password.queue) {
            problems.push(ConfigProblem::new(
                "password.queue",
                "must be between 1 and 100000",
            ));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            problems.push(ConfigProblem::new(
                "log.level",
                format!("{:?}: {error}", self.log.level),
            ));
        } else if let Some(word) = no_level(&self.log.level) {
            problems.push(ConfigProblem::new(
                "log.level",
                format!(
                    "{word:?} is no level: say off, error, warn, info, debug or trace, and {word}=debug for one part alone"
                ),
            ));
        }
        if let Some(tls) = &self.tls
            && let Err(error) = net::ServerTls::load(tls)
        {
            problems.push(ConfigProblem::new("tls", error.to_string()));
        }
        within("store", self.store.check(), problems);
        if let Some(oauth) = &self.oauth {
            within("oauth", oauth.check(), problems);
        }
    }

    fn check_names(&self, problems: &mut Vec<ConfigProblem>) {
        let connectors = self.connector.iter().map(|connector| connector.name.as_str());
        let maps = self.user_map.iter().map(|map| map.name.as_str());
        let homes = self.home.iter().map(|home| home.name.as_str());
        unique("connector", connectors, problems);
        unique("user_map", maps, problems);
        unique("home", homes, problems);
        unique(
            "domain",
            self.domain.iter().map(|domain| domain.name.as_str()),
            problems,
        );
    }

    fn check_sessions(&self, problems: &mut Vec<ConfigProblem>) {
        within("sessions", self.sessions.check(), problems);
        let names = self
            .trusted_front_end
            .iter()
            .map(|front_end| front_end.name.as_str());
        unique("trusted_front_end", names, problems);
        for (index, front_end) in self.trusted_front_end.iter().enumerate() {
            within(&format!("trusted_front_end.{index}"), front_end.check(), problems);
        }
        if self.holds_accounts == Some(false) && !self.is_front_end_only() {
            let message = "smtp, lmtp, imap and pop3 listeners serve accounts; remove them, or this key";
            problems.push(ConfigProblem::new("holds_accounts", message));
        }
        if !self.holds_accounts() && self.holds_accounts.is_none() && store::Store::is_in(&self.data_dir) {
            let message = format!(
                "with *_proxy listeners only, this is a front end without accounts, but {} holds some; say true to \
                 serve them in process, or false to leave them alone",
                self.data_dir.display()
            );
            problems.push(ConfigProblem::new("holds_accounts", message));
        }
    }

    fn check_directory(&self, problems: &mut Vec<ConfigProblem>) {
        let names: Vec<&str> = self
            .connector
            .iter()
            .map(|connector| connector.name.as_str())
            .collect();
        for (index, connector) in self.connector.iter().enumerate() {
            within(&format!("connector.{index}"), connector.check(), problems);
            // The machine's name is whatever it came up with; the entries of everybody would be told it.
            let writes = connector.direction != Direction::LdapToLocal;
            if connector.clustered && writes && !self.source.says("server_name") {
                let message = format!(
                    "connector {} writes this name into entries (clustered), so it has to be said; write for example \
                     server_name = {:?}",
                    connector.name, self.server_name
                );
                problems.push(ConfigProblem::new("server_name", message));
            }
        }
        for (index, map) in self.user_map.iter().enumerate() {
            within(&format!("user_map.{index}"), map.check(&names), problems);
        }
        for (index, home) in self.home.iter().enumerate() {
            within(&format!("home.{index}"), home.check(), problems);
        }
    }

    fn check_services(&self, problems: &mut Vec<ConfigProblem>) {
        let services = self.listeners().map(|(name, _)| name);
        net::AccessRule::check_all(&self.access, "access", &services, problems);
        within("smtp", self.smtp.check(), problems);
        within("lmtp", self.lmtp.check(), problems);
        within("imap", self.imap.check(), problems);
        within("pop3", self.pop3.check(), problems);
        let maps: Vec<&str> = self.user_map.iter().map(|map| map.name.as_str()).collect();
        let sources = self.password_sources();
        let connectors: Vec<&str> = self
            .connector
            .iter()
            .map(|connector| connector.name.as_str())
            .collect();
        within("smtp_proxy", self.smtp_proxy.check(&maps, &connectors), problems);
        within(
            "lmtp_proxy",
            self.lmtp_proxy.check_lmtp(&maps, &connectors),
            problems,
        );
        self.check_certificates(problems);
        within("imap_proxy", self.imap_proxy.check(&maps, &sources), problems);
        within("pop3_proxy", self.pop3_proxy.check(&maps, &sources), problems);
        within(
            "managesieve_proxy",
            self.managesieve_proxy.check(&maps, &sources),
            problems,
        );
        within(
            "submission_proxy",
            self.submission_proxy.check(&maps, &sources),
            problems,
        );
        within("http_proxy", self.http_proxy.check(&maps, &sources), problems);
        for (protocol, service, section) in self.login_proxies() {
            if section.listener.is_empty() {
                continue;
            }
            if section.authenticate == frontend::AuthenticateAt::Home {
                self.check_unproven(protocol, service, problems);
                continue;
            }
            let can_check = |name: &String| sources.contains(&name.as_str());
            if section.auth.is_empty() && !section.user_maps.iter().any(can_check) {
                let message = "none of user_maps can check a password; name a map of an ldap- kind in auth, or write \
                               authenticate = \"home\"";
                problems.push(ConfigProblem::new(format!("{service}.auth"), message));
            }
        }
    }

    /// Nobody shows a certificate who is not asked for one.
    fn check_certificates(&self, problems: &mut Vec<ConfigProblem>) {
        if self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
            return;
        }
        let message =
            "clients are asked for certificates only with client_ca in [tls]; name the authority there";
        for (service, listeners) in self.listeners() {
            let naming =
                |(_, listener): &(usize, &net::ListenerConfig)| !listener.trusted_certificates.is_empty();
            for (index, _) in listeners.iter().enumerate().filter(naming) {
                let key = format!("{service}.listener.{index}.trusted_certificates");
                problems.push(ConfigProblem::new(key, message));
            }
        }
        if !self.smtp_proxy.relay_certificates.is_empty() {
            problems.push(ConfigProblem::new("smtp_proxy.relay_certificates", message));
        }
    }

    /// A home that takes the front end's word needs a front end that has checked the login.
    fn check_unproven(&self, protocol: Protocol, service: &str, problems: &mut Vec<ConfigProblem>) {
        for (index, home) in self.home.iter().enumerate() {
            if home.service(protocol).login != LoginMode::Replay {
                let message = format!(
                    "with {service}.authenticate = \"home\" nobody would check the password; write \"edge\" there or \
                     login = \"replay\" here"
                );
                problems.push(ConfigProblem::new(
                    format!("home.{index}.{protocol}.login"),
                    message,
                ));
            }
        }
    }

    /// What a proxy's `auth` may name.
    fn password_sources(&self) -> Vec<&str> {
        let ldap = self
            .user_map
            .iter()
            .filter(|map| map.kind != MapKind::LocalFile)
            .map(|map| map.name.as_str());
        ldap.chain(self.holds_accounts().then_some("local")).collect()
    }

    /// An alias has one main domain and no life of its own.
    fn check_aliases(&self, problems: &mut Vec<ConfigProblem>) {
        let mut seen: HashMap<&Domain, &Domain> = HashMap::new();
        for (index, domain) in self.domain.iter().enumerate() {
            for (number, alias) in domain.aliases.iter().enumerate() {
                let mut problem = |message: String| {
                    problems.push(ConfigProblem::new(
                        format!("domain.{index}.aliases.{number}"),
                        message,
                    ));
                };
                if self.domain.iter().any(|other| other.name == *alias) {
                    problem(format!(
                        "{alias} is a [[domain]] itself; it can be only one of both"
                    ));
                } else if let Some(other) = seen.insert(alias, &domain.name) {
                    problem(format!("{alias} is already an alias of {other}"));
                }
            }
        }
        for (index, connector) in self.connector.iter().enumerate() {
            for (number, domain) in connector.domains.iter().enumerate() {
                if let Some(main) = seen.get(domain) {
                    let message =
                        format!("{domain} is an alias of {main} and needs no mention; write {main}");
                    let key = format!("connector.{index}.domains.{number}");
                    problems.push(ConfigProblem::new(key, message));
                }
            }
        }
    }

    fn check_domains(&self, problems: &mut Vec<ConfigProblem>) {
        for (index, domain) in self.domain.iter().enumerate() {
            let key = |name: &str| format!("domain.{index}.{name}");
            let asks_directory = domain.auth.iter().any(|method| *method != AuthMethod::Local);
            match &domain.connector {
                Some(name) if !self.connector.iter().any(|connector| connector.name == *name) => {
                    let message = format!("there is no [[connector]] named {name:?}");
                    problems.push(ConfigProblem::new(key("connector"), message));
                }
                None if asks_directory && self.connector.len() != 1 => {
                    let message =
                        "an ldap- method needs connector = \"NAME\" when there is not exactly one connector";
                    problems.push(ConfigProblem::new(key("auth"), message));
                }
                _ => {}
            }
            if domain.auth.contains(&AuthMethod::Local) && !self.holds_accounts() {
                let message = "this server holds no accounts, so \"local\" can never answer; leave it out";
                problems.push(ConfigProblem::new(key("auth"), message));
            }
        }
    }

    /// One address cannot serve two listeners; port 0 is any free one.
    fn check_addresses(&self, problems: &mut Vec<ConfigProblem>) {
        let mut seen: HashMap<SocketAddr, &str> = HashMap::new();
        for (service, listeners) in self.listeners() {
            let wants_tls =
                |listener: &net::ListenerConfig| listener.tls.is_some_and(|mode| mode != net::TlsMode::None);
            for (index, _) in listeners
                .iter()
                .enumerate()
                .filter(|(_, listener)| wants_tls(listener))
            {
                if self.tls.is_none() {
                    let message = "needs a certificate; add a [tls] section with certificate and key";
                    problems.push(ConfigProblem::new(
                        format!("{service}.listener.{index}.tls"),
                        message,
                    ));
                }
            }
            for (index, listener) in listeners
                .iter()
                .enumerate()
                .filter(|(_, listener)| listener.address.port() != 0)
            {
                // Repeats within one service are found by the service itself.
                match seen.insert(listener.address, service) {
                    Some(other) if other != service => problems.push(ConfigProblem::new(
                        format!("{service}.listener.{index}.address"),
                        format!("{} is already used by [[{other}.listener]]", listener.address),
                    )),
                    _ => {}
                }
            }
        }
    }
}

/// Puts the section's path before the keys of its problems.
/// A word of a log level that is none: the library would take it for the name of a part, and keep silent about all others.
fn no_level(text: &str) -> Option<&str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // Spans are written with brackets, and may hold commas.
    if text.contains('[') {
        return None;
    }
    let is_level = |word: &str| {
        LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
            || matches!(word, "0" | "1" | "2" | "3" | "4" | "5")
    };
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty() && !word.contains('='))
        .find(|word| !is_level(word))
}

pub(super) fn within(section: &str, found: Vec<ConfigProblem>, problems: &mut Vec<ConfigProblem>) {
    problems.extend(found.into_iter().map(|problem| {
        let key = match (section, problem.key.as_str()) {
            (section, "") => section.to_owned(),
            ("", key) => key.to_owned(),
            (section, key) => format!("{section}.{key}"),
        };
        ConfigProblem::new(key, problem.message)
    }));
}

fn unique<'a>(section: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<ConfigProblem>) {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.insert(name.to_owned(), index) {
            let message = format!(
                "{name:?} is already the name of [[{section}]] number {}; names are unique",
                first + 1
            );
            problems.push(ConfigProblem::new(format!("{section}.{index}.name"), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::no_level;

    #[test]
    fn a_level_that_is_a_slip_is_found() {
        for good in [
            "info",
            "INFO",
            "warn,ldap=debug",
            "ldap=debug, info",
            "off",
            "net[login{user=\"a,b\"}]=debug",
        ] {
            assert_eq!(no_level(good), None, "{good}");
        }
        assert_eq!(no_level("inf"), Some("inf"));
        assert_eq!(no_level("ldap=debug,waring"), Some("waring"));
    }

    // A back end that writes its own name into entries is told that name.
    #[test]
    fn the_name_that_is_written_has_to_be_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("homing.toml");
        let problems = |name: &str, direction: &str, clustered: bool| {
            let text = format!(
                "{name}[[connector]]\nname = \"people\"\nuris = [\"ldap://127.0.0.1:1\"]\nserver_type = \"openldap\"\n\
                 accounts = {{ base_dn = [\"ou=people,dc=test\"] }}\ndomains = [\"example.test\"]\n\
                 direction = \"{direction}\"\nclustered = {clustered}\nattributes = {{ host = \"mailHost\" }}\n"
            );
            std::fs::write(&file, text).expect("written");
            match load(Some(&file)) {
                Ok(_) => String::new(),
                Err(errors) => errors.to_string(),
            }
        };
        let said = "server_name = \"mail1.example.test\"\n";
        for (name, direction, clustered, complains) in [
            ("", "both-ways", true, true),
            ("", "local-to-ldap", true, true),
            ("", "ldap-to-local", true, false),
            ("", "both-ways", false, false),
            (said, "both-ways", true, false),
        ] {
            let told = problems(name, direction, clustered);
            assert_eq!(
                told.contains("server_name"),
                complains,
                "{name:?} {direction} {clustered}: {told}"
            );
            assert!(complains || told.is_empty(), "{told}");
        }
    }
}
