//! Many accounts in one commit.

use crate::support::{account, address, admin, clock, create_together, embedded, memory};
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

/// One in which few accounts go the way of all rows, and one in which they become a file.
fn both() -> [Store; 2] {
    [memory(), Store::simulated(clock()).expect("a store")]
}

#[tokio::test]
async fn they_are_the_same_as_one_by_one() {
    for many in both() {
        same_as_one_by_one(memory(), many).await;
    }
}

async fn same_as_one_by_one(one: Store, many: Store) {
    for store in [&one, &many] {
        account(store, "first").await;
    }
    let origin = Origin::Connector(CONNECTOR.to_owned());
    for number in 1..=5 {
        one.create_account(new(number), &origin).await.expect("creates");
    }
    let ids = create_together(&many, (1..=5).map(new).collect(), &origin).await;
    let ids: Vec<_> = ids.expect("creates").into_iter().flatten().collect();
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
async fn who_cannot_come_is_left_out_and_told() {
    for store in both() {
        left_out_and_told(store).await;
    }
}

async fn left_out_and_told(store: Store) {
    account(&store, "n3").await;
    let came = |list: Vec<NewAccount>| async {
        let came = create_together(&store, list, &admin()).await.expect("creates");
        came.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    // An address that somebody has; one that two of them want; an entry twice.
    let mut twin = new(2);
    twin.address = address("ALSO1@example.test");
    let mut twice = new(5);
    twice.association = new(4).association;
    let list = vec![new(1), twin, new(3), new(4), twice, new(6)];
    assert_eq!(came(list).await, [true, false, false, true, false, true]);
    let links = store.list_associations(CONNECTOR, None, 9).expect("reads");
    assert_eq!(links.len(), 3);
    let sums = store.count_links(CONNECTOR, |_| true).await.expect("counts");
    assert_eq!(sums.links, 3);
    let notes = store.journal_after(0, 256).expect("reads");
    assert_eq!(
        notes
            .iter()
            .filter(|entry| entry.note.starts_with("account "))
            .count(),
        4
    );
    // Whoever is left out can come later, and nobody comes twice.
    assert_eq!(came(vec![new(1), new(2), new(4)]).await, [false, true, false]);
    assert_eq!(came(vec![new(1), new(4)]).await, [false, false]);
    assert!(came(Vec::new()).await.is_empty());
    // A domain that is not hosted is the trouble of all.
    let foreign = NewAccount::new(address("a@elsewhere.test"));
    let answer = create_together(&store, vec![new(7), foreign], &admin()).await;
    assert!(matches!(answer, Err(StoreError::NotFound(_))), "{answer:?}");
    assert_eq!(store.list_accounts(None, 256).expect("reads").len(), 5);
}

#[tokio::test]
async fn who_is_refused_leaves_nothing_behind() {
    let store = memory();
    account(&store, "first").await;
    let mut staged = store.staging(&admin(), 3);
    assert!(matches!(
        store.stage(&mut staged, new(1)),
        Err(StoreError::Limit(_))
    ));
    store.reserve_ids(&mut staged, 3).await.expect("ids");
    store.stage(&mut staged, new(1)).expect("rows");
    // Its rows are begun when its connector turns out to have no name, and its domain is nobody else's.
    let mut nameless = new(2);
    nameless.address = address("n2@elsewhere.test");
    nameless.association = new(2).association.map(|link| NewAssociation {
        connector: String::new(),
        ..link
    });
    let octets = staged.octets();
    assert!(store.stage(&mut staged, nameless).is_err());
    assert_eq!(staged.octets(), octets);
    store.stage(&mut staged, new(3)).expect("rows");
    let came = store.create_accounts(staged).await.expect("creates");
    let came: Vec<_> = came.iter().map(Option::is_some).collect();
    assert_eq!(came, [true, true]);
    let addresses = store.list_accounts(None, 256).expect("reads");
    let addresses: Vec<_> = addresses.iter().map(|one| one.address.written()).collect();
    assert_eq!(
        addresses,
        ["first@example.test", "n1@example.test", "n3@example.test"]
    );
}

#[tokio::test]
async fn who_is_known_is_told() {
    let store = memory();
    account(&store, "also5").await;
    assert!(unknown(&store, &[], Names::Now).is_empty());
    assert_eq!(unknown(&store, &[1, 2], Names::Now), [true, true]);
    let linked = create_together(&store, vec![new(1), new(3)], &admin()).await;
    let linked: Vec<_> = linked.expect("creates").into_iter().flatten().collect();
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
            let ids = create_together(&store, list, &admin()).await.expect("creates");
            ids.into_iter().flatten().collect::<Vec<_>>()
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

/// Somebody of thousands.
fn one_of_many(number: u32) -> NewAccount {
    let mut new = NewAccount::new(address(&format!("m{number}@example.test")));
    let mut uuid = [1; 16];
    uuid[..4].copy_from_slice(&number.to_be_bytes());
    new.association = Some(NewAssociation {
        connector: CONNECTOR.to_owned(),
        remote: EntryUuid::from_bytes(uuid),
        data: LinkData::new(format!("uid=m{number}")),
    });
    new
}

#[tokio::test]
async fn a_file_of_its_own_is_read_like_all_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = embedded(folder.path(), clock());
    account(&store, "m7").await;
    // Who watches the journal may hear of a row a little after the one who wrote it.
    let written = store.journal_after(0, 256).expect("reads");
    let before = written.last().expect("the first account").seq + 1;
    for part in 0..2 {
        let list = (part * 4000..(part + 1) * 4000).map(one_of_many).collect();
        let came = create_together(&store, list, &admin()).await.expect("creates");
        assert_eq!(
            came.iter().filter(|id| id.is_none()).count(),
            usize::from(part == 0)
        );
        // Rows of the same key space that come between.
        account(&store, &format!("between{part}")).await;
    }
    // No clean stop.
    drop(store);
    let store = embedded(folder.path(), clock());
    let sums = store.count_links(CONNECTOR, |_| true).await.expect("counts");
    assert_eq!(sums.links, 7999);
    for number in [0, 8, 3999, 4000, 7999] {
        let found = store.account_by_address(&address(&format!("m{number}@example.test")));
        let id = found.expect("reads").expect("there").id;
        let link = store.association(CONNECTOR, LocalId::Account(id));
        assert_eq!(
            link.expect("reads").expect("linked").data.dn,
            format!("uid=m{number}")
        );
        let change = AccountChange {
            enabled: Some(false),
            ..AccountChange::default()
        };
        let changed = store
            .update_account(id, None, change, &admin())
            .await
            .expect("changes");
        assert!(!changed.enabled && !store.account(id).expect("reads").expect("there").enabled);
    }
    // Every number is there once, forwards and backwards, wherever somebody begins.
    let (mut seq, mut forwards) = (before - 1, Vec::new());
    loop {
        let some = store.journal_after(seq, 50).expect("reads");
        let Some(last) = some.last() else { break };
        seq = last.seq;
        forwards.extend(some);
    }
    let numbers: Vec<_> = forwards.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (before..=seq).collect::<Vec<_>>());
    assert_eq!(numbers.len(), 7999 + 2 + 5);
    let (mut end, mut backwards) = (None, Vec::new());
    while backwards.len() < forwards.len() {
        let some = store.journal_before(end, 33).expect("reads");
        end = some.last().map(|entry| entry.seq);
        backwards.extend(some);
    }
    backwards.truncate(forwards.len());
    backwards.reverse();
    assert_eq!(backwards, forwards);
    assert!(forwards[0].note == "account m0@example.test created");
}

/// Rows of the journal are written before the file that they tell of: nobody reads them before it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_tells_of_nobody_who_is_not_there_yet() {
    const TOGETHER: u32 = 2100;
    const PARTS: u32 = 4;
    let folder = tempfile::tempdir().expect("a folder");
    let store = embedded(folder.path(), clock());
    account(&store, "first").await;
    let reader = {
        let store = store.clone();
        std::thread::spawn(move || {
            let (mut seq, mut created) = (0, 0);
            while created < TOGETHER * PARTS + 1 {
                for entry in store.journal_after(seq, 256).expect("reads") {
                    seq = entry.seq;
                    if let (Some(LocalId::Account(id)), true) =
                        (entry.object, entry.touched.has(Touched::CREATED))
                    {
                        let there = store.account(id).expect("reads").is_some();
                        assert!(there, "{seq} tells of {id}, who is not there");
                        created += 1;
                    }
                }
            }
        })
    };
    for part in 0..PARTS {
        let name = |number| address(&format!("p{part}-{number}@example.test"));
        let list = (0..TOGETHER).map(|number| {
            let mut new = NewAccount::new(name(number));
            let alias = |kind: u32| address(&format!("{kind}p{part}-{number}@example.test"));
            new.aliases = (0..4).map(alias).collect();
            new
        });
        let before = store.stats().groups;
        let came = create_together(&store, list.collect(), &admin()).await;
        assert!(came.expect("creates").iter().all(Option::is_some));
        // What is before a file, and what follows it.
        assert_eq!(store.stats().groups - before, 2);
    }
    reader.join().expect("everybody was there");
}
