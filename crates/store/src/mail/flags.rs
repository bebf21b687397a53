//! STORE.

use super::edit::has;
use super::mailbox::Mailbox;
use super::txn::Txn;
use super::types::{FlagChange, StoreOutcome};
use crate::StoreError;
use model::{Flag, ModSeq, Uid};
use std::collections::BTreeSet;

impl Mailbox {
    /// Changes flags. UIDs that are not there are passed over. With `unchanged_since`, messages whose MODSEQ
    /// is above it are left alone and listed (RFC 7162 section 3.1.3). In the kernel when this returns, on
    /// the disk within a second.
    pub async fn store_flags(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<StoreOutcome, StoreError> {
        let (store, id) = (&self.mail.store, self.id);
        store
            .write_mail(self.mail.id, 0, Some(id), |txn| {
                let mut outcome = StoreOutcome::default();
                let uids = match unchanged_since {
                    Some(limit) => {
                        let (newer, rest) = split(txn, self, uids, limit)?;
                        outcome.modified = newer;
                        rest
                    }
                    None => uids.to_vec(),
                };
                outcome.changed = apply(txn, self, &uids, change)?;
                outcome.modseq = ModSeq::new(txn.peek(id)?.row.highest_modseq).unwrap_or_default();
                Ok(outcome)
            })
            .await
    }
}

fn split(
    txn: &Txn<'_>,
    mailbox: &Mailbox,
    uids: &[Uid],
    limit: ModSeq,
) -> Result<(Vec<Uid>, Vec<Uid>), StoreError> {
    let wanted: BTreeSet<Uid> = uids.iter().copied().collect();
    let chunks = txn.peek(mailbox.id)?.chunks();
    let items = chunks.iter().flat_map(|chunk| chunk.items());
    let newer: BTreeSet<Uid> = items
        .filter(|item| item.modseq > limit.get() && wanted.contains(&item.uid))
        .map(|item| item.uid)
        .collect();
    let rest = wanted.difference(&newer).copied().collect();
    Ok((newer.into_iter().collect(), rest))
}

fn apply(
    txn: &mut Txn<'_>,
    mailbox: &Mailbox,
    uids: &[Uid],
    change: &FlagChange,
) -> Result<Vec<Uid>, StoreError> {
    let id = mailbox.id;
    match change {
        FlagChange::Replace(flags) => {
            let (system, keywords) = txn.intern(id, flags)?;
            txn.change_flags(id, uids, |_| Some((system, keywords.clone())))
        }
        FlagChange::Add(flags) => {
            let (system, keywords) = txn.intern(id, flags)?;
            txn.change_flags(id, uids, |item| {
                let mut all = [item.keywords.as_slice(), &keywords].concat();
                all.sort_unstable();
                all.dedup();
                Some((item.flags | system, all))
            })
        }
        FlagChange::Remove(flags) => {
            // A keyword that the mailbox does not know cannot be set, so it need not be entered.
            let table = std::sync::Arc::clone(&txn.peek(id)?.row.keywords);
            let doomed: Vec<Flag> = flags.keywords().iter().cloned().map(Flag::Keyword).collect();
            let system = flags.system_bits();
            txn.change_flags(id, uids, |item| {
                let mut kept = item.keywords.clone();
                if doomed.iter().any(|flag| has(item, flag, &table)) {
                    kept.retain(|index| {
                        let keyword = table.get(usize::from(*index));
                        keyword
                            .is_none_or(|keyword| !flags.keywords().iter().any(|gone| gone.matches(keyword)))
                    });
                }
                Some((item.flags & !system, kept))
            })
        }
    }
}
