//! One account or group of a replica, and its packed form.

use super::keys::Keys;
use crate::EntryKind;
use crate::account::{AccountState, Host, StateEnd};
use crate::feed::ChangedEntry;
use crate::patterns::Patterns;
use ldap::Entry;
use model::{Clock, EntryUuid, Timestamp};

const UUID: usize = 16;
/// Flags, stamp, host.
const FIXED: usize = UUID + 1 + 4 + 4;
const FLAGS: usize = UUID;
const GROUP: u8 = 1;
const HELD: u8 = 1 << 1;
const SEEN: u8 = 1 << 2;
/// After the fixed part stands when the state ends by itself.
const ENDS: u8 = 1 << 3;
const STATE_SHIFT: u8 = 4;
/// The state after that.
const THEN_SHIFT: u8 = 6;
/// Octets of a moment, in seconds.
const END: usize = 4;
/// Octets of a text's length and role.
const TEXT_HEAD: usize = 2;
const ROLE_SHIFT: u16 = 14;
const LONGEST_TEXT: usize = (1 << ROLE_SHIFT) - 1;

/// What a text of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A value of the mail attribute; the first one is the account's address.
    Mail,
    /// A further address.
    Alias,
    /// `@domain`: every address of the domain that nobody else has.
    CatchAll,
    /// The name of a bare login.
    Login,
}

/// What a replica keeps of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) uuid: EntryUuid,
    pub(super) kind: EntryKind,
    pub(super) state: AccountState,
    pub(super) end: Option<StateEnd>,
    /// A digest of what changes with the password; 0 when the entry shows nothing of that sort.
    pub(super) stamp: u32,
    pub(super) host: Host,
    /// The address first.
    pub(super) texts: Vec<(Role, String)>,
}

/// A packed record.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a>(&'a [u8]);

impl Facts {
    /// What an entry of the feed tells; none when it is no mail account.
    pub(super) fn read(changed: &ChangedEntry, patterns: &Patterns, keys: &Keys, stamp: u32) -> Option<Self> {
        let kind = changed.kind?;
        let account = changed.account.as_ref().ok()?;
        let mut texts = vec![(Role::Mail, account.address.as_str().to_owned())];
        let mut add = |role: Role, text: &str| {
            let known = |(other, known): &(Role, String)| {
                (*other == Role::Login) == (role == Role::Login) && known.eq_ignore_ascii_case(text)
            };
            if text.len() <= LONGEST_TEXT && !text.is_empty() && !texts.iter().any(known) {
                texts.push((role, text.to_owned()));
            }
        };
        let mails = changed.entry.strings(&patterns.map.mail);
        for mail in mails.filter_map(|text| patterns.read_address(text).ok()) {
            add(Role::Mail, mail.as_str());
        }
        for (role, text) in keys.texts(patterns, &changed.entry, kind == EntryKind::Account) {
            add(role, &text);
        }
        Some(Self {
            uuid: changed.uuid,
            kind,
            state: account.state,
            end: account.state_until,
            stamp,
            host: account.host.clone(),
            texts,
        })
    }

    /// The packed form; `host` is the host's number.
    pub(super) fn pack(&self, host: u32) -> Vec<u8> {
        let texts: usize = self.texts.iter().map(|(_, text)| TEXT_HEAD + text.len()).sum();
        let end = self.end.and_then(|end| {
            let secs = u32::try_from(end.at.as_secs()).ok()?;
            Some((secs, ENDS | state_number(end.then) << THEN_SHIFT))
        });
        let mut packed = Vec::with_capacity(FIXED + END + texts);
        packed.extend_from_slice(self.uuid.as_bytes());
        let group = if self.kind == EntryKind::Group { GROUP } else { 0 };
        let ends = end.map_or(0, |(_, flags)| flags);
        packed.push(group | state_number(self.state) << STATE_SHIFT | ends);
        packed.extend_from_slice(&self.stamp.to_le_bytes());
        packed.extend_from_slice(&host.to_le_bytes());
        if let Some((secs, _)) = end {
            packed.extend_from_slice(&secs.to_le_bytes());
        }
        for (role, text) in &self.texts {
            let length = u16::try_from(text.len()).unwrap_or(0);
            packed.extend_from_slice(&(length | role_number(*role) << ROLE_SHIFT).to_le_bytes());
            packed.extend_from_slice(text.as_bytes());
        }
        packed
    }
}

impl<'a> View<'a> {
    /// A record of the arena, or of a snapshot whose checksum is not known yet: nothing is taken for granted.
    pub(super) fn new(packed: &'a [u8]) -> Option<Self> {
        (packed.len() >= FIXED).then_some(Self(packed))
    }

    pub(super) fn uuid(self) -> EntryUuid {
        EntryUuid::from_bytes(self.array(0))
    }

    pub(super) fn kind(self) -> EntryKind {
        match self.flags() & GROUP {
            0 => EntryKind::Account,
            _ => EntryKind::Group,
        }
    }

    /// The state that the entry told.
    pub(super) fn state(self) -> AccountState {
        numbered(self.flags() >> STATE_SHIFT)
    }

    /// The state now: an account may have ended since, and no change was reported then.
    pub(super) fn state_by(self, clock: &dyn Clock) -> AccountState {
        match self.end() {
            Some(end) if end.at <= clock.now() => end.then,
            _ => self.state(),
        }
    }

    fn end(self) -> Option<StateEnd> {
        (self.flags() & ENDS != 0).then(|| StateEnd {
            at: Timestamp::from_millis(u64::from(u32::from_le_bytes(self.array(FIXED))) * 1000),
            then: numbered(self.flags() >> THEN_SHIFT),
        })
    }

    /// Whether the entry seems to be gone and too many others with it.
    pub(super) fn is_held(self) -> bool {
        self.flags() & HELD != 0
    }

    /// Whether the refresh that is under way has named it.
    pub(super) fn is_seen(self) -> bool {
        self.flags() & SEEN != 0
    }

    pub(super) fn stamp(self) -> u32 {
        u32::from_le_bytes(self.array(UUID + 1))
    }

    pub(super) fn host(self) -> u32 {
        u32::from_le_bytes(self.array(UUID + 5))
    }

    /// The texts, the address first.
    pub(super) fn texts(self) -> impl Iterator<Item = (Role, &'a str)> {
        self.octets()
            .map_while(|(role, text)| Some((role, std::str::from_utf8(text).ok()?)))
    }

    /// The same without a look at each octet.
    pub(super) fn octets(self) -> impl Iterator<Item = (Role, &'a [u8])> {
        let head = match self.flags() & ENDS {
            0 => FIXED,
            _ => FIXED + END,
        };
        let mut rest = self.0.get(head..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<TEXT_HEAD>()?;
            let head = u16::from_le_bytes(*head);
            let length = usize::from(head & ((1 << ROLE_SHIFT) - 1));
            let (text, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some((role(head >> ROLE_SHIFT), text))
        })
    }

    /// The account's address.
    pub(super) fn address(self) -> Option<&'a str> {
        self.texts().next().map(|(_, text)| text)
    }

    /// The unpacked form with this host and no stamp.
    pub(super) fn facts(self, host: Host) -> Facts {
        Facts {
            uuid: self.uuid(),
            kind: self.kind(),
            state: self.state(),
            end: self.end(),
            stamp: 0,
            host,
            texts: self.texts().map(|(role, text)| (role, text.to_owned())).collect(),
        }
    }

    fn flags(self) -> u8 {
        self.0.get(FLAGS).copied().unwrap_or(0)
    }

    fn array<const N: usize>(self, start: usize) -> [u8; N] {
        let bytes = self
            .0
            .get(start..start + N)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or([0; N])
    }
}

/// A mark of a record that can be set and cleared in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Held,
    Seen,
}

/// Sets the mark; true when it was not set before.
pub(super) fn set(packed: &mut [u8], mark: Mark) -> bool {
    change(packed, mark, |flags, bit| flags | bit)
}

/// Clears the mark; true when it was set before.
pub(super) fn clear(packed: &mut [u8], mark: Mark) -> bool {
    change(packed, mark, |flags, bit| flags & !bit)
}

fn change(packed: &mut [u8], mark: Mark, how: impl Fn(u8, u8) -> u8) -> bool {
    let bit = match mark {
        Mark::Held => HELD,
        Mark::Seen => SEEN,
    };
    let Some(flags) = packed.get_mut(FLAGS) else {
        return false;
    };
    let before = *flags;
    *flags = how(before, bit);
    *flags != before
}

/// Whether two packed records say the same, marks apart.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let plain = |packed: &[u8]| packed.get(FLAGS).map(|flags| flags & !(HELD | SEEN));
    one.len() == other.len()
        && plain(one) == plain(other)
        && one.get(..FLAGS) == other.get(..FLAGS)
        && one.get(FLAGS + 1..) == other.get(FLAGS + 1..)
}

/// A digest of the attributes that change when the password does, 0 when the entry shows none of them.
pub(super) fn password_stamp(entry: &Entry, attributes: &[String], key: &[u8; 32]) -> u32 {
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut any = false;
    for attribute in attributes {
        let mut values: Vec<&[u8]> = entry.get(attribute).iter().map(AsRef::as_ref).collect();
        any |= !values.is_empty();
        // The order of an attribute's values means nothing (RFC 4512 section 2.2).
        values.sort_unstable();
        for value in values {
            hasher.update(blake3::hash(value).as_bytes());
        }
        hasher.update(b"\0");
    }
    if !any {
        return 0;
    }
    let digest = hasher.finalize();
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    u32::from_le_bytes(first).max(1)
}

const fn state_number(state: AccountState) -> u8 {
    match state {
        AccountState::Active => 0,
        AccountState::Disabled => 1,
        AccountState::Locked => 2,
        AccountState::Expired => 3,
    }
}

/// Of the two lowest bits.
const fn numbered(number: u8) -> AccountState {
    match number & 3 {
        0 => AccountState::Active,
        1 => AccountState::Disabled,
        2 => AccountState::Locked,
        _ => AccountState::Expired,
    }
}

const fn role_number(role: Role) -> u16 {
    match role {
        Role::Mail => 0,
        Role::Alias => 1,
        Role::CatchAll => 2,
        Role::Login => 3,
    }
}

const fn role(number: u16) -> Role {
    match number {
        0 => Role::Mail,
        1 => Role::Alias,
        2 => Role::CatchAll,
        _ => Role::Login,
    }
}
