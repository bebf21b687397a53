//! Does the server know the classes and attributes that the configuration names (RFC 4512 section 4.2)?

use super::{Report, server};
use crate::config::ConnectorConfig;
use crate::patterns::Patterns;
use ldap::{Client, Entry};
use std::collections::HashSet;

pub(super) async fn look(
    client: &Client,
    root: &Entry,
    config: &ConnectorConfig,
    patterns: &Patterns,
    report: &mut Report,
) {
    let remedy = "let everybody read it: access to dn.base=\"cn=Subschema\" by * read";
    let place = root.first_str("subschemaSubentry").unwrap_or("cn=Subschema");
    let request = server::base(place, &["attributeTypes", "objectClasses"]);
    let found = match client.search_all(request, 1).await {
        Ok(mut found) => found.pop().unwrap_or_default(),
        Err(error) => {
            report.note("schema", format!("{place}: {error}"), remedy);
            return;
        }
    };
    let attributes = names(&found, "attributeTypes");
    let classes = names(&found, "objectClasses");
    if attributes.is_empty() || classes.is_empty() {
        report.note("schema", format!("{place} cannot be read"), remedy);
        return;
    }
    let before = report.findings.len();
    let halves = [Some(&patterns.accounts), patterns.groups.as_ref()];
    for class in halves
        .into_iter()
        .flatten()
        .map(crate::patterns::Half::object_class)
    {
        if !classes.contains(&class.to_ascii_lowercase()) {
            let remedy = "set accounts.object_class or groups.object_class to a class that your entries have";
            report.wrong(
                "schema",
                format!("the server has no object class {class}"),
                remedy,
            );
        }
    }
    for (key, name, default) in mapped(config, patterns) {
        if attributes.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        let text = format!("the server has no attribute {name} (attributes.{key})");
        if default && name.starts_with("homing") {
            let remedy = "load packaging/openldap/homing.schema to use it, or map another attribute";
            report.note("schema", text, remedy);
        } else {
            let remedy = format!("set attributes.{key} to the attribute that your entries have");
            report.wrong("schema", text, remedy);
        }
    }
    if report.findings.len() == before {
        report.good("schema", "the server knows every class and attribute in use");
    }
}

/// The mapped attributes with their key, and whether the name is our default.
fn mapped<'a>(config: &ConnectorConfig, patterns: &'a Patterns) -> Vec<(&'static str, &'a str, bool)> {
    let (given, map) = (&config.attributes, &patterns.map);
    let mut all = vec![
        ("mail", map.mail.as_str(), given.mail.is_none()),
        ("aliases", &map.aliases, given.aliases.is_none()),
        ("password", &map.password, given.password.is_none()),
        ("display_name", &map.display_name, given.display_name.is_none()),
        ("enabled", &map.enabled.attribute, given.enabled.is_none()),
        ("login", &map.login, given.login.is_none()),
    ];
    all.extend(
        map.host
            .as_deref()
            .map(|name| ("host", name, given.host.is_none())),
    );
    all.extend(
        map.quota
            .as_deref()
            .map(|name| ("quota", name, given.quota.is_none())),
    );
    if patterns.groups.is_some() {
        all.push(("members", &map.members, given.members.is_none()));
    }
    all
}

/// All names in definitions such as `( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )`, in lower case.
fn names(entry: &Entry, attribute: &str) -> HashSet<String> {
    let definitions = entry.strings(attribute);
    definitions.flat_map(names_of).collect()
}

fn names_of(definition: &str) -> Vec<String> {
    let Some((_, rest)) = definition.split_once(" NAME ") else {
        return Vec::new();
    };
    let rest = rest.trim_start();
    let quoted = match rest.strip_prefix('(') {
        Some(list) => list.split(')').next().unwrap_or_default(),
        None => {
            let end = rest.match_indices('\'').nth(1).map_or(0, |(at, _)| at + 1);
            rest.get(..end).unwrap_or_default()
        }
    };
    quoted
        .split('\'')
        .skip(1)
        .step_by(2)
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::names_of;

    #[test]
    fn names_of_definitions() {
        for (definition, names) in [
            (
                "( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'a ) b' SUP name )",
                vec!["cn", "commonname"],
            ),
            ("( 0.9.2342 NAME 'mail' DESC 'it''s' )", vec!["mail"]),
            ("( 1.2.3 DESC 'nameless' )", vec![]),
            ("( 1.2.3 NAME", vec![]),
            ("( 1.2.3 NAME 'open )", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(names_of(definition), names, "{definition}");
        }
    }
}
