//! Does Active Directory tell us of changes, and of all of them (MS-ADTS section 3.1.1.3.4.1.3)?

use super::{Report, server};
use crate::patterns::Patterns;
use bytes::Bytes;
use ldap::control::{DirSyncRequest, DirSyncRights, DirSyncValues};
use ldap::{Client, Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};

pub(super) async fn look(client: &Client, root: &Entry, patterns: &Patterns, report: &mut Report) {
    if !root
        .strings("supportedControl")
        .any(|oid| oid == DirSyncRequest::OID)
    {
        let remedy = "connect to a domain controller, not to a global catalogue";
        report.wrong("changes", "the server does not offer DirSync", remedy);
        return;
    }
    let Some(suffix) = domain(root, patterns) else {
        // The base was looked at before.
        return;
    };
    let full = match ask(client, &suffix, DirSyncRights::Replication).await {
        Ok(()) => {
            let text = "bind_dn may use DirSync with every right: changes and deletions are told";
            report.good("changes", text);
            return;
        }
        Err(error) => error,
    };
    if full.code() != Some(ResultCode::InsufficientAccessRights) {
        report.wrong("changes", format!("DirSync: {full}"), server::RIGHTS);
        return;
    }
    match ask(client, &suffix, DirSyncRights::ObjectSecurity).await {
        Ok(()) => report.note(
            "changes",
            "bind_dn uses DirSync with the rights of an ordinary account: deletions are noticed every \
             audit_interval only",
            format!(
                "enough for a front end; for synchronisation grant \"Replicating Directory Changes\": dsacls \
                 \"{suffix}\" /G \"ACCOUNT:CA;Replicating Directory Changes\""
            ),
        ),
        Err(error) => report.wrong("changes", format!("DirSync: {error}"), server::RIGHTS),
    }
}

/// The naming context that holds our bases.
fn domain(root: &Entry, patterns: &Patterns) -> Option<String> {
    let contexts = root.strings("namingContexts");
    contexts
        .filter(|text| Dn::parse(text).is_ok_and(|dn| dn == patterns.top || patterns.top.is_below(&dn)))
        .max_by_key(|text| text.len())
        .map(str::to_owned)
}

/// One question that nothing answers to, so that the right alone decides.
async fn ask(client: &Client, suffix: &str, rights: DirSyncRights) -> Result<(), LdapError> {
    let nothing = Filter::Not(Box::new(Filter::Present("objectClass".to_owned())));
    let control = DirSyncRequest {
        rights,
        values: DirSyncValues::Whole,
        max_bytes: 0,
        cookie: Bytes::new(),
    };
    let request = SearchRequest::new(suffix, Scope::Subtree, nothing)
        .attributes(["objectGUID"])
        .control(control.to_control());
    client.search_all(request, 1).await.map(drop)
}
