//! Checks of a connector that need more than one key.

use super::{ConnectorConfig, ConnectorTls, SearchScope, ServerType, in_range};
use crate::patterns::Patterns;
use crate::write::Vocabulary;
use ldap::LdapUri;
use model::ConfigProblem;

/// More servers than this are a mistake.
const MAX_URIS: usize = 5;

impl ConnectorConfig {
    /// A connector to OpenLDAP with every optional key at its default.
    #[must_use]
    pub fn openldap(name: &str, uris: Vec<String>, account_bases: Vec<String>) -> Self {
        use super::sync::{
            Absent, ConflictResolution, ConflictScope, Direction, GuardConfig, OnDelete, OnHostChange,
        };
        Self {
            name: name.to_owned(),
            uris,
            server_type: ServerType::Openldap,
            bind_dn: None,
            bind_password: None,
            bind_password_file: None,
            bind_password_env: None,
            sasl_external: false,
            write_bind_dn: None,
            write_bind_password: None,
            write_bind_password_file: None,
            challenge_response: Vec::new(),
            password_upgrade: false,
            copy_passwords: false,
            password_scheme: super::PasswordScheme::default(),
            password_change: None,
            lockout_budget: 0,
            lockout_window: super::connector::default_lockout_window(),
            front_ends: super::connector::default_front_ends(),
            writes: super::WritesConfig::default(),
            referrals: super::Referrals::default(),
            tls: None,
            ca_file: None,
            client_cert: None,
            client_key: None,
            allow_plaintext: false,
            timeout: super::connector::default_timeout(),
            polling_interval: super::connector::default_polling_interval(),
            persist: super::connector::default_persist(),
            audit_interval: super::connector::default_audit_interval(),
            retry_interval: super::connector::default_retry_interval(),
            accounts: super::AccountsConfig {
                base_dn: account_bases,
                object_class: None,
                filter: None,
                scope: SearchScope::Sub,
                create_under: None,
                rdn: None,
            },
            groups: super::GroupsConfig::default(),
            address_pattern: None,
            login_pattern: None,
            search_pattern: None,
            domains: Vec::new(),
            default_domain: None,
            search_domain_aliases: false,
            domain_aliases: model::DomainAliases::default(),
            attributes: super::AttributesConfig::default(),
            direction: Direction::default(),
            conflict_resolution: ConflictResolution::default(),
            conflict_scope: ConflictScope::default(),
            clustered: false,
            on_delete: OnDelete::default(),
            retention: super::connector::default_retention(),
            absent: Absent::default(),
            on_host_change: OnHostChange::default(),
            guard: GuardConfig::default(),
            ask_first: super::connector::default_ask_first(),
            conflict_retention: super::connector::default_conflict_retention(),
            host_aliases: Vec::new(),
            replica_id: None,
            max_results: 0,
            max_entry: super::connector::default_max_entry(),
            credential_ttl: super::connector::default_credential_ttl(),
            page_size: super::connector::default_page_size(),
        }
    }

    /// A connector to Active Directory with every optional key at its default.
    #[must_use]
    pub fn active_directory(name: &str, uris: Vec<String>, account_bases: Vec<String>) -> Self {
        Self {
            server_type: ServerType::ActiveDirectory,
            ..Self::openldap(name, uris, account_bases)
        }
    }

    /// Everything wrong with this connector; keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if self.name.is_empty() {
            problems.push(ConfigProblem::new("name", "the name is empty"));
        }
        if self.replica_id.is_some_and(|id| !(1..=999).contains(&id)) {
            problems.push(ConfigProblem::new("replica_id", "must be 1 to 999"));
        }
        if !self.challenge_response.is_empty() {
            let mut bad = |message| problems.push(ConfigProblem::new("challenge_response", message));
            if self.server_type == ServerType::ActiveDirectory {
                bad("Active Directory never shows a password attribute; only passwords can be checked there");
            }
            if self.password_upgrade {
                bad(
                    "password_upgrade replaces clear text by a hash, which answers no challenge; use one of the two",
                );
            }
        }
        self.check_servers(&mut problems);
        self.check_identity(&mut problems);
        self.check_write_identity(&mut problems);
        self.writes.check(&mut problems);
        self.check_passwords(&mut problems);
        in_range(&mut problems, "timeout", self.timeout, 1..=600);
        in_range(
            &mut problems,
            "polling_interval",
            self.polling_interval,
            1..=86_400,
        );
        in_range(&mut problems, "audit_interval", self.audit_interval, 1..=86_400);
        in_range(&mut problems, "retry_interval", self.retry_interval, 1..=60);
        in_range(&mut problems, "retention", self.retention, 1..=3650);
        in_range(
            &mut problems,
            "conflict_retention",
            self.conflict_retention,
            1..=3650,
        );
        in_range(&mut problems, "max_entry", u64::from(self.max_entry), 1..=1024);
        in_range(&mut problems, "credential_ttl", self.credential_ttl, 0..=3_600);
        in_range(&mut problems, "page_size", u64::from(self.page_size), 1..=10_000);
        in_range(&mut problems, "guard.limit", self.guard.limit, 1..=1_000_000);
        in_range(&mut problems, "guard.floor", self.guard.floor, 0..=1_000_000);
        in_range(&mut problems, "guard.percent", self.guard.percent, 1..=100);
        if self.search_pattern.is_some() && (self.address_pattern.is_some() || self.login_pattern.is_some()) {
            let message = "search_pattern sets address_pattern and login_pattern; use either it or those";
            problems.push(ConfigProblem::new("search_pattern", message));
        }
        if let Some(domain) = &self.default_domain
            && !self.domains.is_empty()
            && !self.domains.contains(domain)
        {
            let message = format!("{domain} is not one of this connector's domains");
            problems.push(ConfigProblem::new("default_domain", message));
        }
        if self.clustered && !self.has_host() {
            let message = "clustered needs attributes.host, which has no default on Active Directory";
            problems.push(ConfigProblem::new("attributes.host", message));
        }
        match Patterns::new(self) {
            Ok(patterns) => problems.extend(Vocabulary::of(self, &patterns).err().unwrap_or_default()),
            Err(found) => problems.extend(found),
        }
        problems
    }

    /// Whether entries of this connector name their home: routing needs it.
    #[must_use]
    pub fn has_host(&self) -> bool {
        self.attributes.resolve(self.server_type).host.is_some()
    }

    fn check_servers(&self, problems: &mut Vec<ConfigProblem>) {
        if self.uris.is_empty() || self.uris.len() > MAX_URIS {
            let message = format!("{} servers are listed; name 1 to {MAX_URIS}", self.uris.len());
            problems.push(ConfigProblem::new("uris", message));
        }
        for (index, text) in self.uris.iter().enumerate() {
            let key = format!("uris.{index}");
            match LdapUri::parse(text) {
                Err(error) => problems.push(ConfigProblem::new(key, format!("{text:?}: {error}"))),
                Ok(uri) => {
                    let plain = matches!(uri, LdapUri::Ldap { .. }) && !uri.is_loopback();
                    if plain && self.tls == Some(ConnectorTls::None) && !self.allow_plaintext {
                        let message = format!(
                            "{text} would carry passwords in the clear: use starttls or ldaps://, or set allow_plaintext = true"
                        );
                        problems.push(ConfigProblem::new("tls", message));
                    }
                }
            }
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            let message = "client_cert and client_key are set together or not at all";
            problems.push(ConfigProblem::new("client_key", message));
        }
    }

    fn check_identity(&self, problems: &mut Vec<ConfigProblem>) {
        let sources = [
            self.bind_password.is_some(),
            self.bind_password_file.is_some(),
            self.bind_password_env.is_some(),
        ];
        let count = sources.iter().filter(|given| **given).count();
        let mut problem = |key: &str, message: &str| problems.push(ConfigProblem::new(key, message));
        if count > 1 {
            problem(
                "bind_password",
                "set only one of bind_password, bind_password_file and bind_password_env",
            );
        }
        match (&self.bind_dn, self.sasl_external) {
            (Some(_), true) => problem("sasl_external", "with sasl_external there is no bind_dn"),
            // RFC 4513 section 5.1.2: a DN without a password is an anonymous bind that looks like another.
            (Some(_), false) if count == 0 => problem("bind_password", "bind_dn needs a password"),
            (None, _) if count > 0 => problem("bind_dn", "a password without bind_dn is used for nothing"),
            _ => {}
        }
        if self.bind_password.as_ref().is_some_and(model::Secret::is_empty) {
            problem("bind_password", "the password is empty");
        }
        if let Some(dn) = &self.bind_dn
            && let Err(error) = self.bind_name(dn)
        {
            problems.push(ConfigProblem::new("bind_dn", format!("{dn:?}: {error}")));
        }
    }

    /// Active Directory also takes `user@domain` and `DOMAIN\user` for a name (MS-ADTS section 5.1.1.1.1).
    fn bind_name(&self, name: &str) -> Result<(), ldap::DnError> {
        let other_forms = self.server_type == ServerType::ActiveDirectory && !name.contains('=');
        if other_forms && name.contains(['@', '\\']) {
            return Ok(());
        }
        ldap::Dn::parse(name).map(drop)
    }

    fn check_write_identity(&self, problems: &mut Vec<ConfigProblem>) {
        let mut problem = |key: &str, message: String| problems.push(ConfigProblem::new(key, message));
        let count = usize::from(self.write_bind_password.is_some())
            + usize::from(self.write_bind_password_file.is_some());
        match (&self.write_bind_dn, count) {
            (_, 2..) => problem(
                "write_bind_password",
                "set only one of write_bind_password and write_bind_password_file".to_owned(),
            ),
            (Some(_), 0) => problem("write_bind_password", "write_bind_dn needs a password".to_owned()),
            (None, 1) => problem(
                "write_bind_dn",
                "a password without write_bind_dn is used for nothing".to_owned(),
            ),
            _ => {}
        }
        if self
            .write_bind_password
            .as_ref()
            .is_some_and(model::Secret::is_empty)
        {
            problem("write_bind_password", "the password is empty".to_owned());
        }
        if let Some(dn) = &self.write_bind_dn
            && let Err(error) = self.bind_name(dn)
        {
            problem("write_bind_dn", format!("{dn:?}: {error}"));
        }
    }
}
