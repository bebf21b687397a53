//! kill -9 of a process that creates thousands of accounts at a time: each time all of them are there or none, with their
//! links, and the journal tells of those that are there and of nobody else.

use crate::support::{account, address, admin, create_together, embedded};
use ::model::{EntryUuid, SystemClock};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use store::{LinkData, NewAccount, NewAssociation, Store};

const FOLDER: &str = "HOMING_STORE_CRASH_FOLDER";
const ROUND: &str = "HOMING_STORE_CRASH_ROUND";
const CONNECTOR: &str = "people";
/// Enough for a file, with six rows each.
const TOGETHER: u32 = 2100;
const ROUNDS: u32 = 6;

fn open(folder: &Path) -> Store {
    embedded(folder, Arc::new(SystemClock::new()))
}

/// The local part says whom somebody came with.
fn new(round: u32, part: u32, number: u32) -> NewAccount {
    let mut new = NewAccount::new(address(&format!("r{round}p{part}-{number}@example.test")));
    let alias = |kind: &str| address(&format!("{kind}.r{round}p{part}.{number}@example.test"));
    new.aliases = vec![alias("also"), alias("sales")];
    let mut uuid = [0; 16];
    for (place, value) in [round, part, number].into_iter().enumerate() {
        uuid[place * 4..place * 4 + 4].copy_from_slice(&value.to_be_bytes());
    }
    new.association = Some(NewAssociation {
        connector: CONNECTOR.to_owned(),
        remote: EntryUuid::from_bytes(uuid),
        data: LinkData::new(format!("uid=r{round}p{part}-{number}")),
    });
    new
}

#[test]
#[ignore = "the child of the next test"]
fn create_until_killed() {
    let folder = std::env::var(FOLDER).expect("started by its parent");
    let round: u32 = std::env::var(ROUND)
        .expect("started by its parent")
        .parse()
        .expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let store = open(Path::new(&folder));
        account(&store, &format!("first{round}")).await;
        for part in 0.. {
            let list = (0..TOGETHER).map(|number| new(round, part, number)).collect();
            let before = store.stats().groups;
            let came = create_together(&store, list, &admin()).await.expect("creates");
            assert!(came.iter().all(Option::is_some));
            // What is before a file, and what follows it: else these were rows like all others.
            assert_eq!(store.stats().groups - before, 2);
            let mut out = std::io::stdout().lock();
            out.write_all(format!("came r{round}p{part}\n").as_bytes())
                .expect("the parent reads");
            out.flush().expect("the parent reads");
        }
    });
}

/// How many there are of each part.
fn parts(store: &Store) -> BTreeMap<String, u32> {
    let (mut parts, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.list_accounts(after, 256).expect("reads");
        let Some(last) = page.last() else { return parts };
        after = Some(last.id);
        for account in page {
            let link = store
                .association(CONNECTOR, store::LocalId::Account(account.id))
                .expect("reads");
            if let Some((part, _)) = account.address.local_part().split_once('-') {
                *parts.entry(part.to_owned()).or_default() += 1;
                let link = link.expect("linked");
                let back = store.association_by_uuid(CONNECTOR, link.remote).expect("reads");
                assert_eq!(
                    back.expect("by its entry").local,
                    store::LocalId::Account(account.id)
                );
                let named = store.account_by_address(&account.address).expect("reads");
                assert_eq!(named.expect("by its name").id, account.id);
            }
        }
    }
}

/// The addresses that the journal says were created, each once and with no number left out.
fn told(store: &Store) -> BTreeSet<String> {
    let (mut told, mut seq) = (BTreeSet::new(), 0);
    loop {
        let some = store.journal_after(seq, 256).expect("reads");
        if some.is_empty() {
            return told;
        }
        for entry in some {
            assert!(seq == 0 || entry.seq == seq + 1, "{} after {seq}", entry.seq);
            seq = entry.seq;
            if let Some(rest) = entry.note.strip_prefix("account ") {
                let who = rest.trim_end_matches(" created");
                assert!(told.insert(who.to_owned()), "{who} twice");
            }
        }
    }
}

async fn verify(store: &Store, came: &BTreeSet<String>) {
    let parts = parts(store);
    for (part, count) in &parts {
        assert_eq!(*count, TOGETHER, "of {part}");
    }
    for part in came {
        assert!(parts.contains_key(part), "{part} was acknowledged");
    }
    let told = told(store);
    let those = told.iter().filter(|who| who.contains('-')).count();
    assert_eq!(those, parts.len() * TOGETHER as usize);
    let known = store.link_sums(CONNECTOR).expect("reads");
    let counted = store.count_links(CONNECTOR, |_| true).await.expect("counts");
    assert!(known.is_none_or(|known| known.links == counted.links));
    assert_eq!(counted.links as usize, those);
}

#[tokio::test]
async fn thousands_come_together_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut came = BTreeSet::new();
    // Before anything else, so that the sums are kept with each file.
    open(folder.path())
        .count_links(CONNECTOR, |_| true)
        .await
        .expect("counts");
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "crash_files::create_until_killed",
            ])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut left = round % 3 + 1;
        while let Some(Ok(line)) = lines.next() {
            // The harness may have begun the line.
            if let Some((_, part)) = line.split_once("came ") {
                came.insert(part.to_owned());
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        // Somewhere in what follows: rows, note, file, and what is behind it.
        std::thread::park_timeout(Duration::from_millis(u64::from(round) * 41 % 300));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        for line in lines.map_while(Result::ok) {
            if let Some((_, part)) = line.split_once("came ") {
                came.insert(part.to_owned());
            }
        }
        let store = open(folder.path());
        verify(&store, &came).await;
    }
    assert!(came.len() >= ROUNDS as usize);
}
