//! The commit queue: grouping, preconditions, failure.

use super::thread::Worker;
use super::*;
use crate::engine::Durability;
use model::ManualClock;
use std::time::Duration;

fn request(batch: Batch) -> (Message, oneshot::Receiver<Result<(), StoreError>>) {
    let (answer, receiver) = oneshot::channel();
    for (fence, _) in &batch.fences {
        fence.in_flight.fetch_add(1, Ordering::SeqCst);
    }
    let request = Request {
        batch,
        answer,
        _room: None,
    };
    (Message::Commit(Box::new(request)), receiver)
}

/// Runs the thread's loop here over a queue that is full from the start.
fn run(engine: &Arc<Engine>, batches: Vec<Batch>) -> (CommitStats, Vec<Result<(), StoreError>>) {
    let counters = Arc::new(Counters::default());
    let start = Start {
        sequence: 0,
        journal: 1,
        journal_told: tokio::sync::watch::channel(1).0,
        mark: None,
        reserve: None,
    };
    let clock = Arc::new(ManualClock::default());
    let worker = Worker::new(Arc::clone(engine), clock, start, Arc::clone(&counters));
    let (sender, queue) = mpsc::channel();
    let mut answers = Vec::new();
    for batch in batches {
        let (message, answer) = request(batch);
        sender.send(message).expect("queued");
        answers.push(answer);
    }
    drop(sender);
    worker.run(&queue);
    let stats = CommitStats {
        commits: counters.commits.load(Ordering::Relaxed),
        groups: counters.groups.load(Ordering::Relaxed),
        syncs: counters.syncs.load(Ordering::Relaxed),
        refused: counters.refused.load(Ordering::Relaxed),
    };
    let answers = answers
        .into_iter()
        .map(|mut answer| answer.try_recv().expect("answered"));
    (stats, answers.collect())
}

fn put(key: &[u8]) -> Batch {
    let mut batch = Batch::new(Class::Durable);
    batch.put(Space::Mail, key.to_vec(), Bytes::from_static(b"x"));
    batch
}

fn memory() -> Arc<Engine> {
    Arc::new(Engine::memory())
}

#[test]
fn what_waits_becomes_one_group_and_one_sync() {
    let batches = (0u32..500).map(|number| put(&number.to_be_bytes())).collect();
    let (stats, answers) = run(&memory(), batches);
    assert!(answers.iter().all(Result::is_ok));
    // One for the group, one for the clean stop.
    assert_eq!((stats.commits, stats.groups, stats.syncs), (500, 2, 2));
}

#[test]
fn preconditions_see_what_stands_earlier_in_the_group() {
    let engine = memory();
    let absent = |key: &[u8]| {
        let mut batch = put(key);
        batch.expect(Space::Mail, key.to_vec(), Expect::Absent, StoreError::OverQuota);
        batch
    };
    let mut empty = put(b"z");
    empty.expect(Space::Mail, b"a".to_vec(), Expect::Empty, StoreError::Full);
    let mut removed = Batch::new(Class::Durable);
    removed.delete(Space::Mail, b"a1".to_vec());
    let again = {
        let mut batch = put(b"y");
        batch.expect(Space::Mail, b"a".to_vec(), Expect::Empty, StoreError::Full);
        batch
    };
    let (stats, answers) = run(&engine, vec![absent(b"a1"), absent(b"a1"), empty, removed, again]);
    let ok: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, false, true, true]);
    assert!(matches!(answers.get(1), Some(Err(StoreError::OverQuota))));
    assert_eq!(stats.refused, 2);
    assert_eq!(engine.get(Space::Mail, b"z").expect("reads"), None);
}

#[test]
fn what_was_built_upon_a_refused_batch_fails_too() {
    let engine = memory();
    let fence = Arc::new(Fence::default());
    let generation = fence.generation();
    let fenced = |key: &[u8]| {
        let mut batch = put(key);
        batch.fences.push((Arc::clone(&fence), generation));
        batch
    };
    let mut refused = fenced(b"b");
    refused.expect(
        Space::Mail,
        b"none".to_vec(),
        Expect::Present,
        StoreError::NotFound("x"),
    );
    let published = Arc::new(AtomicUsize::new(0));
    let mut later = fenced(b"c");
    let seen = Arc::clone(&published);
    later.publish.push(Box::new(move || {
        seen.fetch_add(1, Ordering::SeqCst);
    }));
    let (_, answers) = run(&engine, vec![fenced(b"a"), refused, later, put(b"d")]);
    assert!(matches!(
        answers.as_slice(),
        [
            Ok(()),
            Err(StoreError::NotFound(_)),
            Err(StoreError::Conflict),
            Ok(())
        ]
    ));
    assert_eq!(published.load(Ordering::SeqCst), 0);
    assert_eq!((fence.generation(), fence.in_flight()), (generation + 1, 0));
}

#[test]
fn a_body_goes_with_its_last_reference() {
    let engine = memory();
    let body = BodyId([7; 16]);
    let ops = |ops: Vec<Op>| Batch {
        ops,
        ..Batch::new(Class::Durable)
    };
    let stored = Op::Put(Space::Body, body.0.to_vec(), Bytes::from_static(b"body"));
    let there = |engine: &Engine| engine.get(Space::Body, &body.0).expect("reads").is_some();
    run(
        &engine,
        vec![
            ops(vec![stored, Op::Share(body, 2)]),
            ops(vec![Op::Release(body)]),
        ],
    );
    assert!(there(&engine));
    // A move: one more and one less in one batch.
    run(
        &engine,
        vec![
            ops(vec![Op::Share(body, 1), Op::Release(body)]),
            ops(vec![Op::Release(body)]),
        ],
    );
    assert!(there(&engine));
    assert_eq!(engine.get(Space::Refs, &body.0).expect("reads"), None);
    run(&engine, vec![ops(vec![Op::Release(body)])]);
    assert!(!there(&engine));
}

#[test]
fn relaxed_writes_are_synced_by_the_stop_at_the_latest() {
    let mut batch = put(b"a");
    batch.class = Class::Relaxed;
    let (stats, _) = run(&memory(), vec![batch]);
    assert_eq!((stats.groups, stats.syncs), (2, 1));
}

#[tokio::test]
async fn a_relaxed_write_is_synced_without_another_write() {
    let clock = Arc::new(ManualClock::default());
    let start = Start {
        sequence: 0,
        journal: 1,
        journal_told: tokio::sync::watch::channel(1).0,
        mark: None,
        reserve: None,
    };
    let committer = Committer::start(memory(), clock, start, Hands::Thread).expect("starts");
    let mut batch = put(b"a");
    batch.class = Class::Relaxed;
    committer.commit(batch).await.expect("commits");
    assert_eq!(committer.stats().syncs, 0);
    while committer.stats().syncs == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(committer.stats().groups, 1);
}

/// Polls it once.
async fn waits(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| {
        let now = future.as_mut().poll(context);
        std::task::Poll::Ready(now.is_pending())
    })
    .await
}

// A rename may write hundreds of large lists at once: it waits for room in the queue, and what is small goes on.
#[tokio::test]
async fn a_large_batch_waits_for_its_room() {
    let start = Start {
        sequence: 0,
        journal: 1,
        journal_told: tokio::sync::watch::channel(1).0,
        mark: None,
        reserve: None,
    };
    let clock = Arc::new(ManualClock::default());
    let committer = Committer::start(memory(), clock, start, Hands::Thread).expect("starts");
    let rest = 512 * 1024;
    let others = committer
        .slot(QUEUE_UNITS as usize * 1024 - rest)
        .await
        .expect("room");
    let mut batch = put(b"large");
    batch.put(Space::Directory, b"list".to_vec(), vec![1; 2 * rest].into());
    let large = committer.commit(batch);
    tokio::pin!(large);
    assert!(waits(large.as_mut()).await);
    // Whatever was in the queue is committed now.
    committer.barrier().await.expect("commits");
    assert!(waits(large.as_mut()).await, "it was queued all the same");
    drop(others);
    large.await.expect("commits");
    committer.commit(put(b"small")).await.expect("commits");
}

#[test]
fn the_mark_is_whole_or_none() {
    assert_eq!(read_mark(mark_bytes(77)), Some(77));
    assert_eq!(read_mark([0; 16]), None);
    let mut torn = mark_bytes(77);
    torn[3] ^= 1;
    assert_eq!(read_mark(torn), None);
}

/// Commits without a stop behind it.
fn killed_after(engine: &Arc<Engine>, batch: Batch) {
    let start = Start {
        sequence: 0,
        journal: 1,
        journal_told: tokio::sync::watch::channel(1).0,
        mark: None,
        reserve: None,
    };
    let clock = Arc::new(ManualClock::default());
    let mut worker = Worker::new(Arc::clone(engine), clock, start, Arc::default());
    let (sender, queue) = mpsc::channel();
    let (message, mut answer) = request(batch);
    sender.send(message).expect("queued");
    worker.carry_out(&queue);
    answer.try_recv().expect("answered").expect("commits");
}

/// A batch with a file of its own, and a journal entry beside it.
fn loads(keys: &[&[u8]]) -> Batch {
    let (mut bytes, mut rows) = (Vec::new(), Vec::new());
    for key in keys {
        let at = u32::try_from(bytes.len()).expect("few");
        let key_size = u32::try_from(key.len()).expect("few");
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(b"value");
        rows.push(BulkRow {
            at,
            key: key_size,
            value: 5,
            is_new: true,
        });
    }
    let mut batch = Batch::new(Class::Durable);
    batch
        .ops
        .push(Op::Journals(3, Bytes::from_static(b"three entries")));
    batch.put(Space::Directory, b"b".to_vec(), Bytes::from_static(b"beside"));
    batch.bulk = Some(Bulk(vec![BulkPart {
        bytes: bytes.into(),
        rows,
    }]));
    batch
}

#[test]
fn a_file_needs_room_for_itself() {
    let start = Start {
        sequence: 0,
        journal: 1,
        journal_told: tokio::sync::watch::channel(1).0,
        mark: None,
        reserve: Some(Reserve {
            folder: "/".into(),
            bytes: 4000,
        }),
    };
    let clock = Arc::new(ManualClock::default());
    let worker = Worker::new(memory(), clock, start, Arc::default());
    let room = |batch: Batch, free: u64| {
        let (Message::Commit(request), _) = request(batch) else {
            panic!("a commit");
        };
        match worker.room_for(&request, Some(free)) {
            Ok(()) => true,
            Err(StoreError::Full) => false,
            Err(other) => panic!("{other}"),
        }
    };
    // A quarter of the reserve is there for everything but mail.
    assert!(!room(put(b"x"), 999));
    assert!(room(put(b"x"), 1000));
    // Two rows of six octets each.
    assert!(!room(loads(&[b"a", b"c"]), 1011));
    assert!(room(loads(&[b"a", b"c"]), 1012));
}

fn journal_number(engine: &Engine) -> Option<Bytes> {
    engine.get(Space::Meta, crate::keys::JOURNAL).expect("reads")
}

#[test]
fn a_file_and_what_is_beside_it_come_together() {
    let engine = memory();
    let (stats, answers) = run(
        &engine,
        vec![put(b"x"), loads(&[b"a", b"c"]), loads(&[b"c"]), put(b"y")],
    );
    assert!(matches!(
        answers.as_slice(),
        [Ok(()), Ok(()), Err(StoreError::Conflict), Ok(())]
    ));
    assert_eq!((stats.commits, stats.refused), (3, 1));
    let get = |space, key: &[u8]| engine.get(space, key).expect("reads");
    for (key, value) in [(b"a", "value"), (b"b", "beside"), (b"c", "value")] {
        assert_eq!(get(Space::Directory, key), Some(Bytes::from(value)));
    }
    // Numbers 1 to 3, in the row of the last.
    assert!(get(Space::Log, &crate::keys::journal(3)).is_some());
    assert_eq!(
        journal_number(&engine),
        Some(Bytes::copy_from_slice(&4u64.to_be_bytes()))
    );
    assert_eq!(get(Space::Meta, crate::keys::LOADING), None);
}

#[test]
fn what_belongs_to_a_file_survives_whatever_ends_the_process() {
    // Power goes when the file is there and what follows it is in the kernel only.
    let engine = memory();
    killed_after(&engine, loads(&[b"a"]));
    engine.lose_power();
    assert_eq!(journal_number(&engine), None);
    let note = engine.get(Space::Meta, crate::keys::LOADING).expect("reads");
    assert!(note.is_some());
    finish_loading(&engine).expect("finishes");
    let row = engine.get(Space::Log, &crate::keys::journal(3));
    assert!(row.expect("reads").is_some());
    assert_eq!(
        journal_number(&engine),
        Some(Bytes::copy_from_slice(&4u64.to_be_bytes()))
    );
    // The process ends before the file is there: nothing follows from the note.
    let engine = memory();
    let entries = (
        Space::Log,
        crate::keys::journal(3),
        Some(Bytes::from("three entries")),
    );
    let noted = vec![(Space::Meta, crate::keys::LOADING.to_vec(), note), entries];
    engine.write(noted, Durability::Disk).expect("writes");
    finish_loading(&engine).expect("finishes");
    let row = engine.get(Space::Log, &crate::keys::journal(3));
    assert_eq!(row.expect("reads"), None);
    let left = engine.get(Space::Meta, crate::keys::LOADING).expect("reads");
    assert_eq!((left, journal_number(&engine)), (None, None));
}
