//! What is known of all links together, from the sums that the store keeps: a start reads no link.

use super::SyncEngine;
use crate::engine::{Newest, Void, is_void};
use model::{EntryUuid, Timestamp};
use store::StoreError;

/// How many objects are in use, and how far a server must have come to be believed.
pub(super) async fn known(parts: &SyncEngine, void: &[Void]) -> Result<(u64, Newest), StoreError> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let counts = |csn: &str| !is_void(void, csn);
    let kept = store.link_sums(name)?;
    let certain = kept.filter(|sums| {
        let newest = sums.newest.as_ref();
        newest.is_some_and(|newest| newest.iter().all(|csn| counts(csn)))
    });
    let sums = match certain {
        Some(sums) => sums,
        // A store of an earlier release, a damaged row, or the newest entry of all went.
        None => store.count_links(name, counts).await?,
    };
    #[cfg(test)]
    assert_eq!(sums, folded(parts, &counts), "the sums are those of the links");
    let mut newest = Newest::default();
    for csn in sums.newest.iter().flatten() {
        newest.note(csn);
    }
    Ok((sums.living, newest))
}

/// Entries whose state ends by itself up to then.
pub(super) fn ends(parts: &SyncEngine, then: Timestamp) -> Result<Vec<(EntryUuid, Timestamp)>, StoreError> {
    parts.local.store.ends_until(&parts.config.name, then)
}

/// Linked entries that are wanted: with a million people nobody wants them all at once. Whoever reads them all can tell
/// whether the sums are true.
pub(super) async fn entries(
    parts: &SyncEngine,
    void: &[Void],
    wanted: impl Fn(EntryUuid) -> bool,
) -> Result<Vec<EntryUuid>, StoreError> {
    let (store, name) = (&parts.local.store, &parts.config.name);
    let mut found = Vec::new();
    let (links, kept) = store.linked_entries(name, |uuid| found.extend(wanted(uuid).then_some(uuid)))?;
    if kept != Some(links) {
        tracing::warn!(connector = %name, links, ?kept, "the links are counted anew");
        store.count_links(name, |csn| !is_void(void, csn)).await?;
    }
    Ok(found)
}

/// What the sums have to be, from the links themselves.
#[cfg(test)]
fn folded(parts: &SyncEngine, counts: &dyn Fn(&str) -> bool) -> store::LinkSums {
    let (mut sums, mut newest) = (store::LinkSums::default(), std::collections::BTreeMap::new());
    let read = parts.local.associations(|link| {
        sums.links += 1;
        sums.living += u64::from(link.data.state.is_living());
        let version = link.data.version.as_ref().filter(|version| counts(version));
        if let (store::LinkState::Linked, Some(version)) = (&link.data.state, version)
            && let Some(writer) = version.split('#').nth(2)
        {
            let known: &mut String = newest.entry(writer.to_owned()).or_default();
            *known = std::mem::take(known).max(version.clone());
        }
    });
    read.expect("the store reads");
    sums.newest = Some(newest.into_values().collect());
    sums
}
