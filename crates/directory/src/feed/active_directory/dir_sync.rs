//! DirSync, one answer at a time: which objects changed since a cookie (MS-ADTS section 3.1.1.3.4.1.3).
//!
//! It shows only what changed of an object, and not always in an order that makes sense, so the names are all
//! that is taken from it.

use super::super::FeedError;
use super::super::link::Asker;
use super::super::read::told;
use super::Named;
use crate::account::entry_uuid;
use bytes::Bytes;
use ldap::control::{DirSyncDone, DirSyncRequest, DirSyncRights, DirSyncValues};
use ldap::{Filter, LdapError, ResultCode, Scope, SearchItem, SearchRequest};

/// What the server computes itself, or what grows with every change: nothing to listen for.
const NEVER_CHANGED: [&str; 3] = ["msDS-User-Account-Control-Computed", "uSNChanged", "objectGUID"];
/// More objects than any answer names.
const MAX_NAMED: usize = 10_000_000;

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) named: Named,
    /// The server's cookie after it.
    pub(super) cookie: Vec<u8>,
    /// Whether there is more to be asked for at once.
    pub(super) more: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// The right is missing.
    Rights,
    /// The server does not offer DirSync.
    NotOffered,
    /// Everything else.
    Failed(FeedError),
}

/// Asks for what changed since `cookie`, or since the beginning when that is empty.
pub(super) async fn ask(
    asker: &Asker,
    suffix: &str,
    filter: Filter,
    rights: DirSyncRights,
    cookie: &[u8],
) -> Result<Answer, Refused> {
    let control = DirSyncRequest {
        rights,
        values: DirSyncValues::Incremental,
        max_bytes: 0,
        cookie: Bytes::copy_from_slice(cookie),
    };
    let listened_for = asker
        .attributes()
        // An attribute that is not asked for makes no event, and one that only a filter looks at counts as well.
        .chain(asker.connector.patterns().filtered_by())
        .filter(|name| !NEVER_CHANGED.iter().any(|never| never.eq_ignore_ascii_case(name)))
        // An object that was renamed or moved has a new `name`, a deleted one `isDeleted`.
        .chain(["name", "isDeleted"].map(str::to_owned));
    let request = SearchRequest::new(suffix, Scope::Subtree, filter)
        .attributes(listened_for)
        .control(control.to_control());
    let refused = |error: &LdapError| refused(error, cookie.is_empty());
    let mut stream = asker
        .client
        .search(request)
        .await
        .map_err(|error| refused(&error))?;
    let mut named = Named::default();
    while let Some(item) = stream.next().await.map_err(|error| refused(&error))? {
        let SearchItem::Entry { entry, .. } = item else {
            continue;
        };
        let Some(uuid) = entry_uuid(&entry) else { continue };
        let deleted = entry
            .first_str("isDeleted")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        named.add(uuid, deleted);
        if named.len() > MAX_NAMED {
            let message = format!("DirSync names more than {MAX_NAMED} objects in one answer");
            return Err(Refused::Failed(FeedError::Protocol(message)));
        }
    }
    let broken = |what: String| Refused::Failed(FeedError::Protocol(format!("DirSync: {what}")));
    let controls = stream.outcome().map(|outcome| outcome.controls.as_slice());
    let done = DirSyncDone::find(controls.unwrap_or_default())
        .map_err(|error| broken(error.to_string()))?
        .ok_or_else(|| broken("an answer without a cookie".to_owned()))?;
    Ok(Answer {
        named,
        cookie: done.cookie.to_vec(),
        more: done.more,
    })
}

fn refused(error: &LdapError, from_the_beginning: bool) -> Refused {
    match error.code() {
        Some(ResultCode::InsufficientAccessRights) => Refused::Rights,
        Some(ResultCode::UnavailableCriticalExtension) if from_the_beginning => Refused::NotOffered,
        // Observed on Samba: a cookie that it cannot read. Windows says that it is unwilling.
        Some(
            ResultCode::UnavailableCriticalExtension
            | ResultCode::UnwillingToPerform
            | ResultCode::ProtocolError,
        ) if !from_the_beginning => Refused::Failed(FeedError::RefreshRequired),
        _ => Refused::Failed(told(error, None)),
    }
}
