//! Members that are named by something else than an entry: LDAP URLs of searches (`memberURL`), addresses and
//! names of groups (`rfc822MailMember`).
//!
//! A search is done with the service identity, inside of the connector's own bases and filters only, whatever
//! the URL asks for: whoever may edit a group must not be able to read the directory through it.

use super::Connector;
use crate::config::SearchScope;
use crate::patterns::{EntryKind, Half, equality};
use ldap::{Attribute, Client, Dn, Entry, Filter, LdapError, Scope, SearchRequest, Values, percent_decode};
use model::{Address, EntryUuid};
use std::collections::{BTreeMap, HashSet};

/// Names asked for in one search.
const BATCH: usize = 100;
/// Searches of one level of a group; more are left out, and the log says so.
const MAX_URLS: usize = 100;
/// Entries of one search, and of all URLs of one level; more are an error, never a part of a group.
const MAX_FOUND: usize = 100_000;

/// What is left of the members after DNs and login names.
#[derive(Debug, Default)]
pub(super) struct Indirect {
    urls: Vec<String>,
    /// By their key, so that each counts once.
    addresses: BTreeMap<String, Address>,
    /// Names that no account has.
    groups: Vec<String>,
}

/// A search that stands for its results (RFC 4516).
#[derive(Debug, Clone, PartialEq, Eq)]
struct MemberUrl {
    base: Dn,
    scope: Scope,
    filter: Filter,
}

impl Indirect {
    /// Takes a member that is a URL or an address.
    pub(super) fn takes(&mut self, name: &str) -> bool {
        if is_url(name) {
            self.urls.push(name.to_owned());
            return true;
        }
        match Address::parse(name) {
            Ok(address) => {
                self.addresses.insert(address.key(), address);
                true
            }
            Err(_) => false,
        }
    }

    /// Of these names, those that no account was found for may be groups.
    pub(super) fn names(&mut self, asked: &[&str], found: &[Entry], login: &str) {
        let known: HashSet<String> = found
            .iter()
            .flat_map(|entry| entry.strings(login))
            .map(str::to_lowercase)
            .collect();
        let left = asked.iter().filter(|name| !known.contains(&name.to_lowercase()));
        self.groups.extend(left.map(|name| (*name).to_owned()));
    }
}

fn is_url(name: &str) -> bool {
    let scheme = name
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("ldap" | "ldaps" | "ldapi"))
}

impl MemberUrl {
    /// `ldap:///base?attributes?scope?filter`. A URL of another server is not ours to follow, and an extension
    /// that must be understood is not understood.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (_, rest) = text.split_once("://").ok_or("it is no URL")?;
        let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if !host.is_empty() {
            return Err("it names a server");
        }
        let mut parts = rest.split('?');
        let mut part =
            || percent_decode(parts.next().unwrap_or_default()).map_err(|_| "its percent signs are wrong");
        let base = Dn::parse(&part()?).map_err(|_| "its base is no DN")?;
        // RFC 4516 section 2: the attributes to return, which are ours to choose.
        part()?;
        let scope = match part()?.to_ascii_lowercase().as_str() {
            "" | "base" => Scope::Base,
            "one" => Scope::OneLevel,
            "sub" => Scope::Subtree,
            _ => return Err("its scope is none of base, one, sub"),
        };
        let filter = match part()?.as_str() {
            "" => Filter::Present("objectClass".to_owned()),
            text => Filter::parse(text).map_err(|_| "its filter is wrong")?,
        };
        if part()?.split(',').any(|extension| extension.starts_with('!')) {
            return Err("it has a critical extension");
        }
        Ok(Self { base, scope, filter })
    }

    /// The searches within one base of ours that together find what the URL finds there.
    fn within(&self, half: &Half, base: &Dn) -> Option<(Dn, Scope)> {
        let ours_is_deep = half.scope == SearchScope::Sub;
        if self.base == *base {
            return Some((
                base.clone(),
                if ours_is_deep {
                    self.scope
                } else {
                    narrower(self.scope)?
                },
            ));
        }
        if self.base.is_below(base) {
            let direct = self.base.parent().as_ref() == Some(base);
            return match (ours_is_deep, direct) {
                (true, _) => Some((self.base.clone(), self.scope)),
                // Only the entry itself is directly below our base.
                (false, true) if self.scope != Scope::OneLevel => Some((self.base.clone(), Scope::Base)),
                (false, _) => None,
            };
        }
        let reaches = base.is_below(&self.base) && self.scope == Scope::Subtree;
        reaches.then(|| {
            (
                base.clone(),
                if ours_is_deep {
                    Scope::Subtree
                } else {
                    Scope::OneLevel
                },
            )
        })
    }
}

/// What a search has in common with the entries directly below its base.
fn narrower(scope: Scope) -> Option<Scope> {
    match scope {
        Scope::Base => None,
        _ => Some(Scope::OneLevel),
    }
}

impl Connector {
    /// The entries that indirect members stand for. An address that no entry has is a member all the same, and
    /// comes as an entry that consists of it.
    pub(super) async fn indirect(
        &self,
        client: &Client,
        members: &Indirect,
        attributes: &[String],
    ) -> Result<Vec<Entry>, LdapError> {
        let mut found = Vec::new();
        for text in members.urls.iter().take(MAX_URLS) {
            match MemberUrl::parse(text) {
                Ok(url) => {
                    found.extend(self.by_url(client, &url, attributes).await?);
                    // Whoever may edit a group decides how many URLs it has.
                    if found.len() > MAX_FOUND {
                        return Err(LdapError::TooMany(MAX_FOUND));
                    }
                }
                Err(why) => {
                    tracing::warn!(connector = %self.name(), url = %text, why, "a group's memberURL is passed over");
                }
            }
        }
        if members.urls.len() > MAX_URLS {
            tracing::warn!(connector = %self.name(), most = MAX_URLS, "a group has too many memberURLs; the rest is left out");
        }
        let addresses: Vec<&Address> = members.addresses.values().collect();
        for part in addresses.chunks(BATCH) {
            found.extend(self.by_address(client, part, attributes).await?);
        }
        for part in members.groups.chunks(BATCH) {
            found.extend(self.groups_by_name(client, part, attributes).await?);
        }
        Ok(found)
    }

    async fn by_url(
        &self,
        client: &Client,
        url: &MemberUrl,
        attributes: &[String],
    ) -> Result<Vec<Entry>, LdapError> {
        let mut found = Unique::default();
        for kind in [EntryKind::Account, EntryKind::Group] {
            let Some(half) = self.patterns().half(kind) else {
                continue;
            };
            for base in &half.bases {
                let Some((base, scope)) = url.within(half, base) else {
                    continue;
                };
                let filter = Filter::And(vec![half.filter(), url.filter.clone()]);
                found.extend(self.page(client, &base, scope, filter, attributes).await?);
            }
        }
        Ok(found.entries)
    }

    async fn by_address(
        &self,
        client: &Client,
        addresses: &[&Address],
        attributes: &[String],
    ) -> Result<Vec<Entry>, LdapError> {
        let mut found = Unique::default();
        let mut known: HashSet<String> = HashSet::new();
        for kind in [EntryKind::Account, EntryKind::Group] {
            let Some(half) = self.patterns().half(kind) else {
                continue;
            };
            let left: Vec<Filter> = addresses
                .iter()
                .filter(|address| !known.contains(&self.patterns().meant(address).key()))
                .filter_map(|address| self.patterns().for_address(kind, address))
                .collect();
            if left.is_empty() {
                continue;
            }
            for base in &half.bases {
                let filter = Filter::Or(left.clone());
                let wanted = crate::account::wanted(self.patterns(), kind);
                for entry in self.page(client, base, scope_of(half), filter, &wanted).await? {
                    let read =
                        crate::DirectoryAccount::read(&entry, kind, self.patterns(), self.clock().now());
                    if let Ok(account) = read {
                        known.insert(account.address.key());
                        known.extend(account.aliases.iter().map(Address::key));
                        found.extend([entry]);
                    }
                }
            }
        }
        let is_stranger = |address: &&&Address| !known.contains(&self.patterns().meant(address).key());
        let strangers = addresses.iter().filter(is_stranger);
        found.extend(strangers.map(|address| self.stranger(address, attributes)));
        Ok(found.entries)
    }

    async fn groups_by_name(
        &self,
        client: &Client,
        names: &[String],
        attributes: &[String],
    ) -> Result<Vec<Entry>, LdapError> {
        let (Some(half), Some(attribute)) = (&self.patterns().groups, &self.patterns().map.group_mail) else {
            return Ok(Vec::new());
        };
        let mut found = Unique::default();
        let any = Filter::Or(names.iter().map(|name| equality(attribute, name)).collect());
        for base in &half.bases {
            let filter = Filter::And(vec![half.filter(), any.clone()]);
            found.extend(
                self.page(client, base, scope_of(half), filter, attributes)
                    .await?,
            );
        }
        Ok(found.entries)
    }

    /// One search, page by page.
    async fn page(
        &self,
        client: &Client,
        base: &Dn,
        scope: Scope,
        filter: Filter,
        attributes: &[String],
    ) -> Result<Vec<Entry>, LdapError> {
        let request =
            SearchRequest::new(base.to_string(), scope, filter).attributes(attributes.iter().cloned());
        let mut pages = match client.search_paged(request, self.config().page_size).await {
            Ok(pages) => pages,
            // The base of a URL need not exist: it finds nobody then.
            Err(error) if error.code() == Some(ldap::ResultCode::NoSuchObject) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        loop {
            match pages.next_entry().await {
                Ok(Some(_)) if found.len() >= MAX_FOUND => return Err(LdapError::TooMany(MAX_FOUND)),
                Ok(Some(entry)) => found.push(entry),
                Ok(None) => return Ok(found),
                Err(error) if error.code() == Some(ldap::ResultCode::NoSuchObject) => return Ok(found),
                Err(error) => return Err(error),
            }
        }
    }

    /// An address of somebody outside of the directory. Its identity is made of the address, so that it is the
    /// same each time.
    fn stranger(&self, address: &Address, attributes: &[String]) -> Entry {
        let mut octets = [0; 16];
        let digest = blake3::derive_key(
            "homing 2026 members outside of the directory",
            address.key().as_bytes(),
        );
        octets.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        // RFC 9562 section 5.8: a UUID of our own making.
        octets[6] = octets[6] & 0x0f | 0x80;
        octets[8] = octets[8] & 0x3f | 0x80;
        let uuid = EntryUuid::from_bytes(octets).to_string();
        let mail = &self.patterns().map.mail;
        debug_assert!(attributes.contains(mail), "members are asked for their address");
        let attribute = |name: &str, value: &str| {
            Attribute::new(
                name,
                Values::from(vec![bytes::Bytes::copy_from_slice(value.as_bytes())]),
            )
        };
        Entry {
            dn: String::new(),
            attributes: vec![attribute("entryUUID", &uuid), attribute(mail, address.as_str())],
        }
    }
}

/// Entries by their DN: bases may lie one in the other. Strangers have none.
#[derive(Default)]
struct Unique {
    entries: Vec<Entry>,
    seen: HashSet<String>,
}

impl Unique {
    fn extend(&mut self, found: impl IntoIterator<Item = Entry>) {
        for entry in found {
            if entry.dn.is_empty() || self.seen.insert(entry.dn.clone()) {
                self.entries.push(entry);
            }
        }
    }
}

fn scope_of(half: &Half) -> Scope {
    match half.scope {
        SearchScope::One => Scope::OneLevel,
        SearchScope::Sub => Scope::Subtree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = MemberUrl::parse("ldap:///ou=Users,dc=t?cn?sub?(title=a%20b)").expect("a URL");
        assert_eq!(
            (url.base.to_string(), url.scope),
            ("ou=Users,dc=t".to_owned(), Scope::Subtree)
        );
        assert_eq!(url.filter.to_string(), "(title=a b)");
        let url = MemberUrl::parse("ldap:///uid=x%2Cy,dc=t").err();
        assert_eq!(url, Some("its base is no DN"), "y is no attribute with a value");
        assert_eq!(
            MemberUrl::parse("LDAPS:///dc=t").map(|url| url.scope),
            Ok(Scope::Base)
        );
        for (text, why) in [
            ("ldap://elsewhere.test/dc=t??sub", "it names a server"),
            ("ldap:///dc=t??children", "its scope is none of base, one, sub"),
            ("ldap:///dc=t??sub?(((", "its filter is wrong"),
            ("ldap:///dc=t??sub?(a=b)?!x=y", "it has a critical extension"),
            ("ldap:///dc=%zz", "its percent signs are wrong"),
        ] {
            assert_eq!(MemberUrl::parse(text).err(), Some(why), "{text}");
        }
        let mut indirect = Indirect::default();
        for (name, taken) in [
            ("LDAP:///dc=t", true),
            ("a@b.test", true),
            ("alice", false),
            ("ldap", false),
            ("http://x/", false),
        ] {
            assert_eq!(indirect.takes(name), taken, "{name}");
        }
    }
}
