//! kill -9 of a process that delivers: what it had acknowledged is there, whole, and no UID comes twice.

use crate::support::{account, embedded, uid};
use ::model::{AccountId, MailboxName, SystemClock};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use store::{Delivered, Delivery, Store};

const FOLDER: &str = "HOMING_STORE_CRASH_FOLDER";
const ROUND: &str = "HOMING_STORE_CRASH_ROUND";
const ACCOUNTS: u64 = 4;

fn message(tag: &str) -> Bytes {
    // Of different lengths, below and above the size from which bodies are kept apart.
    let len = blake3::hash(tag.as_bytes()).as_bytes()[0] as usize * 40;
    Bytes::from(format!(
        "Subject: {tag}\r\n\r\n{}\r\nend {tag}\r\n",
        "x".repeat(len)
    ))
}

fn open(folder: &Path) -> Store {
    embedded(folder, Arc::new(SystemClock::new()))
}

fn say(line: &str) {
    // One write for one line, past the test harness: what the parent reads was acknowledged.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .expect("the parent reads");
}

async fn worker(store: Store, round: String, worker: u64) {
    for number in 0u64.. {
        let tag = format!("{round}-{worker}-{number}");
        let id = |n: u64| AccountId::new(n % ACCOUNTS + 1).expect("id");
        let recipients = [id(worker + number), id(worker + number + 1)];
        let outcomes = store
            .deliver_many(&Delivery::new(message(&tag)), &recipients)
            .await;
        for (account, outcome) in outcomes {
            let Delivered::Stored(appended) = outcome.expect("delivers") else {
                panic!("never repeated");
            };
            say(&format!("stored {account} {} {tag}", appended.uid));
            if number % 7 == 3 {
                let inbox = store
                    .mail(account)
                    .open(&MailboxName::inbox())
                    .await
                    .expect("opens");
                say(&format!("removing {account} {}", appended.uid));
                inbox.remove(&[appended.uid]).await.expect("removes");
                say(&format!("removed {account} {}", appended.uid));
            }
        }
    }
}

#[test]
#[ignore = "the child of the next test"]
fn deliver_until_killed() {
    let folder = std::env::var(FOLDER).expect("started by its parent");
    let round = std::env::var(ROUND).expect("started by its parent");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let store = open(Path::new(&folder));
        let workers: Vec<_> = (0..6)
            .map(|number| tokio::spawn(worker(store.clone(), round.clone(), number)))
            .collect();
        for worker in workers {
            worker.await.expect("works until killed");
        }
    });
}

#[derive(Default)]
struct Ledger {
    /// (account, UID) to the tag of its message.
    stored: HashMap<(u64, u32), String>,
    /// Removal was begun, and perhaps not finished.
    removing: HashMap<(u64, u32), bool>,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let key = |words: &[&str]| {
            let account = words.get(1)?.parse::<u64>().ok()?;
            Some((account, words.get(2)?.parse::<u32>().ok()?))
        };
        match (words.first(), key(&words)) {
            (Some(&"stored"), Some(key)) if words.len() == 4 => {
                let before = self.stored.insert(key, words[3].to_owned());
                assert!(before.is_none(), "UID {key:?} came twice: {before:?} and {line}");
            }
            (Some(&"removing"), Some(key)) => {
                self.removing.insert(key, false);
            }
            (Some(&"removed"), Some(key)) => {
                self.removing.insert(key, true);
            }
            _ => {}
        }
    }

    async fn verify(&self, store: &Store) {
        for account in 1..=ACCOUNTS {
            let id = AccountId::new(account).expect("id");
            let inbox = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
            let snapshot = inbox.snapshot();
            for entry in snapshot.iter() {
                let read = inbox.messages(&[entry.uid]).await.expect("reads");
                let body = inbox.body(&read[0]).await.expect("whole");
                let subject = read[0].envelope.subject.clone().expect("subject");
                let tag = String::from_utf8(subject).expect("text");
                assert_eq!(body, message(&tag), "torn");
                if let Some(known) = self.stored.get(&(account, entry.uid.get())) {
                    assert_eq!(*known, tag);
                }
            }
            for ((owner, number), tag) in self.stored.iter().filter(|((owner, _), _)| *owner == account) {
                let there = snapshot.by_uid(uid(*number)).is_some();
                match self.removing.get(&(*owner, *number)) {
                    None => assert!(there, "lost: {tag} of account {owner}, UID {number}"),
                    Some(true) => assert!(!there, "came back: {tag}"),
                    Some(false) => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn every_acknowledged_message_survives_kill_9() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = open(folder.path());
        for number in 0..ACCOUNTS {
            account(&store, &format!("a{number}")).await;
        }
    }
    let mut ledger = Ledger::default();
    for round in 0..6u64 {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args([
                "crash::deliver_until_killed",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Killed after a different number of lines each time; what was still in the pipe counts too.
        let wanted = 20 + usize::from(blake3::hash(&round.to_be_bytes()).as_bytes()[0]) * 2;
        let mut seen = 0;
        let mut killed = false;
        while let Some(Ok(line)) = lines.next() {
            ledger.note(&line);
            seen += 1;
            if seen >= wanted && !killed {
                child.kill().expect("kills");
                killed = true;
            }
        }
        child.wait().expect("reaped");
        assert!(
            killed,
            "the child ended by itself after {seen} lines in round {round}"
        );
        let store = open(folder.path());
        assert_eq!(store.lost_commits(), None);
        ledger.verify(&store).await;
    }
    assert!(ledger.stored.len() > 100);
}
