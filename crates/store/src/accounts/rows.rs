//! The byte form of domains, accounts, groups and journal entries.

use super::types::{Account, AccountState, DomainInfo, Group, Hash, JournalEntry, Member, Origin, Touched};
use crate::LocalId;
use crate::codec::{Decoded, Reader, Writer};
use crate::sync::RemovedBy;
use bytes::Bytes;
use model::{AccountId, Address, ByteSize, Domain, GroupId, Secret};
use std::borrow::Cow;

const VERSION: u8 = 1;

pub(super) fn write_domain(info: &DomainInfo) -> Bytes {
    Writer::new(VERSION)
        .time(info.created)
        .option(info.catch_all.as_ref(), |w, address| {
            w.text(&address_text(address));
        })
        .done()
}

pub(super) fn read_domain(domain: Domain, row: &[u8]) -> Decoded<DomainInfo> {
    let mut r = Reader::new(row, "domain", VERSION)?;
    let info = DomainInfo {
        domain,
        created: r.time()?,
        catch_all: r.option(Reader::address)?,
    };
    r.end()?;
    Ok(info)
}

/// The quoted form, which parses back.
fn address_text(address: &Address) -> Cow<'_, str> {
    address.written()
}

fn write_addresses(w: &mut Writer, addresses: &[Address]) {
    w.list(addresses.iter(), |w, address| {
        w.text(&address_text(address));
    });
}

pub(super) fn write_account(account: &Account) -> Bytes {
    account_row(account).done()
}

/// The same, not copied out yet.
pub(super) fn account_row(account: &Account) -> Writer {
    let mut w = Writer::new(VERSION);
    w.num(account.version)
        .time(account.created)
        .text(&address_text(&account.address));
    write_addresses(&mut w, &account.aliases);
    w.option(account.display_name.as_deref(), |w, name| {
        w.text(name);
    })
    .option(account.quota, |w, quota| {
        w.num(quota.0);
    })
    .flag(account.enabled)
    .option(account.password_hash(), |w, hash| {
        w.bytes(hash.expose());
    });
    match &account.state {
        AccountState::Active => w.u8(0),
        AccountState::SoftDeleted { until, by } => w.u8(4).time(*until).u8(match by {
            RemovedBy::Person => 0,
            RemovedBy::Sync => 1,
        }),
        AccountState::MovedAway { to } => w.u8(2).text(to),
        AccountState::AwaitingMail { from } => w.u8(3).text(from),
    };
    w
}

/// Decodes an account row.
pub(super) fn read_account(id: AccountId, row: &[u8]) -> Decoded<Account> {
    read_account_row(id, row).map_err(|error| error.of(id))
}

fn read_account_row(id: AccountId, row: &[u8]) -> Decoded<Account> {
    let mut r = Reader::new(row, "account", VERSION)?;
    let account = Account {
        id,
        version: r.num()?,
        created: r.time()?,
        address: r.address()?,
        aliases: r.list(Reader::address)?,
        display_name: r.option(Reader::text)?,
        quota: r.option(Reader::num)?.map(ByteSize),
        enabled: r.flag()?,
        password_hash: r.option(Reader::bytes)?.map(|hash| Hash(Secret::new(hash))),
        state: match r.u8()? {
            0 => AccountState::Active,
            // Written before the remover was: nobody knows, so no deletion follows from it.
            1 => AccountState::SoftDeleted {
                until: r.time()?,
                by: RemovedBy::Sync,
            },
            2 => AccountState::MovedAway { to: r.text()? },
            3 => AccountState::AwaitingMail { from: r.text()? },
            4 => AccountState::SoftDeleted {
                until: r.time()?,
                by: match r.u8()? {
                    0 => RemovedBy::Person,
                    1 => RemovedBy::Sync,
                    _ => return Err(r.corrupt()),
                },
            },
            _ => return Err(r.corrupt()),
        },
    };
    r.end()?;
    Ok(account)
}

pub(super) fn write_group(group: &Group) -> Bytes {
    let mut w = Writer::new(VERSION);
    w.num(group.version)
        .time(group.created)
        .text(&address_text(&group.address));
    write_addresses(&mut w, &group.aliases);
    w.option(group.display_name.as_deref(), |w, name| {
        w.text(name);
    })
    .flag(group.enabled)
    .list(group.members.iter(), |w, member| {
        match member {
            Member::Local(_) => w.u8(0),
            Member::Remote { uuid, .. } => w.u8(1).raw(uuid.as_bytes()),
        };
        w.text(&address_text(member.address()));
    })
    .done()
}

pub(super) fn read_group(id: GroupId, row: &[u8]) -> Decoded<Group> {
    let mut r = Reader::new(row, "group", VERSION)?;
    let group = Group {
        id,
        version: r.num()?,
        created: r.time()?,
        address: r.address()?,
        aliases: r.list(Reader::address)?,
        display_name: r.option(Reader::text)?,
        enabled: r.flag()?,
        members: r.list(|r| match r.u8()? {
            0 => r.address().map(Member::Local),
            1 => Ok(Member::Remote {
                uuid: r.uuid()?,
                address: r.address()?,
            }),
            _ => Err(r.corrupt()),
        })?,
    };
    r.end()?;
    Ok(group)
}

pub(super) fn write_journal(entry: &JournalEntry) -> Bytes {
    let mut w = Writer::new(VERSION);
    w.time(entry.time)
        .option(entry.object, |w, object| {
            w.raw(&object.to_bytes());
        })
        .num(u64::from(entry.touched.0));
    write_origin(&mut w, &entry.origin);
    w.text(&entry.note).done()
}

pub(super) fn write_origin(w: &mut Writer, origin: &Origin) {
    match origin {
        Origin::Admin(who) => w.u8(0).text(who),
        Origin::Connector(name) => w.u8(1).text(name),
        Origin::User(id) => w.u8(2).num(id.get()),
        Origin::System => w.u8(3),
    };
}

pub(super) fn read_origin(r: &mut Reader<'_>) -> Decoded<Origin> {
    Ok(match r.u8()? {
        0 => Origin::Admin(r.text()?),
        1 => Origin::Connector(r.text()?),
        2 => Origin::User(AccountId::new(r.num()?).map_err(|_| r.corrupt())?),
        3 => Origin::System,
        _ => return Err(r.corrupt()),
    })
}

pub(super) fn read_journal(seq: u64, row: &[u8]) -> Decoded<JournalEntry> {
    let mut r = Reader::new(row, "journal entry", VERSION)?;
    let entry = JournalEntry {
        seq,
        time: r.time()?,
        object: r.option(|r| {
            let bytes = r.take(9)?;
            LocalId::from_bytes(bytes).ok_or_else(|| r.corrupt())
        })?,
        touched: Touched(r.num32()?),
        origin: read_origin(&mut r)?,
        note: r.text()?,
    };
    r.end()?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EntryUuid, Timestamp};
    use proptest::prelude::*;

    fn account() -> Account {
        Account {
            id: AccountId::new(7).expect("id"),
            address: Address::parse("\"a b\"@example.test").expect("address"),
            aliases: vec![Address::parse("b@example.test").expect("address")],
            display_name: Some("Ä".into()),
            quota: Some(ByteSize(5)),
            enabled: true,
            state: AccountState::MovedAway { to: "home-b".into() },
            version: 3,
            created: Timestamp::from_millis(9),
            password_hash: Some(Hash(Secret::from("{SSHA}x"))),
        }
    }

    #[test]
    fn who_removed_it_is_written() {
        let mut account = account();
        let until = Timestamp::from_millis(9);
        for by in [RemovedBy::Person, RemovedBy::Sync] {
            account.state = AccountState::SoftDeleted { until, by };
            let row = write_account(&account).to_vec();
            let read = |row: &[u8]| read_account(account.id, row).expect("reads");
            assert_eq!(read(&row), account);
            // The form that did not say it: another number, and one byte less at the end.
            let mut old = row.clone();
            old.pop();
            let kind = old.len() - 2;
            assert_eq!((old[kind], old[kind + 1]), (4, 9));
            old[kind] = 1;
            let nobody_knows = RemovedBy::Sync;
            let expected = AccountState::SoftDeleted {
                until,
                by: nobody_knows,
            };
            assert_eq!(read(&old).state, expected);
        }
    }

    #[test]
    fn rows_round_trip() {
        let account = account();
        assert_eq!(
            read_account(account.id, &write_account(&account)).expect("reads"),
            account
        );
        let group = Group {
            id: GroupId::new(8).expect("id"),
            address: account.address.clone(),
            aliases: vec![],
            display_name: None,
            enabled: false,
            members: vec![
                Member::Local(account.address.clone()),
                Member::Remote {
                    uuid: EntryUuid::from_bytes([5; 16]),
                    address: account.address,
                },
            ],
            version: 1,
            created: Timestamp::from_millis(1),
        };
        assert_eq!(read_group(group.id, &write_group(&group)).expect("reads"), group);
    }

    proptest! {
        #[test]
        fn damaged_rows_are_reported_with_the_account(at in 0usize..200, bit in 0u8..8, cut in 0usize..200) {
            let account = account();
            let mut row = write_account(&account).to_vec();
            if let Some(byte) = row.get_mut(at) {
                *byte ^= 1 << bit;
            }
            row.truncate(cut.max(1));
            for result in [read_account(account.id, &row).map(drop)] {
                if let Err(error) = result {
                    prop_assert!(error.to_string().contains("account 7"), "{}", error);
                }
            }
            let _ = read_group(GroupId::new(1).expect("id"), &row);
            let _ = read_journal(1, &row);
        }
    }
}
