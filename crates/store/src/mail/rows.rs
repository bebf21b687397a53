//! The byte form of an account's counters and of mailboxes.

use super::types::MailboxId;
use crate::codec::{Decoded, Reader, Writer};
use bytes::Bytes;
use model::{Keyword, MailboxName, SpecialUse, Uid, UidValidity};
use std::sync::Arc;

const VERSION: u8 = 1;

/// An account's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountRow {
    /// The run of the server that wrote it.
    pub(crate) boot: u64,
    /// The last MODSEQ used.
    pub(crate) modseq: u64,
    /// No MODSEQ above it was used before this row was durable.
    pub(crate) modseq_ceiling: u64,
    pub(crate) next_mailbox: u32,
    pub(crate) next_validity: u32,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

pub(crate) fn write_account(row: &AccountRow) -> Bytes {
    Writer::new(VERSION)
        .num(row.boot)
        .num(row.modseq)
        .num(row.modseq_ceiling)
        .num(u64::from(row.next_mailbox))
        .num(u64::from(row.next_validity))
        .num(row.bytes)
        .num(row.messages)
        .done()
}

pub(crate) fn read_account(row: &[u8]) -> Decoded<AccountRow> {
    let mut r = Reader::new(row, "mail counters", VERSION)?;
    let row = AccountRow {
        boot: r.num()?,
        modseq: r.num()?,
        modseq_ceiling: r.num()?,
        next_mailbox: r.num32()?,
        next_validity: r.num32()?,
        bytes: r.num()?,
        messages: r.num()?,
    };
    r.end()?;
    Ok(row)
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailboxRow {
    pub(crate) id: MailboxId,
    pub(crate) boot: u64,
    pub(crate) name: MailboxName,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) uid_validity: UidValidity,
    /// Zero once the last UID is used up.
    pub(crate) uid_next: u32,
    /// No UID at or above it was used before this row was durable.
    pub(crate) uid_ceiling: u32,
    pub(crate) highest_modseq: u64,
    pub(crate) messages: u32,
    pub(crate) unseen: u32,
    pub(crate) deleted: u32,
    pub(crate) recent: u32,
    /// UIDs from this one on have not been shown as `\Recent`.
    pub(crate) recent_from: u32,
    pub(crate) size: u64,
    /// Key of the last chunk.
    pub(crate) tail: Option<Uid>,
    pub(crate) keywords: Arc<Vec<Keyword>>,
}

pub(crate) fn write_mailbox(row: &MailboxRow) -> Bytes {
    Writer::new(VERSION)
        .num(row.boot)
        .text(row.name.as_str())
        .u8(row.special_use.map_or(0, |special| special as u8))
        .num(u64::from(row.uid_validity.get()))
        .num(u64::from(row.uid_next))
        .num(u64::from(row.uid_ceiling))
        .num(row.highest_modseq)
        .num(u64::from(row.messages))
        .num(u64::from(row.unseen))
        .num(u64::from(row.deleted))
        .num(u64::from(row.recent))
        .num(u64::from(row.recent_from))
        .num(row.size)
        .num(row.tail.map_or(0, |tail| u64::from(tail.get())))
        .list(row.keywords.iter(), |w, keyword| {
            w.text(keyword.as_str());
        })
        .done()
}

pub(crate) fn read_mailbox(id: MailboxId, row: &[u8]) -> Decoded<MailboxRow> {
    let mut r = Reader::new(row, "mailbox", VERSION)?;
    let boot = r.num()?;
    let name = r.str()?;
    let name = MailboxName::parse(name).map_err(|_| r.corrupt())?;
    let special = r.u8()?;
    let row = MailboxRow {
        id,
        boot,
        name,
        special_use: SpecialUse::ALL.into_iter().find(|known| *known as u8 == special),
        uid_validity: UidValidity::new(r.num32()?).map_err(|_| r.corrupt())?,
        uid_next: r.num32()?,
        uid_ceiling: r.num32()?,
        highest_modseq: r.num()?,
        messages: r.num32()?,
        unseen: r.num32()?,
        deleted: r.num32()?,
        recent: r.num32()?,
        recent_from: r.num32()?,
        size: r.num()?,
        tail: Uid::new(r.num32()?).ok(),
        keywords: Arc::new(r.list(|r| {
            let text = r.str()?;
            Keyword::parse(text).map_err(|_| r.corrupt())
        })?),
    };
    r.end()?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mailbox() -> MailboxRow {
        MailboxRow {
            id: MailboxId(3),
            boot: 1,
            name: MailboxName::parse("Entwürfe/x").expect("name"),
            special_use: Some(SpecialUse::Drafts),
            uid_validity: UidValidity::new(77).expect("validity"),
            uid_next: 9,
            uid_ceiling: 137,
            highest_modseq: 12,
            messages: 4,
            unseen: 2,
            deleted: 1,
            recent: 1,
            recent_from: 8,
            size: 4096,
            tail: Uid::new(5).ok(),
            keywords: Arc::new(vec![Keyword::parse("$Forwarded").expect("keyword")]),
        }
    }

    #[test]
    fn mailboxes_round_trip() {
        let row = mailbox();
        assert_eq!(read_mailbox(row.id, &write_mailbox(&row)).expect("reads"), row);
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..60, x: u8, cut in 0usize..60) {
            let mut row = write_mailbox(&mailbox()).to_vec();
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            row.truncate(cut);
            let _ = read_mailbox(MailboxId(3), &row);
            let _ = read_account(&row);
        }
    }
}
