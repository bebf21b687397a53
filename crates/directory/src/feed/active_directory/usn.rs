//! Which objects changed since a change number of one domain controller: what serves where DirSync does not.
//!
//! Every object shows the number of its last change there (`uSNChanged`), a deleted one too, to those who may see
//! deleted objects.

use super::super::FeedError;
use super::super::link::Asker;
use super::super::read::told;
use super::Named;
use crate::account::entry_uuid;
use ldap::{Control, Filter, Scope, SearchRequest};

/// The objects of `filter` that changed after change number `since`.
pub(super) async fn ask(asker: &Asker, suffix: &str, filter: Filter, since: u64) -> Result<Named, FeedError> {
    let newer = Filter::GreaterOrEqual {
        attribute: "uSNChanged".to_owned(),
        value: since.saturating_add(1).to_string().into(),
    };
    let request = SearchRequest::new(suffix, Scope::Subtree, Filter::And(vec![newer, filter]))
        .attributes(["objectGUID", "isDeleted"])
        .control(Control::show_deleted());
    let page_size = asker.connector.config().page_size;
    let mut pages = asker
        .client
        .search_paged(request, page_size)
        .await
        .map_err(|error| told(&error, None))?;
    let mut named = Named::default();
    while let Some(entry) = pages.next_entry().await.map_err(|error| told(&error, None))? {
        if let Some(uuid) = entry_uuid(&entry) {
            let deleted = entry
                .first_str("isDeleted")
                .is_some_and(|text| text.eq_ignore_ascii_case("true"));
            named.add(uuid, deleted);
        }
    }
    Ok(named)
}
