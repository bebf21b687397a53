//! The keys of every row. Numbers are big-endian, so that key order is number order.

use crate::LocalId;
use crate::mail::MailboxId;
use model::{AccountId, Address, Domain, EntryUuid, GroupId, Uid};

// Space::Meta
pub(crate) const SCHEMA: &[u8] = b"schema";
pub(crate) const SEQUENCE: &[u8] = b"sequence";
pub(crate) const JOURNAL: &[u8] = b"journal";
pub(crate) const CLEAN: &[u8] = b"clean";
pub(crate) const NEXT_ID: &[u8] = b"next-id";
pub(crate) const BOOT: &[u8] = b"boot";
/// Whether there is an index of the members that groups name by address.
pub(crate) const NAMED: &[u8] = b"named";
/// Who this server is.
pub(crate) const NODE: &[u8] = b"node";
/// The wall clock at the last housekeeping.
pub(crate) const HOUSEKEEPING: &[u8] = b"housekeeping";
pub(crate) const UNCLEAN: &[u8] = b"unclean";
/// Says nothing: it is written so that the engine lets go of what it keeps.
pub(crate) const RESTED: &[u8] = b"rested";
/// Rows of a file that is being made, and what follows once it is there.
pub(crate) const LOADING: &[u8] = b"loading";

// Space::Log
pub(crate) fn journal(seq: u64) -> Vec<u8> {
    tagged(b'J', &[&seq.to_be_bytes()])
}

// Space::Directory
pub(crate) const DOMAINS: &[u8] = b"D";

pub(crate) fn domain(domain: &Domain) -> Vec<u8> {
    tagged(b'D', &[domain.as_str().as_bytes()])
}

pub(crate) fn account(id: AccountId) -> Vec<u8> {
    tagged(b'U', &[&id.get().to_be_bytes()])
}

pub(crate) fn group(id: GroupId) -> Vec<u8> {
    tagged(b'G', &[&id.get().to_be_bytes()])
}

/// Every group that names this address as a member.
pub(crate) fn named_in(address: &str) -> Vec<u8> {
    tagged(b'M', &[address.as_bytes(), b"\0"])
}

pub(crate) fn named(address: &str, group: GroupId) -> Vec<u8> {
    tagged(b'M', &[address.as_bytes(), b"\0", &group.get().to_be_bytes()])
}

pub(crate) fn names_of(domain: &str) -> Vec<u8> {
    tagged(b'I', &[domain.as_bytes(), b"\0"])
}

/// The address index: unique, case-insensitive.
pub(crate) fn name(address: &Address) -> Vec<u8> {
    let local = address.local_part();
    let mut key = tagged(b'I', &[address.domain_str().as_bytes(), b"\0", local.as_bytes()]);
    let begin = key.len() - local.len();
    if let Some(local) = key.get_mut(begin..) {
        local.make_ascii_lowercase();
    }
    key
}

/// All links of all connectors, by the object here.
pub(crate) const fn links() -> &'static [u8] {
    b"L"
}

pub(crate) fn links_of(local: LocalId) -> Vec<u8> {
    tagged(b'L', &[&local.to_bytes()])
}

pub(crate) fn link(connector: &str, local: LocalId) -> Vec<u8> {
    tagged(b'L', &[&local.to_bytes(), connector.as_bytes()])
}

pub(crate) fn remotes_of(connector: &str) -> Vec<u8> {
    tagged(b'R', &[connector.as_bytes(), b"\0"])
}

pub(crate) fn remote(connector: &str, uuid: EntryUuid) -> Vec<u8> {
    tagged(b'R', &[connector.as_bytes(), b"\0", uuid.as_bytes()])
}

pub(crate) fn connector(name: &str) -> Vec<u8> {
    tagged(b'S', &[name.as_bytes()])
}

/// What the links of a connector come to.
pub(crate) fn sums(connector: &str) -> Vec<u8> {
    tagged(b'Y', &[connector.as_bytes()])
}

pub(crate) fn quarantine_of(connector: &str) -> Vec<u8> {
    tagged(b'Q', &[connector.as_bytes(), b"\0"])
}

pub(crate) fn quarantine(connector: &str, object: &str) -> Vec<u8> {
    tagged(b'Q', &[connector.as_bytes(), b"\0", object.as_bytes()])
}

/// Mail that is no longer reachable and still has to be removed.
pub(crate) const ERASING: &[u8] = b"E";

/// The whole account's mail.
pub(crate) fn erasing(id: AccountId) -> Vec<u8> {
    tagged(b'E', &[&id.get().to_be_bytes()])
}

/// One mailbox's mail.
pub(crate) fn erasing_mailbox(id: AccountId, mailbox: MailboxId) -> Vec<u8> {
    tagged(b'E', &[&id.get().to_be_bytes(), &mailbox.get().to_be_bytes()])
}

// Space::Mail: account, tag, rest
pub(crate) fn mail(id: AccountId) -> Vec<u8> {
    id.get().to_be_bytes().to_vec()
}

fn mail_tag(id: AccountId, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = mail(id);
    key.push(tag);
    rest.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The account's counters.
pub(crate) fn mail_account(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'A', &[])
}

/// The owner's epoch: a precondition of every commit of mail.
pub(crate) fn owner(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'O', &[])
}

pub(crate) fn mailboxes(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'M', &[])
}

pub(crate) fn mailbox(id: AccountId, mailbox: MailboxId) -> Vec<u8> {
    mail_tag(id, b'M', &[&mailbox.get().to_be_bytes()])
}

pub(crate) fn chunks(id: AccountId, mailbox: MailboxId) -> Vec<u8> {
    mail_tag(id, b'C', &[&mailbox.get().to_be_bytes()])
}

pub(crate) fn chunk(id: AccountId, mailbox: MailboxId, first: Uid) -> Vec<u8> {
    mail_tag(
        id,
        b'C',
        &[&mailbox.get().to_be_bytes(), &first.get().to_be_bytes()],
    )
}

pub(crate) fn messages(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'R', &[])
}

pub(crate) fn messages_of(id: AccountId, mailbox: MailboxId) -> Vec<u8> {
    mail_tag(id, b'R', &[&mailbox.get().to_be_bytes()])
}

pub(crate) fn message(id: AccountId, mailbox: MailboxId, uid: Uid) -> Vec<u8> {
    mail_tag(
        id,
        b'R',
        &[&mailbox.get().to_be_bytes(), &uid.get().to_be_bytes()],
    )
}

pub(crate) fn expunged_all(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'X', &[])
}

pub(crate) fn expunged_of(id: AccountId, mailbox: MailboxId) -> Vec<u8> {
    mail_tag(id, b'X', &[&mailbox.get().to_be_bytes()])
}

pub(crate) fn expunged(id: AccountId, mailbox: MailboxId, modseq: u64) -> Vec<u8> {
    mail_tag(id, b'X', &[&mailbox.get().to_be_bytes(), &modseq.to_be_bytes()])
}

pub(crate) fn subscriptions(id: AccountId) -> Vec<u8> {
    mail_tag(id, b'S', &[])
}

pub(crate) fn subscription(id: AccountId, name: &str) -> Vec<u8> {
    mail_tag(id, b'S', &[name.as_bytes()])
}

// Space::Repeat: day, digest
pub(crate) fn repeat(day: u32, digest: &[u8; 32]) -> Vec<u8> {
    let mut key = day.to_be_bytes().to_vec();
    key.extend_from_slice(digest);
    key
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

impl LocalId {
    /// Kind and number.
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let (kind, number) = match self {
            Self::Account(id) => (1, id.get()),
            Self::Group(id) => (2, id.get()),
        };
        let mut bytes = [kind; 9];
        let (_, tail) = bytes.split_at_mut(1);
        tail.copy_from_slice(&number.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, number) = bytes.split_first()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        match kind {
            1 => AccountId::new(number).ok().map(Self::Account),
            2 => GroupId::new(number).ok().map(Self::Group),
            _ => None,
        }
    }
}
