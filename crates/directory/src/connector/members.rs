//! Who the members of a group are: from DNs or login names to lasting identities and addresses.

use super::indirect::Indirect;
use super::{Connector, ranges};
use crate::account::entry_uuid;
use crate::config::{SearchScope, ServerType};
use crate::patterns::{EntryKind, equality};
use crate::placeholder::is_placeholder;
use ldap::{Client, Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};
use model::{Address, EntryUuid, Unavailable};
use std::collections::{HashMap, HashSet};
use tokio::task::JoinSet;

/// Look-ups under way at once on the shared connection.
const AT_ONCE: usize = 16;
/// Entries asked for in one search.
const BATCH: usize = 100;
/// Groups in groups in groups: deeper is nobody's intention.
const MAX_DEPTH: usize = 16;

/// The members of a group as they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedMembers {
    /// Each member's lasting identity, and its address if it has one. The order means nothing.
    pub members: Vec<(EntryUuid, Option<Address>)>,
    /// Names that lead to no entry now: somebody who is gone, or somebody whose entry was renamed a moment ago while the
    /// group still has the old name. Placeholders are not among them.
    pub dangling: Vec<String>,
    /// Why it cannot be told who the members are, in the server's words: it refuses one of them, say. Then nothing
    /// above counts. It is a matter of this group; a server that does not answer is an error instead.
    pub unusable: Option<String>,
}

/// What the entries of members are asked for.
struct Asked {
    attributes: Vec<String>,
    mail: String,
}

impl Connector {
    /// Finds the entry of each member, a hundred in one search. A member is a DN (`member`, `uniqueMember`) or a
    /// login name (`memberUid`). A placeholder is left out; a DN that leads to no entry is told apart. One
    /// without an address is named without one, because it may get one later; but a group without an address
    /// stands for its own members, whatever the depth, and a group that holds itself is read once. The order is
    /// not kept.
    pub async fn resolve_members(&self, names: &[String]) -> Result<ResolvedMembers, Unavailable> {
        let client = self.service().await?;
        match self.resolve(&client, names).await {
            Ok(found) => Ok(found),
            // Whoever edits a group decides what is asked here. An answer is about that group, however odd it is;
            // only a server that gives none stands in the way of the others.
            Err(error) if !error.is_transient() || matches!(error, LdapError::Protocol(_)) => {
                Ok(ResolvedMembers {
                    unusable: Some(format!("its members cannot be told: {error}")),
                    ..ResolvedMembers::default()
                })
            }
            Err(error) => Err(self.pool.unavailable(&format!("members of a group: {error}"))),
        }
    }

    async fn resolve(&self, client: &Client, names: &[String]) -> Result<ResolvedMembers, LdapError> {
        let mail = self.patterns().map.mail.clone();
        let asked = Asked {
            attributes: [
                "objectClass",
                "entryUUID",
                "objectGUID",
                &mail,
                &self.patterns().map.login,
            ]
            .map(str::to_owned)
            .into(),
            mail,
        };
        let mut found = ResolvedMembers::default();
        let mut seen: HashSet<EntryUuid> = HashSet::with_capacity(names.len());
        let mut level: Vec<String> = names.to_vec();
        for _ in 0..MAX_DEPTH {
            let mut inner = Vec::new();
            let (entries, dangling) = self.entries(client, &level, &asked).await?;
            found.dangling.extend(dangling);
            for entry in entries {
                let Some(uuid) = entry_uuid(&entry) else { continue };
                // The loop guard: each entry counts once, by whatever way it is reached.
                if !seen.insert(uuid) {
                    continue;
                }
                let address = entry
                    .strings(&asked.mail)
                    .find_map(|text| Address::parse(text).ok());
                if address.is_none() && self.patterns().kind_of(&entry) == Some(EntryKind::Group) {
                    inner.push(entry.dn);
                } else {
                    found.members.push((uuid, address));
                }
            }
            if inner.is_empty() {
                return Ok(found);
            }
            level = self.members_of(client, &inner).await?;
        }
        tracing::warn!(connector = %self.name(), depth = MAX_DEPTH, "groups are nested too deep; the rest is left out");
        Ok(found)
    }

    async fn entries(
        &self,
        client: &Client,
        names: &[String],
        asked: &Asked,
    ) -> Result<(Vec<Entry>, Vec<String>), LdapError> {
        let mut dns: Vec<(Dn, &str)> = Vec::with_capacity(names.len());
        let mut logins: Vec<&str> = Vec::new();
        let mut indirect = Indirect::default();
        let somebody = names.iter().map(|name| without_uid(name));
        for name in somebody.filter(|name| !is_placeholder(name)) {
            match Dn::parse(name) {
                Ok(dn) if !dn.is_root() => dns.push((dn, name)),
                _ if indirect.takes(name) => {}
                _ => logins.push(name),
            }
        }
        let (mut found, mut dangling) = (Vec::with_capacity(names.len()), Vec::new());
        for part in dns.chunks(BATCH) {
            let entries = self.by_dn(client, part, asked).await?;
            dangling.extend(without_entry(part, &entries));
            found.extend(entries);
        }
        let mut named = Vec::new();
        for part in logins.chunks(BATCH) {
            named.extend(self.by_login(client, part, asked).await?);
        }
        indirect.names(&logins, &named, &self.patterns().map.login);
        found.extend(named);
        found.extend(self.indirect(client, &indirect, &asked.attributes).await?);
        Ok((found, dangling))
    }

    /// One search for all, and then one for each that it did not find: a server need not know the attribute
    /// that holds an entry's own DN.
    async fn by_dn(
        &self,
        client: &Client,
        dns: &[(Dn, &str)],
        asked: &Asked,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut found = Vec::with_capacity(dns.len());
        let top = crate::patterns::common_ancestor(dns.iter().map(|(dn, _)| dn)).filter(|top| !top.is_root());
        if let Some(top) = top.filter(|_| dns.len() > 1) {
            // RFC 5020, which slapd answers from its index of DNs.
            let own_dn = match self.patterns().server {
                ServerType::Openldap => "entryDN",
                ServerType::ActiveDirectory => "distinguishedName",
            };
            let any = Filter::Or(dns.iter().map(|(_, text)| equality(own_dn, text)).collect());
            let request = SearchRequest::new(top.to_string(), Scope::Subtree, any)
                .attributes(asked.attributes.iter().cloned());
            match client.search_all(request, dns.len()).await {
                Ok(entries) => found = entries,
                // The searches for each of them tell whose fault it is.
                Err(error) if !error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
        let missing: Vec<String> = without_entry(dns, &found).collect();
        for part in missing.chunks(AT_ONCE) {
            let mut running = JoinSet::new();
            for dn in part {
                running.spawn(one(client.clone(), dn.clone(), asked.attributes.clone()));
            }
            while let Some(answer) = running.join_next().await {
                let answer = answer.map_err(|error| LdapError::Protocol(error.to_string()))?;
                found.extend(answer?);
            }
        }
        Ok(found)
    }

    /// Accounts by the name that `memberUid` holds. Two with one name are nobody.
    async fn by_login(
        &self,
        client: &Client,
        logins: &[&str],
        asked: &Asked,
    ) -> Result<Vec<Entry>, LdapError> {
        let login = &self.patterns().map.login;
        let most = logins.len().saturating_mul(4);
        let found = match self.named(client, logins, asked, most).await {
            // Many entries with one name: each name is asked for alone then.
            Err(LdapError::TooMany(_)) => self.named_one_by_one(client, logins, asked).await?,
            found => found?,
        };
        let mut by_name: HashMap<String, Vec<Entry>> = HashMap::new();
        for entry in found {
            let name = entry.first_str(login).unwrap_or_default().to_lowercase();
            let same = by_name.entry(name).or_default();
            // Bases may lie one in the other.
            if same.iter().all(|other| other.dn != entry.dn) {
                same.push(entry);
            }
        }
        let mut found = Vec::with_capacity(by_name.len());
        for (name, mut entries) in by_name {
            match (entries.pop(), entries.is_empty()) {
                (Some(entry), true) => found.push(entry),
                _ => {
                    tracing::error!(connector = %self.name(), name, "two entries have the name of one group member; neither counts");
                }
            }
        }
        Ok(found)
    }

    /// The entries of accounts with these login names, at most `most` in each base.
    async fn named(
        &self,
        client: &Client,
        logins: &[&str],
        asked: &Asked,
        most: usize,
    ) -> Result<Vec<Entry>, LdapError> {
        let half = &self.patterns().accounts;
        let any = logins
            .iter()
            .map(|name| equality(&self.patterns().map.login, name));
        let filter = Filter::And(vec![half.filter(), Filter::Or(any.collect())]);
        let scope = match half.scope {
            SearchScope::One => Scope::OneLevel,
            SearchScope::Sub => Scope::Subtree,
        };
        let mut found = Vec::new();
        for base in &half.bases {
            let request = SearchRequest::new(base.to_string(), scope, filter.clone())
                .attributes(asked.attributes.iter().cloned());
            found.extend(client.search_all(request, most).await?);
        }
        Ok(found)
    }

    /// The same, a search for each name. One that more entries have than are read is nobody's.
    async fn named_one_by_one(
        &self,
        client: &Client,
        logins: &[&str],
        asked: &Asked,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut found = Vec::new();
        for name in logins {
            match self.named(client, &[name], asked, 4).await {
                Ok(entries) => found.extend(entries),
                Err(LdapError::TooMany(_)) => {
                    tracing::error!(connector = %self.name(), name, "many entries have the name of one group member; none counts");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The members of groups that are members themselves: a hundred groups in one search.
    async fn members_of(&self, client: &Client, groups: &[String]) -> Result<Vec<String>, LdapError> {
        let attribute = &self.patterns().map.members;
        let asked = Asked {
            attributes: vec![attribute.clone()],
            mail: String::new(),
        };
        let dns: Vec<(Dn, &str)> = groups
            .iter()
            .filter_map(|text| Some((Dn::parse(text).ok()?, text.as_str())))
            .collect();
        let mut members = Vec::new();
        for part in dns.chunks(BATCH) {
            for mut entry in self.by_dn(client, part, &asked).await? {
                ranges::complete(client, &mut entry, attribute).await?;
                members.extend(entry.strings(attribute).map(str::to_owned));
            }
        }
        members.sort_unstable();
        members.dedup();
        Ok(members)
    }
}

/// The names that none of these entries has.
fn without_entry<'a>(dns: &'a [(Dn, &str)], found: &[Entry]) -> impl Iterator<Item = String> + use<'a> {
    let known: HashSet<Vec<u8>> = found
        .iter()
        .filter_map(|entry| Dn::parse(&entry.dn).ok())
        .map(|dn| dn.key())
        .collect();
    let missing = dns.iter().filter(move |(dn, _)| !known.contains(&dn.key()));
    missing.map(|(_, text)| (*text).to_owned())
}

/// The DN of a `uniqueMember` without its optional identifier, `#'0101'B` (RFC 4517 section 3.3.21).
fn without_uid(name: &str) -> &str {
    match name.rsplit_once("#'") {
        Some((dn, bits))
            if bits
                .strip_suffix("'B")
                .is_some_and(|bits| bits.bytes().all(|bit| matches!(bit, b'0' | b'1'))) =>
        {
            dn
        }
        _ => name,
    }
}

/// No entry that this server has: a referral says that it would be another's (RFC 4511 section 4.1.10), such as a
/// member from another domain of the forest.
fn is_absent(error: &LdapError) -> bool {
    matches!(
        error.code(),
        Some(ResultCode::NoSuchObject | ResultCode::InvalidDnSyntax | ResultCode::Referral)
    )
}

async fn one(client: Client, dn: String, attributes: Vec<String>) -> Result<Option<Entry>, LdapError> {
    let request =
        SearchRequest::new(dn, Scope::Base, Filter::Present("objectClass".to_owned())).attributes(attributes);
    match client.search_all(request, 1).await {
        Ok(mut entries) => Ok(entries.pop()),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
