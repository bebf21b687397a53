//! Does the server know the classes and attributes that the configuration names (RFC 4512 section 4.2)?

use super::{Report, server};
use crate::config::ConnectorConfig;
use crate::patterns::Patterns;
use crate::write::Schema;
use ldap::{Client, Entry};

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
    let schema = Schema::read(&found);
    if !schema.is_readable() {
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
        if !schema.has_class(class) {
            let remedy = "set accounts.object_class or groups.object_class to a class that your entries have";
            report.wrong(
                "schema",
                format!("the server has no object class {class}"),
                remedy,
            );
        }
    }
    for (key, name, default) in mapped(config, patterns) {
        if schema.has_attribute(name) {
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
        all.extend(map.group_mail.as_deref().map(|name| ("group_mail", name, false)));
    }
    all
}
