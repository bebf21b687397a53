//! One directory entry, read as an account or a group through the connector's attribute mapping.
//!
//! Pure: an entry in, a value or a stated problem out. Never decides whether a login succeeds.

mod state;
#[cfg(test)]
mod tests;
mod time;

pub use state::{AccountState, StateEnd};

use crate::config::ServerType;
use crate::patterns::{EntryKind, Patterns};
use ldap::Entry;
use model::{Address, Domain, EntryUuid, Timestamp, Unavailable};

/// What a lookup found.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Exactly one entry.
    Found(Box<DirectoryAccount>),
    /// The directory says that there is none.
    NotFound,
    /// More than one entry; their DNs. Never the first of them.
    Ambiguous(Vec<String>),
    /// The directory cannot answer now. Never "no such user".
    Unavailable(Unavailable),
}

/// The directory answered, and it cannot be told who has the address: an entry that matches may not be read, is larger than
/// what is read at all, or the search was refused. That concerns one question, and the next one may be answered all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untold(pub Unavailable);

/// The value of the host attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// The entry has none.
    None,
    /// Exactly one.
    One(String),
    /// More than one, so none can be trusted.
    Several(Vec<String>),
}

/// An account or group of the directory.
#[derive(Debug, Clone)]
pub struct DirectoryAccount {
    /// The entry's DN.
    pub dn: String,
    /// Its lasting identity.
    pub uuid: EntryUuid,
    /// Account or group.
    pub kind: EntryKind,
    /// Its address: the first value of the mail attribute.
    pub address: Address,
    /// Its other addresses.
    pub aliases: Vec<Address>,
    /// Domains for which it takes every address that nobody else has (an alias `@domain`).
    pub catch_all: Vec<Domain>,
    /// Its home.
    pub host: Host,
    /// Whether it may log in, as the entry tells.
    pub state: AccountState,
    /// When that ends by itself, as far as the entry tells: no change is reported then, so whoever acts on the state
    /// looks again at this time.
    pub state_until: Option<StateEnd>,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Surname.
    pub surname: Option<String>,
    /// Storage limit in bytes; 0 is none.
    pub quota: Option<u64>,
    /// A group's members, as DNs.
    pub members: Vec<String>,
    /// The version of the entry (entryCSN).
    pub entry_csn: Option<String>,
}

/// Why an entry is neither account nor group of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// The entry has no identity that lasts; the service identity may not read it.
    #[error("{dn}: no readable entryUUID or objectGUID")]
    NoUuid {
        /// The entry.
        dn: String,
    },
    /// The entry has no address.
    #[error("{dn}: no value of {attribute}")]
    NoAddress {
        /// The entry.
        dn: String,
        /// The mail attribute.
        attribute: String,
    },
    /// No value of the mail attribute is an address.
    #[error("{dn}: {value:?} is not an address: {reason}")]
    BadAddress {
        /// The entry.
        dn: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The entry is larger than the connector's `max_entry`, so it was not read.
    #[error("{dn}: the entry takes {size} octets, more than max_entry allows; it was not read")]
    TooLarge {
        /// The entry.
        dn: String,
        /// How many octets it takes.
        size: usize,
    },
}

impl DirectoryAccount {
    /// Reads an entry; `now` is for time limits of the account.
    pub(crate) fn read(
        entry: &Entry,
        kind: EntryKind,
        patterns: &Patterns,
        now: Timestamp,
    ) -> Result<Self, EntryProblem> {
        let map = &patterns.map;
        let uuid = entry_uuid(entry).ok_or_else(|| EntryProblem::NoUuid { dn: entry.dn.clone() })?;
        let (address, mut aliases) = match (kind, &map.group_mail) {
            (EntryKind::Group, Some(attribute)) => {
                addresses(entry, attribute, |text| patterns.group_address(text))?
            }
            _ => addresses(entry, &map.mail, |text| patterns.read_address(text))?,
        };
        let mut catch_all = Vec::new();
        for value in entry.strings(&map.aliases) {
            let value = match patterns.server {
                ServerType::Openldap => value,
                ServerType::ActiveDirectory => match strip_prefix_ignore_case(value, "smtp:") {
                    Some(value) => value,
                    None => continue,
                },
            };
            if let Some(domain) = value.strip_prefix('@') {
                catch_all.extend(patterns.read_domain(domain).ok());
            } else if let Ok(alias) = patterns.read_address(value) {
                aliases.push(alias);
            }
        }
        aliases.retain(|alias| *alias != address);
        aliases.sort();
        aliases.dedup();
        let text = |attribute: &str| {
            entry
                .first_str(attribute)
                .map(str::to_owned)
                .filter(|text| !text.is_empty())
        };
        Ok(Self {
            uuid,
            kind,
            aliases,
            catch_all,
            host: host(entry, map.host.as_deref()),
            state: AccountState::read(entry, map, patterns.server, now),
            state_until: state::until(entry, map, patterns.server, now),
            // A cn that repeats the address is there because the schema wants one (RFC 4519 section 3.12): entries that are
            // made for accounts without a name have it, and it must not come back as their name.
            display_name: text(&map.display_name)
                .or_else(|| text("cn").filter(|cn| !cn.eq_ignore_ascii_case(address.local_part()))),
            given_name: text(&map.given_name),
            surname: text(&map.surname),
            quota: map
                .quota
                .as_deref()
                .and_then(text)
                .and_then(|text| text.parse().ok()),
            members: match kind {
                EntryKind::Group => entry.strings(&map.members).map(str::to_owned).collect(),
                EntryKind::Account => Vec::new(),
            },
            entry_csn: text("entryCSN"),
            dn: entry.dn.clone(),
            address,
        })
    }
}

/// The attributes that a lookup asks for.
pub(crate) fn wanted(patterns: &Patterns, kind: EntryKind) -> Vec<String> {
    let map = &patterns.map;
    let mut names = vec![
        "objectClass",
        "cn",
        &map.mail,
        &map.aliases,
        &map.display_name,
        &map.given_name,
        &map.surname,
        &map.enabled.attribute,
    ];
    names.extend(map.host.as_deref());
    names.extend(map.quota.as_deref());
    match patterns.server {
        ServerType::Openldap => names.extend(["entryUUID", "entryCSN", "pwdAccountLockedTime", "pwdReset"]),
        ServerType::ActiveDirectory => {
            names.extend([
                "objectGUID",
                "uSNChanged",
                "accountExpires",
                "lockoutTime",
                "pwdLastSet",
                "msDS-User-Account-Control-Computed",
            ]);
        }
    }
    names.extend(map.group_mail.as_deref());
    if kind == EntryKind::Group {
        names.push(&map.members);
    }
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// entryUUID (RFC 4530), or objectGUID.
pub(crate) fn entry_uuid(entry: &Entry) -> Option<EntryUuid> {
    if let Some(text) = entry.first_str("entryUUID") {
        return EntryUuid::parse(text).ok();
    }
    let guid: [u8; 16] = entry.first("objectGUID")?.as_ref().try_into().ok()?;
    Some(EntryUuid::from_bytes(guid_order(guid)))
}

/// Microsoft stores the first three fields of a GUID with the low octet first; the text form, and we, do not.
/// The same exchange leads back.
pub(crate) const fn guid_order(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = guid;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

fn addresses(
    entry: &Entry,
    attribute: &str,
    parse: impl Fn(&str) -> Result<Address, model::AddressError>,
) -> Result<(Address, Vec<Address>), EntryProblem> {
    let (mut first, mut rest, mut bad) = (None, Vec::new(), None);
    for value in entry.strings(attribute) {
        match parse(value) {
            Ok(address) if first.is_none() => first = Some(address),
            Ok(address) => rest.push(address),
            Err(error) => bad = bad.or(Some((value, error))),
        }
    }
    let dn = || entry.dn.clone();
    match (first, bad) {
        (Some(first), _) => Ok((first, rest)),
        (None, Some((value, error))) => Err(EntryProblem::BadAddress {
            dn: dn(),
            value: value.to_owned(),
            reason: error.to_string(),
        }),
        (None, None) => Err(EntryProblem::NoAddress {
            dn: dn(),
            attribute: attribute.to_owned(),
        }),
    }
}

fn host(entry: &Entry, attribute: Option<&str>) -> Host {
    let Some(attribute) = attribute else {
        return Host::None;
    };
    let mut values = entry
        .strings(attribute)
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(str::to_owned);
    match (values.next(), values.next()) {
        (None, _) => Host::None,
        (Some(one), None) => Host::One(one),
        (Some(one), Some(two)) => Host::Several([one, two].into_iter().chain(values).collect()),
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}
