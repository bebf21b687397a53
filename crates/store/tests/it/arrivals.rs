//! Many accounts in one commit.

use crate::support::{account, address, admin, clock, embedded, memory};
use ::model::{Address, EntryUuid};
use store::{
    AccountChange, Arrival, Elsewhere, LinkData, LocalId, Names, NewAccount, NewAssociation, Origin, Store,
    StoreError, Touched,
};

const CONNECTOR: &str = "people";

fn uuid(number: u8) -> EntryUuid {
    EntryUuid::from_bytes([number; 16])
}

fn new(number: u8) -> NewAccount {
    let mut new = NewAccount::new(address(&format!("n{number}@example.test")));
    new.aliases = vec![
        address(&format!("N{number}@example.test")),
        address(&format!("also{number}@example.test")),
    ];
    new.association = Some(NewAssociation {
        connector: CONNECTOR.to_owned(),
        remote: uuid(number),
        data: LinkData::new(format!("uid=n{number}")),
    });
    new
}

fn unknown(store: &Store, numbers: &[u8], names: Names) -> Vec<bool> {
    let addresses: Vec<(EntryUuid, Address)> = numbers
        .iter()
        .map(|number| (uuid(*number), address(&format!("also{number}@example.test"))))
        .collect();
    let arrivals: Vec<Arrival<'_>> = addresses
        .iter()
        .map(|(uuid, address)| Arrival {
            uuid: *uuid,
            address,
            aliases: &[],
        })
        .collect();
    store.unknown(CONNECTOR, &arrivals, names).expect("reads")
}

#[tokio::test]
async fn they_are_the_same_as_one_by_one() {
    let (one, many) = (memory(), memory());
    for store in [&one, &many] {
        account(store, "first").await;
    }
    let origin = Origin::Connector(CONNECTOR.to_owned());
    for number in 1..=5 {
        one.create_account(new(number), &origin).await.expect("creates");
    }
    let ids = many.create_accounts((1..=5).map(new).collect(), &origin).await;
    let ids = ids.expect("creates");
    assert_eq!(
        one.list_accounts(None, 256).expect("reads"),
        many.list_accounts(None, 256).expect("reads")
    );
    let links = |store: &Store| store.list_associations(CONNECTOR, None, 256).expect("reads");
    assert_eq!(links(&one), links(&many));
    let journal = |store: &Store| store.journal_after(0, 256).expect("reads");
    assert_eq!(journal(&one), journal(&many));
    let last = journal(&many).pop().expect("a row");
    assert!(last.touched.has(Touched::CREATED) && last.touched.has(Touched::ASSOCIATION));
    assert_eq!(last.object, ids.last().map(|id| LocalId::Account(*id)));
    let sums = |store: &Store| store.link_sums(CONNECTOR).expect("reads");
    assert_eq!(sums(&one), sums(&many));
    // An id that comes later is another one, and mail can come.
    let next = account(&many, "next").await;
    assert!(ids.iter().all(|id| *id < next));
}

#[tokio::test]
async fn all_or_none_of_them_come() {
    let store = memory();
    account(&store, "n3").await;
    let refused = |list: Vec<NewAccount>| async {
        let answer = store.create_accounts(list, &admin()).await;
        assert!(
            matches!(answer, Err(StoreError::Conflict | StoreError::NotFound(_))),
            "{answer:?}"
        );
        assert_eq!(store.list_accounts(None, 256).expect("reads").len(), 1);
        assert_eq!(store.list_associations(CONNECTOR, None, 9).expect("reads"), []);
    };
    // An address that somebody has; one that two of them want; an entry twice; a domain that is not hosted.
    refused((1..=5).map(new).collect()).await;
    let mut twin = new(2);
    twin.address = address("ALSO1@example.test");
    refused(vec![new(1), twin]).await;
    let mut twice = new(2);
    twice.association = new(1).association;
    refused(vec![new(1), twice]).await;
    let foreign = NewAccount::new(address("a@elsewhere.test"));
    refused(vec![new(1), foreign]).await;
    let none = store.create_accounts(Vec::new(), &admin()).await;
    assert_eq!(none.expect("nothing to do"), []);
    let some = store.create_accounts(vec![new(1), new(2)], &admin()).await;
    assert_eq!(some.expect("creates").len(), 2);
}

#[tokio::test]
async fn who_is_known_is_told() {
    let store = memory();
    account(&store, "also5").await;
    assert!(unknown(&store, &[], Names::Now).is_empty());
    assert_eq!(unknown(&store, &[1, 2], Names::Now), [true, true]);
    let linked = store.create_accounts(vec![new(1), new(3)], &admin()).await;
    let linked = linked.expect("creates");
    let note = [(
        uuid(6),
        Some(Elsewhere {
            host: "b.test".into(),
        }),
    )];
    store.note_elsewhere(CONNECTOR, &note).await.expect("noted");
    store.erase_account(linked[1], &admin()).await.expect("erased");
    let all = [1, 2, 3, 4, 5, 6];
    assert_eq!(
        unknown(&store, &all, Names::Now),
        [false, true, false, true, false, false]
    );
    assert_eq!(
        unknown(&store, &all, Names::Later),
        [false, true, false, true, true, false]
    );
    // Of another connector nobody is known.
    let arrival = Arrival {
        uuid: uuid(1),
        address: &address("x@example.test"),
        aliases: &[],
    };
    assert_eq!(
        store.unknown("other", &[arrival], Names::Now).expect("reads"),
        [true]
    );
}

#[tokio::test]
async fn side_by_side_and_reopened_no_id_is_given_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = embedded(folder.path(), clock());
    account(&store, "first").await;
    let make = |from: u8| {
        let store = store.clone();
        tokio::spawn(async move {
            let list = (from..from + 20).map(new).collect();
            store.create_accounts(list, &admin()).await.expect("creates")
        })
    };
    let tasks = [make(10), make(40), make(70)];
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.expect("joins"));
    }
    // No clean stop: what was answered is on the disk all the same.
    drop(store);
    let store = embedded(folder.path(), clock());
    ids.push(account(&store, "last").await);
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), count), (61, 61));
    assert_eq!(store.list_accounts(None, 256).expect("reads").len(), 62);
    let change = AccountChange {
        enabled: Some(false),
        ..AccountChange::default()
    };
    let changed = store.update_account(ids[0], Some(1), change, &admin()).await;
    assert_eq!(changed.expect("changes").version, 2);
}
