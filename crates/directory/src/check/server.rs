//! What the server says of itself in its root DSE (RFC 4512 section 5.1).

use super::Report;
use crate::config::{ConnectorConfig, ServerType};
use crate::patterns::Patterns;
use ldap::{Client, Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};

/// Transactions (RFC 5805): OpenLDAP offers them since 2.5.
const START_TRANSACTION: &str = "1.3.6.1.1.21.1";
/// MS-ADTS section 3.1.1.3.4.3.1: "this is Active Directory".
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

pub(super) fn base(dn: impl Into<String>, attributes: &[&str]) -> SearchRequest {
    SearchRequest::new(dn, Scope::Base, Filter::Present("objectClass".to_owned()))
        .attributes(attributes.iter().copied())
}

/// Reads the root DSE and the base DNs; none when the root DSE cannot be read.
pub(super) async fn look(
    client: &Client,
    config: &ConnectorConfig,
    patterns: &Patterns,
    report: &mut Report,
) -> Option<Entry> {
    let remedy = "let everybody read it: access to dn.base=\"\" by * read";
    let root = match client.search_all(base("", &["*", "+"]), 1).await {
        Ok(mut found) => found.pop(),
        Err(error) => {
            report.wrong("version", format!("the root DSE: {error}"), remedy);
            return None;
        }
    };
    let Some(root) = root else {
        report.wrong("version", "the root DSE cannot be read", remedy);
        return None;
    };
    version(config, &root, report);
    naming_context(&root, patterns, report);
    bases(client, patterns, report).await;
    Some(root)
}

fn version(config: &ConnectorConfig, root: &Entry, report: &mut Report) {
    let has = |attribute: &str, value: &str| root.strings(attribute).any(|found| found == value);
    let is_ad = has("supportedCapabilities", ACTIVE_DIRECTORY);
    match (config.server_type, is_ad) {
        (ServerType::Openldap, true) => {
            let remedy = "set server_type = \"active-directory\"";
            report.wrong("version", "this is Active Directory", remedy);
        }
        (ServerType::ActiveDirectory, false) => {
            let remedy = "set server_type = \"openldap\"";
            report.wrong("version", "this is not Active Directory", remedy);
        }
        (ServerType::ActiveDirectory, true) => report.good("version", "Active Directory, LDAPv3"),
        (ServerType::Openldap, false) if !root.has_object_class("OpenLDAProotDSE") => {
            let named = root.first_str("vendorVersion").or(root.first_str("vendorName"));
            let text = format!("{}, LDAPv3", named.unwrap_or("a server of unknown make"));
            report.note(
                "version",
                text,
                "tested are OpenLDAP 2.5 and newer and Active Directory",
            );
        }
        (ServerType::Openldap, false) if has("supportedExtension", START_TRANSACTION) => {
            report.good("version", "OpenLDAP 2.5 or newer, LDAPv3");
        }
        (ServerType::Openldap, false) => {
            let remedy = "update to OpenLDAP 2.5 or newer: change notification in 2.4 loses deletions";
            report.wrong("version", "OpenLDAP 2.4 or older", remedy);
        }
    }
}

fn naming_context(root: &Entry, patterns: &Patterns, report: &mut Report) {
    let contexts: Vec<&str> = root.strings("namingContexts").collect();
    let top = &patterns.top;
    let holds = |text: &&str| Dn::parse(text).is_ok_and(|dn| dn == *top || top.is_below(&dn));
    if contexts.iter().any(holds) {
        return;
    }
    let remedy = "name bases inside of what the server holds, in accounts.base_dn and groups.base_dn";
    let text = format!("the server holds {}, and not {top}", contexts.join(" | "));
    report.wrong("base", text, remedy);
}

async fn bases(client: &Client, patterns: &Patterns, report: &mut Report) {
    let groups = patterns.groups.iter().flat_map(|half| &half.bases);
    for dn in patterns.accounts.bases.iter().chain(groups) {
        let found = client.search_all(base(dn.to_string(), &["1.1"]), 1).await;
        match found {
            Ok(found) if !found.is_empty() => report.good("base", format!("{dn} is there")),
            Ok(_) => report.wrong("base", format!("{dn} cannot be read"), RIGHTS),
            Err(error) if no_such_object(&error) => {
                let remedy = "it does not exist, or the service identity may not see it: correct base_dn, add the \
                              entry, or grant read access";
                report.wrong("base", format!("{dn}: {error}"), remedy);
            }
            Err(error) => report.wrong("base", format!("{dn}: {error}"), RIGHTS),
        }
    }
}

/// The remedy for what the service identity does not see.
pub(super) const RIGHTS: &str = "grant the service identity (bind_dn) read access";

pub(super) fn no_such_object(error: &LdapError) -> bool {
    error.code() == Some(ResultCode::NoSuchObject)
}
