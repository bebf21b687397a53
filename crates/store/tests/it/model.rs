//! Random operations against a simple model, on both engines, with a session that follows by differences.

use crate::support::{account, clock, embedded, memory, name, uid};
use ::model::{AccountId, Flag, Flags, MailboxName, SystemFlag, Uid};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{FlagChange, Mailbox, Snapshot, Store};

const BOXES: [&str; 4] = ["INBOX", "A", "A/x", "B"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Deleted", "\\Flagged", "$one", "$two"];

#[derive(Debug, Clone)]
enum Op {
    Append {
        to: usize,
        flags: u8,
        len: usize,
    },
    Store {
        at: usize,
        pick: u32,
        flags: u8,
        how: u8,
    },
    Expunge {
        at: usize,
    },
    Remove {
        at: usize,
        pick: u32,
    },
    Copy {
        at: usize,
        to: usize,
        pick: u32,
    },
    Move {
        at: usize,
        to: usize,
        pick: u32,
    },
    Create {
        at: usize,
    },
    Delete {
        at: usize,
    },
    Rename {
        at: usize,
        to: usize,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..BOXES.len();
    prop_oneof![
        8 => (at.clone(), any::<u8>(), 0usize..3000).prop_map(|(to, flags, len)| Op::Append { to, flags, len }),
        5 => (at.clone(), any::<u32>(), any::<u8>(), 0u8..3)
            .prop_map(|(at, pick, flags, how)| Op::Store { at, pick, flags, how }),
        2 => at.clone().prop_map(|at| Op::Expunge { at }),
        2 => (at.clone(), any::<u32>()).prop_map(|(at, pick)| Op::Remove { at, pick }),
        2 => (at.clone(), at.clone(), any::<u32>()).prop_map(|(at, to, pick)| Op::Copy { at, to, pick }),
        2 => (at.clone(), at.clone(), any::<u32>()).prop_map(|(at, to, pick)| Op::Move { at, to, pick }),
        3 => at.clone().prop_map(|at| Op::Create { at }),
        1 => at.clone().prop_map(|at| Op::Delete { at }),
        1 => (at.clone(), at).prop_map(|(at, to)| Op::Rename { at, to }),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Msg {
    uid: u32,
    flags: BTreeSet<String>,
    body: Bytes,
}

#[derive(Debug, Clone, Default)]
struct Box {
    next: u32,
    messages: Vec<Msg>,
}

type Boxes = BTreeMap<String, Box>;

fn set(bits: u8) -> BTreeSet<String> {
    let chosen = FLAGS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
    chosen.map(|(_, flag)| (*flag).to_owned()).collect()
}

fn flags(set: &BTreeSet<String>) -> Flags {
    set.iter().map(|text| Flag::parse(text).expect("flag")).collect()
}

fn texts(flags: &Flags) -> BTreeSet<String> {
    flags.iter().map(|flag| flag.to_string()).collect()
}

impl Box {
    fn pick(&self, bits: u32) -> Vec<u32> {
        let chosen = self
            .messages
            .iter()
            .enumerate()
            .filter(|(at, _)| bits >> (at % 32) & 1 == 1);
        chosen.map(|(_, message)| message.uid).collect()
    }

    fn add(&mut self, flags: BTreeSet<String>, body: Bytes) {
        self.messages.push(Msg {
            uid: self.next,
            flags,
            body,
        });
        self.next += 1;
    }
}

type Session = (Mailbox, Arc<Snapshot>, Vec<(Uid, BTreeSet<String>)>);

struct Run {
    store: Store,
    id: AccountId,
    folder: Option<tempfile::TempDir>,
    boxes: Boxes,
    count: usize,
    /// A session with INBOX selected: what it has told its client.
    session: Session,
}

impl Run {
    async fn new(folder: Option<tempfile::TempDir>) -> Self {
        let store = match &folder {
            Some(folder) => embedded(folder.path(), clock()),
            None => memory(),
        };
        let id = account(&store, "alice").await;
        let session = select(&store, id).await;
        let boxes = BTreeMap::from([(
            "INBOX".to_owned(),
            Box {
                next: 1,
                messages: vec![],
            },
        )]);
        Self {
            store,
            id,
            folder,
            boxes,
            count: 0,
            session,
        }
    }

    async fn open(&self, at: usize) -> Option<Mailbox> {
        self.store.mail(self.id).open(&name(BOXES[at])).await.ok()
    }

    async fn apply(&mut self, op: &Op) {
        if matches!(op, Op::Reopen) {
            return self.reopen().await;
        }
        let mail = self.store.mail(self.id);
        match *op {
            Op::Append { to, flags: bits, len } => {
                self.count += 1;
                let body = Bytes::from(format!("Subject: {}\r\n\r\n{}", self.count, "x".repeat(len)));
                let done = mail
                    .append(&name(BOXES[to]), body.clone(), flags(&set(bits)), None)
                    .await;
                assert_eq!(done.is_ok(), self.boxes.contains_key(BOXES[to]));
                if let Some(target) = self.boxes.get_mut(BOXES[to]) {
                    target.add(set(bits), body);
                }
            }
            Op::Store {
                at,
                pick,
                flags: bits,
                how,
            } => self.flag(at, pick, bits, how).await,
            Op::Expunge { at } => {
                let Some(open) = self.open(at).await else { return };
                let gone = open.expunge(None).await.expect("expunges");
                let messages = &mut self.boxes.get_mut(BOXES[at]).expect("exists").messages;
                let is_deleted = |message: &Msg| message.flags.contains("\\Deleted");
                let doomed = messages.iter().filter(|message| is_deleted(message));
                assert!(
                    gone.iter()
                        .map(|uid| uid.get())
                        .eq(doomed.map(|message| message.uid))
                );
                messages.retain(|message| !is_deleted(message));
            }
            Op::Remove { at, pick } => {
                let Some(open) = self.open(at).await else { return };
                let target = self.boxes.get_mut(BOXES[at]).expect("exists");
                let chosen = target.pick(pick);
                let uids: Vec<_> = chosen.iter().map(|number| uid(*number)).collect();
                assert_eq!(open.remove(&uids).await.expect("removes"), uids);
                target.messages.retain(|message| !chosen.contains(&message.uid));
            }
            Op::Copy { at, to, pick } => self.transfer(at, to, pick, false).await,
            Op::Move { at, to, pick } => self.transfer(at, to, pick, true).await,
            Op::Create { at } => {
                let done = mail.create_mailbox(&name(BOXES[at]), None).await;
                assert_eq!(done.is_err(), self.boxes.contains_key(BOXES[at]));
                if done.is_err() {
                    return;
                }
                for made in BOXES
                    .iter()
                    .filter(|made| **made == BOXES[at] || name(BOXES[at]).is_below(&name(made)))
                {
                    self.boxes.entry((*made).to_owned()).or_insert(Box {
                        next: 1,
                        messages: vec![],
                    });
                }
            }
            Op::Delete { at } => {
                let done = mail.delete_mailbox(&name(BOXES[at])).await;
                let exists = at != 0 && self.boxes.remove(BOXES[at]).is_some();
                assert_eq!(done.is_ok(), exists);
            }
            Op::Rename { at, to } => self.rename(at, to).await,
            Op::Reopen => {}
        }
    }

    async fn flag(&mut self, at: usize, pick: u32, bits: u8, how: u8) {
        let Some(open) = self.open(at).await else { return };
        let target = self.boxes.get_mut(BOXES[at]).expect("exists");
        let chosen = target.pick(pick);
        let uids: Vec<_> = chosen.iter().map(|number| uid(*number)).collect();
        let wanted = set(bits);
        let change = match how {
            0 => FlagChange::Replace(flags(&wanted)),
            1 => FlagChange::Add(flags(&wanted)),
            _ => FlagChange::Remove(flags(&wanted)),
        };
        let outcome = open.store_flags(&uids, &change, None).await.expect("stores");
        let mut changed = Vec::new();
        for message in target
            .messages
            .iter_mut()
            .filter(|message| chosen.contains(&message.uid))
        {
            let new = match how {
                0 => wanted.clone(),
                1 => message.flags.union(&wanted).cloned().collect(),
                _ => message.flags.difference(&wanted).cloned().collect(),
            };
            if new != message.flags {
                changed.push(uid(message.uid));
                message.flags = new;
            }
        }
        assert_eq!(outcome.changed, changed);
    }

    async fn transfer(&mut self, at: usize, to: usize, pick: u32, moves: bool) {
        let Some(open) = self.open(at).await else { return };
        let source = self.boxes.get(BOXES[at]).expect("exists").clone();
        let chosen = source.pick(pick);
        let uids: Vec<_> = chosen.iter().map(|number| uid(*number)).collect();
        let target = name(BOXES[to]);
        let done = if moves {
            open.move_to(&uids, &target).await
        } else {
            open.copy(&uids, &target).await
        };
        assert_eq!(done.is_ok(), self.boxes.contains_key(BOXES[to]));
        let Some(target) = self.boxes.get_mut(BOXES[to]) else {
            return;
        };
        let mut expected = Vec::new();
        for message in source
            .messages
            .iter()
            .filter(|message| chosen.contains(&message.uid))
        {
            expected.push((uid(message.uid), uid(target.next)));
            target.add(message.flags.clone(), message.body.clone());
        }
        assert_eq!(done.expect("done").uids, expected);
        if moves {
            let source = self.boxes.get_mut(BOXES[at]).expect("exists");
            source.messages.retain(|message| !chosen.contains(&message.uid));
        }
    }

    async fn rename(&mut self, at: usize, to: usize) {
        let (from, to) = (BOXES[at], BOXES[to]);
        let (old, new) = (name(from), name(to));
        let done = self.store.mail(self.id).rename_mailbox(&old, &new).await;
        let moved: Vec<String> = self
            .boxes
            .keys()
            .filter(|key| *key == from || (at != 0 && name(key).is_below(&old)))
            .cloned()
            .collect();
        let possible =
            self.boxes.contains_key(from) && !self.boxes.contains_key(to) && !(at != 0 && new.is_below(&old));
        // The new name may make a child collide with what is there, which the model need not know.
        if done.is_err() {
            assert!(!possible || moved.len() > 1);
            return;
        }
        assert!(possible);
        if at == 0 {
            let inbox = self.boxes.get_mut("INBOX").expect("exists");
            let messages = std::mem::take(&mut inbox.messages);
            let mut target = Box {
                next: 1,
                messages: vec![],
            };
            messages
                .into_iter()
                .for_each(|message| target.add(message.flags, message.body));
            self.boxes.insert(to.to_owned(), target);
        } else {
            for key in moved {
                let value = self.boxes.remove(&key).expect("exists");
                self.boxes.insert(format!("{to}{}", &key[from.len()..]), value);
            }
        }
        if let Some(parent) = new.parent() {
            let fresh = Box {
                next: 1,
                messages: vec![],
            };
            self.boxes.entry(parent.to_string()).or_insert(fresh);
        }
    }

    async fn reopen(&mut self) {
        let Some(folder) = &self.folder else { return };
        // The placeholder lets go of every handle of the old store.
        let (placeholder, other) = {
            let store = memory();
            let id = account(&store, "alice").await;
            (select(&store, id).await, store)
        };
        self.session = placeholder;
        self.store = other;
        self.store = embedded(folder.path(), clock());
        self.session = select(&self.store, self.id).await;
    }

    /// Every mailbox equals the model; the session arrives there by differences alone.
    async fn check(&mut self) {
        let mail = self.store.mail(self.id);
        let mut bytes = 0;
        for (key, expected) in &self.boxes {
            let info = mail.status(&name(key)).await.expect("exists");
            let open = mail.open(&name(key)).await.expect("opens");
            let snapshot = open.snapshot();
            let entries: Vec<_> = snapshot.iter().collect();
            assert_eq!(entries.len(), expected.messages.len(), "{key}");
            for (position, (entry, message)) in entries.iter().zip(&expected.messages).enumerate() {
                assert_eq!(
                    (entry.uid.get(), texts(&entry.flags)),
                    (message.uid, message.flags.clone())
                );
                assert_eq!(entry.seq as usize, position + 1);
                assert_eq!(snapshot.seq_of(entry.uid), Some(entry.seq));
                let read = open.messages(&[entry.uid]).await.expect("reads").remove(0);
                assert_eq!(open.body(&read).await.expect("reads"), message.body);
                bytes += message.body.len() as u64;
            }
            let without = |flag: &str| {
                expected
                    .messages
                    .iter()
                    .filter(|m| !m.flags.contains(flag))
                    .count()
            };
            assert_eq!(info.messages as usize, expected.messages.len());
            assert_eq!(info.unseen as usize, without("\\Seen"));
            assert_eq!(
                info.deleted as usize,
                expected.messages.len() - without("\\Deleted")
            );
            assert_eq!(info.uid_next.get(), expected.next);
            let first = entries.iter().find(|entry| !entry.flags.has(SystemFlag::Seen));
            assert_eq!(snapshot.first_unseen(), first.map(|entry| entry.seq));
        }
        assert_eq!(mail.usage().await.expect("usage").bytes, bytes);
        let (open, seen, told) = &mut self.session;
        let now = open.snapshot();
        let changes = now.changes_since(seen);
        for (seq, uid) in changes.expunged.iter().rev() {
            assert_eq!(told.remove(*seq as usize - 1).0, *uid);
        }
        let flags_of = |uid: &Uid| texts(&now.by_uid(*uid).expect("there").flags);
        told.extend(changes.added.iter().map(|uid| (*uid, flags_of(uid))));
        for uid in &changes.flags {
            let slot = told.iter_mut().find(|(known, _)| known == uid).expect("told");
            slot.1 = flags_of(uid);
        }
        let expected = self.boxes["INBOX"]
            .messages
            .iter()
            .map(|m| (uid(m.uid), m.flags.clone()));
        assert!(told.iter().cloned().eq(expected));
        *seen = now;
    }
}

async fn select(store: &Store, id: AccountId) -> Session {
    let open = store.mail(id).open(&MailboxName::inbox()).await.expect("opens");
    let seen = open.snapshot();
    let told = seen
        .iter()
        .map(|entry| (entry.uid, texts(&entry.flags)))
        .collect();
    (open, seen, told)
}

fn run(ops: &[Op], folder: Option<tempfile::TempDir>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let mut run = Run::new(folder).await;
        for op in ops {
            run.apply(op).await;
            run.check().await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_follows_the_model(ops in proptest::collection::vec(op(), 1..40)) {
        run(&ops, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn embedded_follows_the_model_across_reopening(ops in proptest::collection::vec(op(), 20..50)) {
        run(&ops, Some(tempfile::tempdir().expect("folder")));
    }
}
