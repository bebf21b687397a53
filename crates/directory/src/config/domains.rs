//! `domains`: the domains that mail is taken for, in the file itself or elsewhere.

use super::in_range;
use ldap::{Dn, FilterTemplate, Slot};
use model::{ConfigProblem, Domain};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// The domains that mail is taken for: a list, or a table that says who knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainsConfig {
    /// `domains = ["example.org"]`
    Listed(Vec<Domain>),
    /// `domains = { file = "/etc/homing/domains" }`, or a query of a directory.
    Kept(Box<DomainSourceConfig>),
}

/// Who knows the domains: a file, or a directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DomainSourceConfig {
    /// A file with one domain a line, `#` begins a comment. It is read again when it changes; one with an error is
    /// refused as a whole, and the domains read before stay in force.
    pub file: Option<PathBuf>,
    /// The name of the `[[connector]]` whose directory is asked. Needs `filter`.
    pub connector: Option<String>,
    /// What finds an entry for a domain that is ours; `%d` is the domain in lower case, internationalised ones as
    /// A-labels (`xn--`): `"(&(objectClass=dNSDomain)(associatedDomain=%d))"`. Any entry that matches will do.
    pub filter: Option<String>,
    /// Where the filter is asked, with everything below. Default: the connector's `accounts.base_dn`.
    pub base_dn: Vec<String>,
    /// Seconds for which "this domain is ours" is used again; 0 to 86400, default 300.
    pub cache_ttl: u64,
    /// The same for "it is not"; 0 to 3600, default 30.
    pub negative_ttl: u64,
    /// Seconds for which "this domain is ours" still serves past its time while the directory is away; 0 to 604800,
    /// default 86400. Other domains hear "try later" (451) then.
    pub stale_for: u64,
}

impl Default for DomainSourceConfig {
    fn default() -> Self {
        Self {
            file: None,
            connector: None,
            filter: None,
            base_dn: Vec::new(),
            cache_ttl: 300,
            negative_ttl: 30,
            stale_for: 86_400,
        }
    }
}

impl Default for DomainsConfig {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl DomainsConfig {
    /// Whether nothing is said at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Listed(domains) if domains.is_empty())
    }

    /// The connector that is asked.
    #[must_use]
    pub fn connector(&self) -> Option<&str> {
        match self {
            Self::Listed(_) => None,
            Self::Kept(source) => source.connector.as_deref(),
        }
    }

    /// Everything wrong with it; keys begin with `domains`. `connectors` are the names of the connectors.
    #[must_use]
    pub fn check(&self, connectors: &[&str]) -> Vec<ConfigProblem> {
        match self {
            Self::Listed(_) => Vec::new(),
            Self::Kept(source) => {
                let found = source.check(connectors).into_iter();
                let placed = |problem: ConfigProblem| match problem.key.as_str() {
                    "" => ConfigProblem::new("domains", problem.message),
                    key => ConfigProblem::new(format!("domains.{key}"), problem.message),
                };
                found.map(placed).collect()
            }
        }
    }
}

impl DomainSourceConfig {
    fn check(&self, connectors: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String| problems.push(ConfigProblem::new(key, message));
        match (&self.file, &self.connector) {
            (None, None) => {
                let message =
                    "say who knows the domains: file = \"PATH\", or connector = \"NAME\" with a filter";
                problem("", message.to_owned());
            }
            (Some(_), Some(_)) => {
                let message = "the domains are in a file or in a directory, not in both; remove one";
                problem("file", message.to_owned());
            }
            (Some(_), None) => {
                for (key, is_set) in [
                    ("filter", self.filter.is_some()),
                    ("base_dn", !self.base_dn.is_empty()),
                ] {
                    if is_set {
                        problem(key, "a file is not searched; remove the key".to_owned());
                    }
                }
            }
            (None, Some(name)) => {
                if !connectors.contains(&name.as_str()) {
                    problem("connector", format!("there is no [[connector]] named {name:?}"));
                }
                if let Err(message) = self.template() {
                    problem("filter", message);
                }
            }
        }
        for (index, base) in self.base_dn.iter().enumerate() {
            if let Err(error) = Dn::parse(base) {
                problem(&format!("base_dn.{index}"), format!("{base}: {error}"));
            }
        }
        in_range(&mut problems, "cache_ttl", self.cache_ttl, 0..=86_400);
        in_range(&mut problems, "negative_ttl", self.negative_ttl, 0..=3_600);
        in_range(&mut problems, "stale_for", self.stale_for, 0..=604_800);
        problems
    }

    /// The filter, ready to be filled.
    pub(crate) fn template(&self) -> Result<FilterTemplate, String> {
        const EXAMPLE: &str = "(&(objectClass=dNSDomain)(associatedDomain=%d))";
        let Some(text) = &self.filter else {
            return Err(format!(
                "a directory is asked with a filter; write for example filter = \"{EXAMPLE}\""
            ));
        };
        let template = FilterTemplate::parse(text).map_err(|error| format!("{text}: {error}"))?;
        if template.uses(Slot::Address) || template.uses(Slot::LocalPart) {
            return Err(format!(
                "{text} is asked for a domain alone, so %e and %u have no value; use %d"
            ));
        }
        if !template.uses(Slot::Domain) {
            return Err(format!(
                "{text} has no %d, so every domain would be ours, and this an open relay; write for example {EXAMPLE}"
            ));
        }
        Ok(template)
    }

    /// The places to search; a bad one has been reported by `check`.
    pub(crate) fn bases(&self) -> Vec<Dn> {
        let bases = self.base_dn.iter().map(|base| Dn::parse(base));
        bases.filter_map(Result::ok).collect()
    }
}

impl<'de> de::Deserialize<'de> for DomainsConfig {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListOrTable)
    }
}

/// Written by hand: an untagged enum would say of every mistake in it only that it fits neither form.
struct ListOrTable;

impl<'de> de::Visitor<'de> for ListOrTable {
    type Value = DomainsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of domains, or a table with file, or with connector and filter")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<DomainsConfig, A::Error> {
        let list = de::value::SeqAccessDeserializer::new(list);
        de::Deserialize::deserialize(list).map(DomainsConfig::Listed)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, table: A) -> Result<DomainsConfig, A::Error> {
        let table = de::value::MapAccessDeserializer::new(table);
        de::Deserialize::deserialize(table).map(|source| DomainsConfig::Kept(Box::new(source)))
    }
}

impl JsonSchema for DomainsConfig {
    fn schema_name() -> Cow<'static, str> {
        "Domains".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<DomainSourceConfig>();
        let list = generator.subschema_for::<Vec<Domain>>();
        schemars::json_schema!({ "anyOf": [table, list] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DomainsConfig, String> {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_or_a_table() {
        let listed = parse(r#"["Example.ORG", "bücher.example"]"#).expect("a list");
        let names = ["example.org", "xn--bcher-kva.example"].map(|name| Domain::parse(name).expect(name));
        assert_eq!(listed, DomainsConfig::Listed(names.to_vec()));
        assert!(parse("[]").expect("a list").is_absent() && !listed.is_absent());
        assert!(!parse(r#"{"file": "/f"}"#).expect("a table").is_absent());
        for (bad, told) in [
            (r#""example.org""#, "a list of domains, or a table"),
            (r#"["-"]"#, "host name"),
            (r#"{"fil": "/f"}"#, "unknown field `fil`"),
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains(told), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_table() {
        let good = r#"{"connector": "corp", "filter": "(associatedDomain=%d)", "base_dn": ["dc=t"]}"#;
        let check = |text: &str| {
            let found = parse(text).expect(text).check(&["corp"]);
            let keys = found.into_iter().map(|problem| problem.key);
            keys.collect::<Vec<_>>()
        };
        assert_eq!(check(good), [""; 0]);
        assert_eq!(check(r#"["example.org"]"#), [""; 0]);
        for (text, keys) in [
            ("{}", &["domains"][..]),
            (
                r#"{"file": "f", "connector": "corp", "filter": "(a=%d)"}"#,
                &["domains.file"],
            ),
            (
                r#"{"file": "f", "filter": "(a=%d)", "base_dn": ["dc=t"]}"#,
                &["domains.filter", "domains.base_dn"],
            ),
            (
                r#"{"connector": "other", "filter": "(a=%d)"}"#,
                &["domains.connector"],
            ),
            (r#"{"connector": "corp"}"#, &["domains.filter"]),
            (
                r#"{"connector": "corp", "filter": "(objectClass=*)"}"#,
                &["domains.filter"],
            ),
            (
                r#"{"connector": "corp", "filter": "(|(a=%d)(mail=%e))"}"#,
                &["domains.filter"],
            ),
            (r#"{"connector": "corp", "filter": "(a=%d"}"#, &["domains.filter"]),
            (
                r#"{"connector": "corp", "filter": "(a=%d)", "base_dn": ["x"], "cache_ttl": 100000}"#,
                &["domains.base_dn.0", "domains.cache_ttl"],
            ),
        ] {
            assert_eq!(check(text), keys, "{text}");
        }
    }
}
