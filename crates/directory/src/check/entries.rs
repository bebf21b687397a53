//! The entries themselves: all are counted, the first ones are looked at closely.

use super::{CheckOptions, Need, Report, server};
use crate::EntryProblem;
use crate::account::{DirectoryAccount, Host, wanted};
use crate::config::{ConnectorConfig, PasswordEncoding, SearchScope, ServerType};
use crate::patterns::{EntryKind, Half, Patterns};
use ldap::{Client, Entry, LdapError, ResultCode, Scope, SearchRequest};
use model::{Clock, Timestamp};
use password::StoredPassword;
use std::collections::{BTreeMap, HashMap};

/// Entries named in one line.
const EXAMPLES: usize = 5;
/// Domains that are counted; a directory with more is no mistake of one domain.
const DOMAINS: usize = 1000;

/// Entries with one fault: how many, and some of them.
#[derive(Default)]
struct Faulty {
    count: usize,
    examples: Vec<String>,
}

impl Faulty {
    fn add(&mut self, text: impl Into<String>) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(text.into());
        }
    }

    fn text(&self, what: &str) -> String {
        let more = if self.count > self.examples.len() {
            " | ..."
        } else {
            ""
        };
        format!("{} {what}: {}{more}", self.count, self.examples.join(" | "))
    }
}

/// What the close look saw.
#[derive(Default)]
struct Seen {
    looked_at: usize,
    accounts: usize,
    groups: usize,
    passwords: usize,
    no_identity: Faulty,
    no_address: Faulty,
    no_host: Faulty,
    /// Groups may go to `group_home` of the front end.
    groups_without_host: Faulty,
    several_hosts: Faulty,
    no_password: Faulty,
    bad_password: Faulty,
    doubles: Faulty,
    weak: BTreeMap<String, usize>,
    addresses: HashMap<String, String>,
    domains: BTreeMap<String, usize>,
}

pub(super) async fn look(
    client: &Client,
    config: &ConnectorConfig,
    patterns: &Patterns,
    clock: &dyn Clock,
    ask: CheckOptions,
    report: &mut Report,
) {
    let mut seen = Seen::default();
    let before = report.findings.len();
    for kind in [EntryKind::Account, EntryKind::Group] {
        let Some(half) = patterns.half(kind) else { continue };
        for base in &half.bases {
            let look = Look {
                patterns,
                half,
                kind,
                ask,
                now: clock.now(),
                encoding: config.attributes.password_encoding,
            };
            let result = look.read(client, &base.to_string(), config, &mut seen).await;
            if let Err(error) = result {
                stopped(&base.to_string(), &error, report);
            }
        }
    }
    if config.max_results > 0
        && seen.accounts + seen.groups > config.max_results.try_into().unwrap_or(usize::MAX)
    {
        let text = format!(
            "{} accounts and groups are more than max_results = {}",
            seen.accounts + seen.groups,
            config.max_results
        );
        report.wrong(
            "limits",
            text,
            "raise max_results, or look at base_dn and filter: until then nothing is read",
        );
    }
    if report.findings.len() == before {
        report.good("limits", "no search stops at a limit");
    }
    let text = format!(
        "{} accounts and {} groups; looked at {} of them closely",
        seen.accounts, seen.groups, seen.looked_at
    );
    report.good("entries", text);
    seen.tell(patterns, ask, report);
    report.domains = seen.domains;
}

/// A search that ended early: everything after this point would be missing.
fn stopped(base: &str, error: &LdapError, report: &mut Report) {
    let remedy = match error.code() {
        Some(
            ResultCode::SizeLimitExceeded | ResultCode::TimeLimitExceeded | ResultCode::AdminLimitExceeded,
        ) => {
            "lift the limits of the service identity: olcLimits (slapd.conf: limits) dn.exact=\"BIND_DN\" \
             size=unlimited time=unlimited"
        }
        // The bases were looked at before.
        Some(ResultCode::NoSuchObject) => return,
        _ => server::RIGHTS,
    };
    report.wrong(
        "limits",
        format!("the search below {base} stopped: {error}"),
        remedy,
    );
}

struct Look<'a> {
    patterns: &'a Patterns,
    half: &'a Half,
    kind: EntryKind,
    ask: CheckOptions,
    now: Timestamp,
    encoding: PasswordEncoding,
}

impl Look<'_> {
    async fn read(
        &self,
        client: &Client,
        base: &str,
        config: &ConnectorConfig,
        seen: &mut Seen,
    ) -> Result<(), LdapError> {
        let scope = match self.half.scope {
            SearchScope::One => Scope::OneLevel,
            SearchScope::Sub => Scope::Subtree,
        };
        let mut attributes = wanted(self.patterns, self.kind);
        if self.kind == EntryKind::Account {
            attributes.push(self.patterns.map.password.clone());
        }
        let request = SearchRequest::new(base, scope, self.half.filter()).attributes(attributes);
        match config.server_type {
            // In one piece, as the change feed asks: limits show.
            ServerType::Openldap => {
                let mut stream = client.search(request).await?;
                while let Some((entry, _)) = stream.next_entry().await? {
                    self.entry(&entry, seen);
                }
            }
            ServerType::ActiveDirectory => {
                let mut pages = client.search_paged(request, config.page_size).await?;
                while let Some(entry) = pages.next_entry().await? {
                    self.entry(&entry, seen);
                }
            }
        }
        Ok(())
    }

    fn entry(&self, entry: &Entry, seen: &mut Seen) {
        match self.kind {
            EntryKind::Account => seen.accounts += 1,
            EntryKind::Group => seen.groups += 1,
        }
        if seen.looked_at >= self.ask.sample {
            return;
        }
        seen.looked_at += 1;
        match DirectoryAccount::read(entry, self.kind, self.patterns, self.now) {
            Ok(account) => self.account(&account, seen),
            Err(EntryProblem::NoUuid { dn }) => seen.no_identity.add(dn),
            Err(problem) => seen.no_address.add(problem.to_string()),
        }
        if self.kind == EntryKind::Account {
            self.password(entry, seen);
        }
    }

    fn account(&self, account: &DirectoryAccount, seen: &mut Seen) {
        let domain = account.address.domain_str().to_lowercase();
        if seen.domains.len() < DOMAINS || seen.domains.contains_key(&domain) {
            *seen.domains.entry(domain).or_default() += 1;
        }
        match &account.host {
            Host::One(_) => {}
            Host::None if account.kind == EntryKind::Group => seen.groups_without_host.add(&account.dn),
            Host::None => seen.no_host.add(&account.dn),
            Host::Several(_) => seen.several_hosts.add(&account.dn),
        }
        for address in std::iter::once(&account.address).chain(&account.aliases) {
            let key = address.as_str().to_lowercase();
            match seen.addresses.get(&key) {
                Some(other) if *other != account.dn => {
                    let text = format!("{address} ({} and {other})", account.dn);
                    seen.doubles.add(text);
                }
                Some(_) => {}
                None => {
                    seen.addresses.insert(key, account.dn.clone());
                }
            }
        }
    }

    fn password(&self, entry: &Entry, seen: &mut Seen) {
        let values = entry.get(&self.patterns.map.password);
        if values.iter().all(|value| value.is_empty()) {
            seen.no_password.add(&entry.dn);
            return;
        }
        seen.passwords += 1;
        for value in values {
            match StoredPassword::parse(value, self.encoding.into()) {
                Ok(stored) if stored.scheme().is_weak() => {
                    *seen.weak.entry(stored.scheme().to_string()).or_default() += 1;
                }
                // `{SASL}` is no hash: the directory asks elsewhere.
                Ok(_) | Err(password::SchemeError::BindInstead) => {}
                Err(error) => seen.bad_password.add(format!("{}: {error}", entry.dn)),
            }
        }
    }
}

impl Seen {
    fn tell(&self, patterns: &Patterns, ask: CheckOptions, report: &mut Report) {
        self.tell_addresses(patterns, report);
        self.tell_hosts(patterns, ask, report);
        if patterns.server == ServerType::Openldap {
            self.tell_passwords(patterns, ask, report);
        }
    }

    fn tell_addresses(&self, patterns: &Patterns, report: &mut Report) {
        if self.no_identity.count > 0 {
            let text = self.no_identity.text("entries without entryUUID or objectGUID");
            report.wrong(
                "identity",
                text,
                "grant the service identity read access to operational attributes",
            );
        }
        if self.no_address.count > 0 {
            let remedy = format!(
                "they have no mail; give them a value of {}, or leave them out with accounts.filter or groups.filter",
                patterns.map.mail
            );
            report.note(
                "address",
                self.no_address.text("entries without an address"),
                remedy,
            );
        }
        if self.doubles.count > 0 {
            let remedy = "remove it from one of them: mail to it is deferred, and nobody logs in by it";
            report.wrong("address", self.doubles.text("addresses in two entries"), remedy);
        } else if !self.addresses.is_empty() {
            report.good("address", "no address is in two entries");
        }
    }

    fn tell_hosts(&self, patterns: &Patterns, ask: CheckOptions, report: &mut Report) {
        let Some(attribute) = &patterns.map.host else {
            return;
        };
        if self.several_hosts.count > 0 {
            let remedy = format!("leave one value of {attribute}; until then they have no home");
            report.wrong(
                "host",
                self.several_hosts.text("entries with several hosts"),
                remedy,
            );
        }
        if self.groups_without_host.count > 0 {
            let remedy =
                format!("set {attribute}, or group_home in [smtp_proxy]: until then their mail has no home");
            report.note(
                "host",
                self.groups_without_host.text("groups without a host"),
                remedy,
            );
        }
        if self.no_host.count == 0 {
            if self.several_hosts.count == 0 && !self.addresses.is_empty() {
                report.good("host", format!("every entry has one {attribute}"));
            }
            return;
        }
        let text = self.no_host.text("entries without a host");
        match ask.hosts {
            Need::Needed => {
                let remedy =
                    format!("set {attribute} to the server_name of the back end that holds the mail");
                report.wrong("host", text, remedy);
            }
            Need::Optional => report.note("host", text, "needed as soon as a user map asks this connector"),
        }
    }

    fn tell_passwords(&self, patterns: &Patterns, ask: CheckOptions, report: &mut Report) {
        let attribute = &patterns.map.password;
        let nobody = self.passwords == 0 && self.no_password.count > 0;
        if nobody {
            let text = format!("no entry shows {attribute}");
            match ask.passwords {
                Need::Needed => {
                    let remedy =
                        format!("grant the service identity read access to {attribute}, or use ldap-bind");
                    report.wrong("password", text, remedy);
                }
                Need::Optional => {
                    report.note("password", text, "fine with ldap-bind: the directory compares")
                }
            }
            return;
        }
        if self.no_password.count > 0 {
            let text = self.no_password.text("entries without a password");
            report.note(
                "password",
                text,
                format!("they cannot log in; set {attribute} with ldappasswd"),
            );
        } else if self.passwords > 0 {
            report.good("password", format!("every entry shows {attribute}"));
        }
        if self.bad_password.count > 0 {
            let text = self.bad_password.text("password values that cannot be read");
            let remedy = "set these passwords anew; see attributes.password_encoding for base64";
            match ask.passwords {
                Need::Needed => report.wrong("password", text, remedy),
                Need::Optional => report.note("password", text, remedy),
            }
        }
        if !self.weak.is_empty() {
            let list: Vec<String> = self
                .weak
                .iter()
                .map(|(name, count)| format!("{count} {name}"))
                .collect();
            let text = format!("passwords in weak schemes: {}", list.join(", "));
            report.note(
                "scheme",
                text,
                "let users set new passwords, kept as {ARGON2}, or as {CRYPT} with $6$ or $y$",
            );
        } else if self.passwords > 0 {
            report.good("scheme", "no password is kept in a weak scheme");
        }
    }
}
