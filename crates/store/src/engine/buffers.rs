//! Rows that wait in memory until they are written out: how many there may be, in all key spaces together.
//!
//! fjall bounds each key space alone, by the size of what it gathers and by the number of such parts that wait for the
//! disk. Together that is several times what anybody would expect of `[store] cache`, and a first synchronisation gets there:
//! rows come faster than they are written out. So the gathering ends earlier here, and a writer waits for the disk sooner.

use fjall::{AbstractTree, Database, Keyspace};
use std::time::Duration;

/// What fjall lets one key space gather by default. It ends the gathering by itself then.
const MOST_OF_A_SPACE: u64 = 64 << 20;
/// What is less than this part of a part stays in memory while nobody writes: a file of its own would be dearer.
const SMALL: u64 = 8;
/// Between two looks at what is being written out.
const LOOK: Duration = Duration::from_millis(1);
/// Looks after which the writer goes on all the same: more memory is better than no mail. About ten seconds.
const LOOKS: usize = 10_000;
/// Looks after which rows go the way of all others because there is no room for a file of them. About two seconds.
const LOOKS_FOR_A_FILE: usize = 2_000;
/// Files that may wait to be merged before another one is made. fjall stops a writer at 30.
const FILES: usize = 26;

/// How memory is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// For blocks that were read.
    pub(super) blocks: u64,
    /// For rows that are gathered; as much again for those that are being written out, and for those that were, which fjall
    /// lets go when the next are gathered.
    pub(super) part: u64,
}

impl Shares {
    /// Half for the blocks, half for the rows. fjall counts octets that were asked for; the allocator gives a quarter more,
    /// as blocks and rows are, so four fifths are said to it.
    pub(super) fn of(cache: u64) -> Self {
        let said = cache / 5 * 4;
        let part = (said / 6).min(MOST_OF_A_SPACE);
        Self {
            blocks: said - 3 * part,
            part,
        }
    }
}

/// What is gathered in one key space.
fn gathered(space: &Keyspace) -> u64 {
    space.tree.active_memtable().size()
}

/// Has the largest key space written out once all have gathered their part, and waits while more than that is on its way
/// already. For the committer thread, after it has written.
pub(super) fn bound(database: &Database, spaces: &[Keyspace], part: u64) -> Result<(), fjall::Error> {
    if database.write_buffer_size() <= part {
        return Ok(());
    }
    let all = || spaces.iter().map(gathered).sum::<u64>();
    if all() > part
        && let Some(largest) = spaces.iter().max_by_key(|space| gathered(space))
    {
        largest.rotate_memtable()?;
    }
    for _ in 0..LOOKS {
        if database.write_buffer_size().saturating_sub(all()) <= part {
            return Ok(());
        }
        std::thread::park_timeout(LOOK);
    }
    tracing::warn!("rows are written out too slowly; they take more memory than they should");
    Ok(())
}

/// Whether a key space has room for a file that comes from outside: everything of it is written out, and few files wait to be
/// merged. Has that done and waits for it, but not for ever: it is asked for on the thread that everybody waits for. fjall would
/// write out what is left as well, but it would go on counting it as waiting.
pub(super) fn has_room(space: &Keyspace) -> Result<bool, fjall::Error> {
    has_room_after(space, LOOKS_FOR_A_FILE)
}

fn has_room_after(space: &Keyspace, looks: usize) -> Result<bool, fjall::Error> {
    for _ in 0..looks {
        if gathered(space) > 0 {
            space.rotate_memtable()?;
        } else if space.tree.sealed_memtable_count() == 0 && space.tree.l0_run_count() < FILES {
            return Ok(true);
        }
        std::thread::park_timeout(LOOK);
    }
    tracing::debug!("there is no room for a file; its rows are written one by one");
    Ok(false)
}

/// Has what was gathered written out while nobody writes: rows that wait take memory, and nothing follows that would
/// take their place.
pub(super) fn write_out(spaces: &[Keyspace], part: u64) -> Result<(), fjall::Error> {
    for space in spaces.iter().filter(|space| gathered(space) > part / SMALL) {
        space.rotate_memtable()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::embedded::Embedded;
    use super::super::{Durability, Space};
    use super::*;
    use bytes::Bytes;

    #[test]
    fn halves() {
        for (cache, blocks, part) in [
            (1 << 20, 419_430, 139_810),
            (64 << 20, 26_843_544, 8_947_848),
            (4 << 30, 3_435_973_836 - (192 << 20), 64 << 20),
        ] {
            assert_eq!(Shares::of(cache), Shares { blocks, part });
        }
    }

    #[test]
    fn rows_that_wait_are_bounded_in_all_spaces_together() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = 1 << 20;
        let engine = Embedded::open(folder.path(), cache).expect("opens");
        let (part, mut written) = (Shares::of(cache).part, 0);
        for number in 0..600u32 {
            let value = Bytes::from(vec![7; 4096]);
            let spaces = [Space::Directory, Space::Mail, Space::Log];
            let row = |space| (space, number.to_be_bytes().to_vec(), Some(value.clone()));
            let rows: Vec<_> = spaces.into_iter().map(row).collect();
            written += 3 * 4096;
            engine.write(rows, Durability::Kernel).expect("writes");
            // Two parts, and what one write brought.
            assert!(
                engine.waiting() <= 2 * part + (16 << 10),
                "{} wait",
                engine.waiting()
            );
        }
        assert!(written > 20 * part, "more was written than may wait");
        for number in 0..600u32 {
            for space in [Space::Directory, Space::Mail, Space::Log] {
                let row = engine.snapshot().get(space, &number.to_be_bytes());
                assert!(row.expect("reads").is_some());
            }
        }
    }

    #[test]
    fn there_is_room_for_a_file_once_rows_are_written_out() {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::builder(folder.path()).open().expect("opens");
        let space = database
            .keyspace("rows", fjall::KeyspaceCreateOptions::default)
            .expect("a key space");
        assert!(has_room(&space).expect("asks"), "nothing waits");
        space.insert("a", vec![7; 4096]).expect("writes");
        assert!(!has_room_after(&space, 1).expect("asks"), "it is only begun");
        assert!(has_room(&space).expect("asks"));
        // fjall counts a moment after the rows are in their file.
        let counted = (0..LOOKS).any(|_| {
            std::thread::park_timeout(LOOK);
            database.write_buffer_size() == 0
        });
        assert!(counted, "and nothing counts as waiting");
    }

    #[test]
    fn rows_are_written_out_and_let_go_while_nobody_writes() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = 64 << 20;
        let engine = Embedded::open(folder.path(), cache).expect("opens");
        let value = Bytes::from(vec![7; 4096]);
        let row = |number: u32| (Space::Mail, number.to_be_bytes().to_vec(), Some(value.clone()));
        let little = (Space::Log, b"a".to_vec(), Some(value.clone()));
        let rows = (0..600).map(row).chain([little]).collect();
        engine.write(rows, Durability::Kernel).expect("writes");
        let before = engine.waiting();
        assert!(before > Shares::of(cache).part / SMALL, "{before}");
        engine.write_out().expect("begins");
        while engine.waiting() > 8192 {
            std::thread::park_timeout(LOOK);
        }
        assert!(engine.waiting() > 4096, "what is little stays");
        assert!(engine.kept() > 0, "fjall keeps what was written");
        // A file that is moved just then is one more state, which the next rest lets go.
        for _ in 0..LOOKS {
            engine.let_go().expect("writes");
            if engine.kept() == 0 {
                break;
            }
            std::thread::park_timeout(LOOK);
        }
        assert_eq!(engine.kept(), 0);
        for number in 0..600u32 {
            let row = engine.snapshot().get(Space::Mail, &number.to_be_bytes());
            assert_eq!(row.expect("reads").expect("there").len(), 4096);
        }
    }
}
