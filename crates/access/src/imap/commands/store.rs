//! STORE (RFC 3501 section 6.4.6).

use crate::imap::reply::{self, Failure};
use crate::imap::session::{Session, relieve};
use crate::imap::updates;
use model::Flags;
use std::sync::Arc;
use store::{Entry, FlagChange};
use wire::imap::{StatusLine, Store, StoreAction, StoreAnswer};

pub(super) async fn run(session: &mut Session, store: Store) -> Result<StatusLine, Failure> {
    let (stream, selected) = session.selected()?;
    selected.writable()?;
    let uids = selected.uids(&store.numbers, store.by)?;
    let flags: Flags = store.flags.into_iter().collect();
    let change = match store.action {
        StoreAction::Replace => FlagChange::Replace(flags),
        StoreAction::Add => FlagChange::Add(flags),
        StoreAction::Remove => FlagChange::Remove(flags),
    };
    let outcome = selected.mailbox.store_flags(&uids, &change, None).await?;
    // Told here, or on purpose not at all; the news leave this change out.
    selected.answered(&outcome);
    if store.answer == StoreAnswer::Fetch {
        let now = selected.mailbox.snapshot();
        updates::tell_keywords(stream, selected, &now);
        let told = Arc::clone(&selected.told);
        let (mut told, mut newest) = (told.lookup(), now.lookup());
        let mut out = Vec::with_capacity(64);
        for uid in uids {
            let (Some(seq), Some(entry)) = (told.seq_of(uid), newest.by_uid(uid)) else {
                continue;
            };
            out.clear();
            updates::fetch_flags(&mut out, selected, &Entry { seq, ..entry });
            stream.write(&out);
            relieve(stream).await?;
        }
    }
    Ok(reply::ok("STORE completed"))
}
