//! What is plainly equal, and that each single difference is seen.

use super::*;
use directory::{AccountState as State, ConnectorConfig, Host, StateEnd};
use model::{ByteSize, Domain, EntryUuid, ManualClock, Timestamp};
use std::sync::Arc;
use store::{AccountChange, NewAccount, Origin, Store};

const DN: &str = "uid=anna,dc=test";

struct Case {
    entry: ChangedEntry,
    link: LinkData,
    here: Arc<Account>,
    scope: Scope,
    beside: Beside,
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn bytes(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from((*text).to_owned())).collect()
}

/// Somebody with two aliases, a name and a limit, whom everybody knows as such.
async fn anna(change: AccountChange) -> Case {
    let store = Store::in_memory(Arc::new(ManualClock::default())).expect("opens");
    let domain = Domain::parse("example.test").expect("a domain");
    let made = store.create_domain(&domain, &Origin::System).await;
    made.expect("a domain");
    let mut new = NewAccount::new(address("Anna@example.test"));
    new.aliases = vec![address("b@example.test"), address("a@example.test")];
    new.display_name = Some("Anna B".to_owned());
    new.quota = Some(ByteSize(7));
    let id = store.create_account(new, &Origin::System).await.expect("made");
    let changed = store.update_account(id, None, change, &Origin::System).await;
    let here = changed.expect("changed");
    let uuid = EntryUuid::from_bytes([1; 16]);
    let account = DirectoryAccount {
        dn: DN.to_owned(),
        uuid,
        kind: EntryKind::Account,
        address: address("Anna@example.test"),
        aliases: vec![address("a@example.test"), address("b@example.test")],
        catch_all: Vec::new(),
        host: Host::None,
        state: State::Active,
        state_until: None,
        display_name: Some("Anna B".to_owned()),
        given_name: None,
        surname: None,
        quota: Some(7),
        members: Vec::new(),
        entry_csn: None,
    };
    let mut link = LinkData::new(DN);
    for (field, values) in [
        (Field::Address, bytes(&["Anna@example.test"])),
        (Field::Aliases, bytes(&["a@example.test", "b@example.test"])),
        (Field::DisplayName, bytes(&["Anna B"])),
        (Field::Quota, bytes(&["7"])),
    ] {
        link.base.insert(field.name().to_owned(), values);
    }
    let config: ConnectorConfig = crate::driver::simulation::config(1000, false);
    Case {
        entry: ChangedEntry {
            uuid,
            kind: Some(EntryKind::Account),
            account: Ok(account),
            entry: ldap::Entry::new(DN),
        },
        link,
        here,
        scope: Scope::new(&config, "a.test", &[], None),
        beside: Beside {
            direction: Direction::LdapToLocal,
            passwords: Passwords::default(),
        },
    }
}

impl Case {
    fn is_equal(&self) -> bool {
        let account = self.entry.account.as_ref().expect("usable");
        says_the_same(
            (&self.entry, account),
            &self.link,
            &self.here,
            &self.scope,
            &self.beside,
        )
    }

    fn account(&mut self) -> &mut DirectoryAccount {
        self.entry.account.as_mut().expect("usable")
    }
}

#[tokio::test]
async fn who_is_known_as_such_is_equal() {
    let mut case = anna(AccountChange::default()).await;
    assert!(case.is_equal());
    // What neither side ever said.
    case.link.base.remove(Field::Quota.name());
    case.account().quota = None;
    assert!(!case.is_equal(), "here is a limit");
    let silent = AccountChange {
        quota: Some(None),
        display_name: Some(None),
        ..AccountChange::default()
    };
    let mut case = anna(silent).await;
    for field in [Field::Quota, Field::DisplayName] {
        case.link.base.remove(field.name());
    }
    case.account().quota = None;
    case.account().display_name = None;
    assert!(case.is_equal());
    case.beside.direction = Direction::LocalToLdap;
    assert!(!case.is_equal(), "this side says that there is no limit");
    for (field, said) in [(Field::Quota, "0"), (Field::Enabled, "TRUE")] {
        case.link.base.insert(field.name().to_owned(), bytes(&[said]));
    }
    assert!(case.is_equal());
}

#[tokio::test]
async fn every_difference_is_seen() {
    let there: [fn(&mut DirectoryAccount); 9] = [
        |account| account.address = address("anna@example.test"),
        |account| account.aliases.truncate(1),
        |account| account.aliases.push(address("c@example.test")),
        |account| account.aliases = vec![address("a@example.test"), address("a@example.test")],
        |account| account.display_name = Some("Anna  B".to_owned()),
        |account| account.display_name = None,
        |account| account.quota = Some(8),
        |account| account.state = State::Disabled,
        |account| {
            account.state_until = Some(StateEnd {
                at: Timestamp::from_millis(5),
                then: State::Expired,
            });
        },
    ];
    for (number, change) in there.into_iter().enumerate() {
        let mut case = anna(AccountChange::default()).await;
        change(case.account());
        assert!(!case.is_equal(), "there {number}");
    }
    let link: [fn(&mut LinkData); 8] = [
        |link| link.state = LinkState::MovedAway { to: "b.test".into() },
        |link| link.dn = "uid=bert,dc=test".to_owned(),
        |link| drop(link.base.remove(Field::Aliases.name())),
        |link| drop(link.base.insert(Field::Quota.name().to_owned(), bytes(&["8"]))),
        |link| {
            drop(
                link.base
                    .insert(Field::Enabled.name().to_owned(), bytes(&["FALSE"])),
            )
        },
        |link| {
            drop(
                link.base
                    .insert(Field::AwaitedFrom.name().to_owned(), bytes(&["b.test"])),
            )
        },
        |link| {
            drop(
                link.digests
                    .insert("refused.quota".to_owned(), Bytes::from_static(&[1; 32])),
            )
        },
        |link| {
            drop(
                link.digests
                    .insert("password.remote".to_owned(), Bytes::from_static(&[1; 16])),
            )
        },
    ];
    for (number, change) in link.into_iter().enumerate() {
        let mut case = anna(AccountChange::default()).await;
        change(&mut case.link);
        assert!(!case.is_equal(), "link {number}");
    }
    let here = [
        AccountChange {
            address: Some(address("anne@example.test")),
            ..AccountChange::default()
        },
        AccountChange {
            aliases: Some(vec![address("a@example.test")]),
            ..AccountChange::default()
        },
        AccountChange {
            display_name: Some(None),
            ..AccountChange::default()
        },
        AccountChange {
            quota: Some(None),
            ..AccountChange::default()
        },
        AccountChange {
            enabled: Some(false),
            ..AccountChange::default()
        },
        AccountChange {
            state: Some(AccountState::MovedAway { to: "b.test".into() }),
            ..AccountChange::default()
        },
    ];
    for (number, change) in here.into_iter().enumerate() {
        let case = anna(change).await;
        assert!(!case.is_equal(), "here {number}");
    }
    let mut case = anna(AccountChange::default()).await;
    case.beside.passwords.remote = Some(Digest([3; 16]));
    assert!(!case.is_equal(), "a password");
}
