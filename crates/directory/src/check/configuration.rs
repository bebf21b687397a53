//! The server's own configuration, where our identity may read `cn=config`.

use super::Report;
use crate::patterns::{EntryKind, Patterns};
use ldap::{Client, Dn, Entry, Filter, Scope, SearchRequest};
use model::Address;
use std::collections::{BTreeMap, BTreeSet};

/// More databases and overlays than any server has.
const MAX: usize = 10_000;

/// What `cn=config` says about the database of our entries.
pub(super) enum Configuration {
    /// It shows us nothing.
    Hidden,
    /// The database, and its overlays by name.
    Shown {
        database: Entry,
        overlays: BTreeMap<String, Entry>,
    },
}

impl Configuration {
    /// The overlay: `None` where we cannot know.
    pub(super) fn overlay(&self, name: &str) -> Option<Option<&Entry>> {
        match self {
            Self::Hidden => None,
            Self::Shown { overlays, .. } => Some(overlays.get(name)),
        }
    }
}

pub(super) async fn read(client: &Client, patterns: &Patterns) -> Configuration {
    let either = ["olcDatabaseConfig", "olcOverlayConfig"]
        .map(|class| Filter::equals("objectClass", class.as_bytes().to_vec()));
    let request = SearchRequest::new("cn=config", Scope::Subtree, Filter::Or(either.into()));
    let found = client.search_all(request, MAX).await.unwrap_or_default();
    let depth = |entry: &&Entry| {
        let suffixes = entry.strings("olcSuffix").filter_map(|text| Dn::parse(text).ok());
        let above = suffixes.filter(|dn| *dn == patterns.top || patterns.top.is_below(dn));
        above.map(|dn| dn.rdns().len()).max()
    };
    let database = found
        .iter()
        .filter(|entry| depth(entry).is_some())
        .max_by_key(|entry| depth(entry));
    let Some(database) = database.cloned() else {
        return Configuration::Hidden;
    };
    let place = Dn::parse(&database.dn).ok();
    let overlays = found
        .into_iter()
        .filter(|entry| Dn::parse(&entry.dn).ok().and_then(|dn| dn.parent()) == place)
        .filter_map(|entry| {
            let name = entry.first_str("olcOverlay")?;
            let name = name.split_once('}').map_or(name, |(_, rest)| rest).to_owned();
            Some((name, entry))
        })
        .collect();
    Configuration::Shown { database, overlays }
}

/// Indexes and memberof.
pub(super) fn look(found: &Configuration, patterns: &Patterns, report: &mut Report) {
    let Configuration::Shown { database, overlays } = found else {
        let text = "cn=config cannot be read, so indexes are not known";
        let remedy =
            "let the service identity read cn=config, or compare with homing directory init --static";
        report.note("indexes", text, remedy);
        return;
    };
    let have: BTreeSet<String> = database.strings("olcDbIndex").flat_map(equality_index).collect();
    let missing: Vec<String> = searched(patterns)
        .into_iter()
        .filter(|name| !have.contains(name))
        .collect();
    if missing.is_empty() {
        report.good(
            "indexes",
            "every attribute that is searched for has an equality index",
        );
    } else {
        let names = missing.join(",");
        let text = format!("no equality index on {names}: each lookup reads the whole database");
        let remedy = format!("add olcDbIndex: {names} eq (slapd.conf: index {names} eq, then slapindex)");
        report.wrong("indexes", text, remedy);
    }
    if overlays.contains_key("memberof") {
        report.good("memberof", "the overlay is there: memberOf follows the groups");
    } else if patterns.groups.is_some() {
        let remedy = "optional; other programs may want it: add the overlays memberof and refint";
        report.note("memberof", "the overlay is not there", remedy);
    }
}

/// `a,b eq,pres` gives a and b in lower case; an index without `eq` gives none.
fn equality_index(value: &str) -> Vec<String> {
    let mut words = value.split_whitespace();
    let names = words.next().unwrap_or_default();
    // Without kinds the database's default holds, and whoever set one knows what it is.
    let equality = words
        .next()
        .is_none_or(|kinds| kinds.split(',').any(|kind| kind.eq_ignore_ascii_case("eq")));
    if !equality {
        return Vec::new();
    }
    names.split(',').map(str::to_ascii_lowercase).collect()
}

/// The attributes that lookups and the change feed compare, in lower case.
fn searched(patterns: &Patterns) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["objectclass", "entryuuid", "entrycsn"].map(str::to_owned).into();
    let login = patterns.login("x");
    let address = Address::parse("x@example.test").ok();
    let of = |kind| patterns.for_address(kind, address.as_ref()?);
    let filters = [
        patterns.for_login(&login),
        of(EntryKind::Account),
        of(EntryKind::Group),
    ];
    for filter in filters.iter().flatten() {
        // The class and the filter of all accounts come first: they only narrow what the pattern finds.
        match filter {
            Filter::And(parts) => parts
                .last()
                .into_iter()
                .for_each(|part| compared(part, &mut names)),
            whole => compared(whole, &mut names),
        }
    }
    names
}

fn compared(filter: &Filter, names: &mut BTreeSet<String>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| compared(part, names)),
        Filter::Not(part) => compared(part, names),
        Filter::Equality { attribute, .. } => {
            names.insert(attribute.to_ascii_lowercase());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::equality_index;

    #[test]
    fn indexes() {
        for (value, names) in [
            ("objectClass eq,pres", vec!["objectclass"]),
            ("uid,mail eq", vec!["uid", "mail"]),
            ("cn pres,sub", vec![]),
            ("sn", vec!["sn"]),
            ("  mail   EQ ", vec!["mail"]),
        ] {
            assert_eq!(equality_index(value), names, "{value}");
        }
    }
}
