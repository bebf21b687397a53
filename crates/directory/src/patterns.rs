//! What a connector's patterns, bases and filters mean, parsed once when the configuration is read.

use crate::config::{AttributeMap, ConnectorConfig, SearchScope, ServerType};
use ldap::{Dn, Entry, Filter, FilterTemplate, Slots};
use model::{Address, AddressError, ConfigProblem, Domain, DomainAliases};
use std::collections::BTreeSet;

/// Whether an entry is a person's account or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An account.
    Account,
    /// A group (distribution list).
    Group,
}

/// One half of the connector's scope.
#[derive(Debug, Clone)]
pub(crate) struct Half {
    pub(crate) bases: Vec<Dn>,
    pub(crate) scope: SearchScope,
    object_class: String,
    extra: Option<Filter>,
}

impl Half {
    /// `(&(objectClass=..)(extra))`
    pub(crate) fn filter(&self) -> Filter {
        let class = equality("objectClass", &self.object_class);
        match &self.extra {
            None => class,
            Some(extra) => Filter::And(vec![class, extra.clone()]),
        }
    }

    pub(crate) fn object_class(&self) -> &str {
        &self.object_class
    }

    fn holds(&self, dn: &Dn, entry: &Entry) -> bool {
        entry.has_object_class(&self.object_class) && self.spans(dn)
    }

    /// Whether everything right below this name is in its scope. The base itself stands below a name that is not.
    fn spans_all_of(&self, parent: &Dn) -> bool {
        self.bases.iter().any(|base| match self.scope {
            SearchScope::Sub => parent == base || parent.is_below(base),
            SearchScope::One => parent == base,
        })
    }

    /// Whether entries of this half may stand here.
    pub(crate) fn spans(&self, dn: &Dn) -> bool {
        self.bases.iter().any(|base| match self.scope {
            SearchScope::Sub => dn.is_below(base),
            SearchScope::One => dn.parent().as_ref() == Some(base),
        })
    }
}

/// Where the last entry of a feed stood, and whether all that stand there are accounts, or groups, by their place.
#[derive(Debug, Default)]
pub(crate) struct Place {
    parent: String,
    accounts: bool,
    groups: bool,
}

/// What follows the first component of a name in which nothing is escaped or quoted (RFC 4514 section 2.4), as written.
fn plain_parent(dn: &str) -> Option<&str> {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._@".contains(octet);
    let (rdn, parent) = dn.split_once(',')?;
    let (name, value) = rdn.split_once('=')?;
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let is_plain = is_name && !value.is_empty() && value.as_bytes().iter().all(plain);
    // A name ends with no comma; what is empty would be the root.
    (is_plain && !parent.trim().is_empty()).then_some(parent)
}

/// A login as the client typed it, made ready for the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) address: Option<String>,
    pub(crate) local_part: Option<String>,
    pub(crate) domain: Option<String>,
}

/// The parsed form of a connector's search settings.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    pub(crate) accounts: Half,
    pub(crate) groups: Option<Half>,
    /// The lowest entry above all bases: where the change feed searches.
    pub(crate) top: Dn,
    pub(crate) map: AttributeMap,
    pub(crate) server: ServerType,
    address: FilterTemplate,
    login: FilterTemplate,
    domains: Vec<Domain>,
    default_domain: Option<Domain>,
    aliases: DomainAliases,
    /// Whether entries may be written in alias domains.
    tries_aliases: bool,
}

impl Patterns {
    /// Parses everything, or says all that is wrong; keys are relative to the connector.
    pub(crate) fn new(config: &ConnectorConfig) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let map = config.attributes.resolve(config.server_type);
        let (class, group_class) = match config.server_type {
            ServerType::Openldap => ("inetOrgPerson", "groupOfNames"),
            ServerType::ActiveDirectory => ("user", "group"),
        };
        let accounts = &config.accounts;
        if accounts.base_dn.is_empty() {
            problems.push(ConfigProblem::new(
                "accounts.base_dn",
                "name at least one base DN",
            ));
        }
        let accounts = Half {
            bases: parse_bases("accounts", &accounts.base_dn, &mut problems),
            scope: accounts.scope,
            object_class: accounts.object_class.clone().unwrap_or_else(|| class.to_owned()),
            extra: parse_filter("accounts", accounts.filter.as_deref(), &mut problems),
        };
        let groups = &config.groups;
        if groups.base_dn.is_empty() && (groups.filter.is_some() || groups.object_class.is_some()) {
            let message = "groups need a base DN; without one there are no groups";
            problems.push(ConfigProblem::new("groups.base_dn", message));
        }
        let groups = (!groups.base_dn.is_empty()).then(|| Half {
            bases: parse_bases("groups", &groups.base_dn, &mut problems),
            scope: groups.scope,
            object_class: groups
                .object_class
                .clone()
                .unwrap_or_else(|| group_class.to_owned()),
            extra: parse_filter("groups", groups.filter.as_deref(), &mut problems),
        });
        let (address_text, login_text) = texts(config, &map);
        let address = parse_template(config, "address_pattern", &address_text, &mut problems);
        let login = parse_template(config, "login_pattern", &login_text, &mut problems);
        let bases = accounts
            .bases
            .iter()
            .chain(groups.iter().flat_map(|half| &half.bases));
        let top = common_ancestor(bases);
        if top.as_ref().is_some_and(Dn::is_root) {
            let message = "all base DNs must lie in one naming context; use one connector for each context";
            problems.push(ConfigProblem::new("accounts.base_dn", message));
        }
        match (address, login, top) {
            (Some(address), Some(login), Some(top)) if problems.is_empty() => Ok(Self {
                accounts,
                groups,
                top,
                server: config.server_type,
                map,
                address,
                login,
                domains: config.domains.clone(),
                default_domain: default_domain(config),
                aliases: config.domain_aliases.clone(),
                tries_aliases: config.search_domain_aliases,
            }),
            _ => Err(problems),
        }
    }

    /// The filter that finds the account or group of this address.
    pub(crate) fn for_address(&self, kind: EntryKind, address: &Address) -> Option<Filter> {
        let filters = self.spellings(address).into_iter();
        let filters = filters.filter_map(|spelling| self.for_spelling(kind, &spelling));
        self.narrowed(kind, any(filters.collect())?)
    }

    fn for_spelling(&self, kind: EntryKind, address: &Address) -> Option<Filter> {
        if let (EntryKind::Group, Some(attribute)) = (kind, &self.map.group_mail) {
            let bare = self.is_home_of_bare_names(address.domain_str());
            let bare = bare.then(|| equality(attribute, address.local_part()));
            let full = equality(attribute, address.as_str());
            return Some(Filter::Or(std::iter::once(full).chain(bare).collect()));
        }
        // As for logins: `alice@elsewhere.test` is not our `uid=alice`.
        let own = self.local_part_counts(address.domain_str());
        self.address.fill(&Slots {
            address: Some(address.as_str()),
            local_part: own.then(|| address.local_part()),
            domain: Some(address.domain_str()),
        })
    }

    /// The filter that finds the account with the catch-all `@domain`. No local-part applies, so only branches
    /// with `%e` (or `%d` alone) are left.
    pub(crate) fn for_catch_all(&self, domain: &str) -> Option<Filter> {
        let main = self.aliases.main_of(domain).map_or(domain, Domain::as_str);
        let fill = |domain: &str| {
            self.address.fill(&Slots {
                address: Some(&format!("@{domain}")),
                local_part: None,
                domain: None,
            })
        };
        let filters = std::iter::once(main).chain(self.alias_names(main));
        let filters = any(filters.filter_map(fill).collect())?;
        self.narrowed(EntryKind::Account, filters)
    }

    /// The filter that finds the account of a login.
    pub(crate) fn for_login(&self, login: &Login) -> Option<Filter> {
        let fill = |address: Option<&str>, domain: Option<&str>| {
            self.login.fill(&Slots {
                address,
                local_part: login.local_part.as_deref(),
                domain,
            })
        };
        let mut filters = vec![fill(login.address.as_deref(), login.domain.as_deref())];
        if let (Some(address), Some(main)) = (&login.address, &login.domain)
            && let Some((name, _)) = address.rsplit_once('@')
        {
            let others = self.alias_names(main);
            filters.extend(others.map(|alias| fill(Some(&format!("{name}@{alias}")), Some(alias))));
        }
        let filter = any(filters.into_iter().flatten().collect())?;
        self.narrowed(EntryKind::Account, filter)
    }

    /// What a typed login may stand for: `%u` applies to a bare login and to our own domains only, or
    /// `alice@elsewhere.test` would log in as our `uid=alice`.
    pub(crate) fn login(&self, text: &str) -> Login {
        let main = self.aliases.login(text);
        let text = main.as_deref().unwrap_or(text);
        match text.rsplit_once('@') {
            Some((local, domain)) => Login {
                address: Some(text.to_owned()),
                local_part: self.is_own(domain).then(|| local.to_owned()),
                domain: Some(domain.to_owned()),
            },
            None => Login {
                address: self
                    .default_domain
                    .as_ref()
                    .map(|domain| format!("{text}@{domain}")),
                local_part: Some(text.to_owned()),
                domain: self.default_domain.as_ref().map(ToString::to_string),
            },
        }
    }

    /// The address that is meant: in an alias domain it is the one in the main domain.
    pub(crate) fn meant(&self, address: &Address) -> Address {
        self.aliases.address(address.clone())
    }

    /// The address that a value of an entry stands for.
    pub(crate) fn read_address(&self, text: &str) -> Result<Address, AddressError> {
        let address = Address::parse(text)?;
        Ok(match self.tries_aliases {
            true => self.aliases.address(address),
            false => address,
        })
    }

    /// The domain that the catch-all `@domain` of an entry stands for.
    pub(crate) fn read_domain(&self, text: &str) -> Result<Domain, AddressError> {
        let domain = Domain::parse(text)?;
        Ok(match self.tries_aliases {
            true => self.aliases.domain(domain),
            false => domain,
        })
    }

    /// What decides how an address is spelled, for digests of the settings.
    pub(crate) fn spelling(&self) -> Option<&DomainAliases> {
        (self.tries_aliases && !self.aliases.is_empty()).then_some(&self.aliases)
    }

    /// As entries may write an address: in the main domain, and where they may, in its aliases.
    fn spellings(&self, address: &Address) -> Vec<Address> {
        let main = self.meant(address);
        let domain = main.domain();
        let mut all = vec![main.clone()];
        if self.tries_aliases {
            let others = self.aliases.aliases_of(domain.as_str());
            all.extend(others.map(|alias| main.in_domain(alias)));
        }
        all
    }

    fn alias_names<'a>(&'a self, main: &'a str) -> impl Iterator<Item = &'a str> {
        let aliases = self.tries_aliases.then(|| self.aliases.aliases_of(main));
        aliases.into_iter().flatten().map(Domain::as_str)
    }

    pub(crate) fn address_template(&self) -> &FilterTemplate {
        &self.address
    }

    pub(crate) fn login_template(&self) -> &FilterTemplate {
        &self.login
    }

    /// Whether a local-part of this domain is one of ours (`%u` in an address).
    pub(crate) fn local_part_counts(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.is_own(domain)
    }

    /// Accounts and groups together: what the change feed asks for.
    pub(crate) fn feed_filter(&self) -> Filter {
        match &self.groups {
            None => self.accounts.filter(),
            Some(groups) => Filter::Or(vec![self.accounts.filter(), groups.filter()]),
        }
    }

    /// The attributes that the further filters look at: a change of one takes entries into the scope, or out of it.
    pub(crate) fn filtered_by(&self) -> BTreeSet<String> {
        let halves = [Some(&self.accounts), self.groups.as_ref()];
        let further = halves
            .into_iter()
            .flatten()
            .filter_map(|half| half.extra.as_ref());
        further.flat_map(Filter::attributes).map(str::to_owned).collect()
    }

    /// What the entry is, by its class and place; none when it lies outside of the connector's scope. The
    /// further filters were applied by the server. `place` is where the entry before it stood.
    pub(crate) fn kind_beside(&self, entry: &Entry, place: &mut Place) -> Option<EntryKind> {
        self.kind_at(entry, place).or_else(|| self.kind_of(entry))
    }

    /// The same of a single entry.
    pub(crate) fn kind_of(&self, entry: &Entry) -> Option<EntryKind> {
        let dn = Dn::parse(&entry.dn).ok()?;
        if self.groups.as_ref().is_some_and(|half| half.holds(&dn, entry)) {
            Some(EntryKind::Group)
        } else if self.accounts.holds(&dn, entry) {
            Some(EntryKind::Account)
        } else {
            None
        }
    }

    /// What is in scope for sure: whose name is plain, and who stands where the one before stood, needs no reading of the name.
    fn kind_at(&self, entry: &Entry, place: &mut Place) -> Option<EntryKind> {
        let parent = plain_parent(&entry.dn)?;
        if place.parent != parent {
            *place = self.place(parent);
        }
        let groups = self.groups.as_ref();
        if groups.is_some_and(|half| entry.has_object_class(&half.object_class)) {
            return place.groups.then_some(EntryKind::Group);
        }
        let account = place.accounts && entry.has_object_class(&self.accounts.object_class);
        account.then_some(EntryKind::Account)
    }

    fn place(&self, parent: &str) -> Place {
        let dn = Dn::parse(parent).ok();
        let all = |half: &Half| dn.as_ref().is_some_and(|dn| half.spans_all_of(dn));
        Place {
            parent: parent.to_owned(),
            accounts: all(&self.accounts),
            groups: self.groups.as_ref().is_some_and(all),
        }
    }

    /// What an entry of which only the name is known may be, by its place alone: the server has matched its class.
    pub(crate) fn kind_by_place(&self, dn: &str) -> Option<EntryKind> {
        let dn = Dn::parse(dn).ok()?;
        if self.accounts.spans(&dn) {
            Some(EntryKind::Account)
        } else if self.groups.as_ref().is_some_and(|half| half.spans(&dn)) {
            Some(EntryKind::Group)
        } else {
            None
        }
    }

    /// The half of this kind.
    pub(crate) fn half(&self, kind: EntryKind) -> Option<&Half> {
        match kind {
            EntryKind::Account => Some(&self.accounts),
            EntryKind::Group => self.groups.as_ref(),
        }
    }

    /// The address of a group in `group_mail`'s spelling.
    pub(crate) fn group_address(&self, text: &str) -> Result<Address, model::AddressError> {
        match &self.default_domain {
            Some(domain) if !text.contains('@') => self.read_address(&format!("{text}@{domain}")),
            _ => self.read_address(text),
        }
    }

    /// A name without a domain belongs to one domain only, or one group would have many addresses.
    fn is_home_of_bare_names(&self, domain: &str) -> bool {
        let home = self.default_domain.as_ref();
        home.is_some_and(|home| home.as_str().eq_ignore_ascii_case(domain))
    }

    fn is_own(&self, domain: &str) -> bool {
        Domain::parse(domain).is_ok_and(|domain| self.domains.contains(&self.aliases.domain(domain)))
    }

    fn narrowed(&self, kind: EntryKind, filter: Filter) -> Option<Filter> {
        let half = self.half(kind)?;
        Some(Filter::And(vec![half.filter(), filter]))
    }
}

/// One of these filters; none when there is none.
fn any(mut filters: Vec<Filter>) -> Option<Filter> {
    match filters.len() {
        0 | 1 => filters.pop(),
        _ => Some(Filter::Or(filters)),
    }
}

/// The domain that completes a bare name.
fn default_domain(config: &ConnectorConfig) -> Option<Domain> {
    let only = match config.domains.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    config.default_domain.clone().or(only)
}

pub(crate) fn equality(attribute: &str, value: &str) -> Filter {
    Filter::Equality {
        attribute: attribute.to_owned(),
        value: value.as_bytes().to_vec().into(),
    }
}

/// The pattern texts in force. The defaults use the mapped attribute names.
pub(crate) fn texts(config: &ConnectorConfig, map: &AttributeMap) -> (String, String) {
    let (mail, aliases, login) = (&map.mail, &map.aliases, &map.login);
    let address = match config.server_type {
        ServerType::Openldap => format!("(|({mail}=%e)({aliases}=%e))"),
        ServerType::ActiveDirectory => format!("(|({mail}=%e)({aliases}=smtp:%e))"),
    };
    let login = match config.server_type {
        ServerType::Openldap => format!("(|({mail}=%e)({login}=%u))"),
        ServerType::ActiveDirectory => format!("(|(userPrincipalName=%e)({login}=%u))"),
    };
    let both = config.search_pattern.clone();
    let pick =
        |own: &Option<String>, default: String| own.clone().or_else(|| both.clone()).unwrap_or(default);
    (
        pick(&config.address_pattern, address),
        pick(&config.login_pattern, login),
    )
}

fn parse_template(
    config: &ConnectorConfig,
    key: &str,
    text: &str,
    problems: &mut Vec<ConfigProblem>,
) -> Option<FilterTemplate> {
    // The fault is in the key that the administrator wrote; a default fails only by a bad attribute name.
    let written = match key {
        "address_pattern" => config.address_pattern.is_some(),
        _ => config.login_pattern.is_some(),
    };
    let key = match (written, config.search_pattern.is_some()) {
        (true, _) => key,
        (false, true) => "search_pattern",
        (false, false) => "attributes",
    };
    match FilterTemplate::parse(text) {
        Ok(template) => {
            if template.uses(ldap::Slot::Address)
                || template.uses(ldap::Slot::LocalPart)
                || template.uses(ldap::Slot::Domain)
            {
                return Some(template);
            }
            let message =
                format!("{text} has none of the slots %e, %u, %d, so every lookup would match the same");
            problems.push(ConfigProblem::new(key, message));
            None
        }
        Err(error) => {
            problems.push(ConfigProblem::new(key, format!("{text}: {error}")));
            None
        }
    }
}

fn parse_bases(section: &str, texts: &[String], problems: &mut Vec<ConfigProblem>) -> Vec<Dn> {
    let mut bases = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let problem = match Dn::parse(text) {
            Ok(dn) if dn.is_root() => "the base DN is empty".to_owned(),
            Ok(dn) => {
                bases.push(dn);
                continue;
            }
            Err(error) => format!("{text:?}: {error}"),
        };
        problems.push(ConfigProblem::new(format!("{section}.base_dn.{index}"), problem));
    }
    bases
}

fn parse_filter(section: &str, text: Option<&str>, problems: &mut Vec<ConfigProblem>) -> Option<Filter> {
    match Filter::parse(text?) {
        Ok(filter) => Some(filter),
        Err(error) => {
            problems.push(ConfigProblem::new(format!("{section}.filter"), error.to_string()));
            None
        }
    }
}

/// The lowest entry that is each of these or above it.
pub(crate) fn common_ancestor<'a>(mut bases: impl Iterator<Item = &'a Dn>) -> Option<Dn> {
    let mut top = bases.next()?.clone();
    for base in bases {
        while &top != base && !base.is_below(&top) {
            top = top.parent()?;
        }
    }
    Some(top)
}

#[cfg(test)]
mod tests;
