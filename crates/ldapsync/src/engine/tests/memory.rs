//! The half of invariant 10 that is about memory: what a round over everybody holds at a time.
//!
//! Counted by the allocator, so that a list which somebody adds to a round counts as well.

use super::*;
use crate::plan::tests::{here, image};
use allocation_counter::measure;

/// What a round takes whoever there is.
const ROUND: u64 = 32 << 10;

fn entry(number: u32) -> EntryUuid {
    // As servers make them: nearly the same, one after the other.
    let mut bytes = [0x5a; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    EntryUuid::from_bytes(bytes)
}

/// An entry that is as its link and its object here say.
fn equal(engine: &mut Engine, uuid: EntryUuid) {
    assert_eq!(engine.step(Input::Noticed(Notice::Present(uuid)), NOW), []);
}

/// An entry that nobody here has, and that arrives.
fn arrives(engine: &mut Engine, uuid: EntryUuid) {
    engine.step(Input::Noticed(Notice::Account(uuid)), NOW);
    let situation = Situation {
        uuid,
        name: "somebody".to_owned(),
        remote: here(image("somebody")),
        link: None,
        local: None,
        by_address: Vec::new(),
        by_alias: Vec::new(),
        bereaved: Vec::new(),
        seen_at: None,
        removal: crate::plan::Removal::default(),
        beside: None,
        rivals: Vec::new(),
    };
    let effects = engine.step(Input::Examined(Box::new(situation)), NOW);
    assert!(matches!(effects.as_slice(), [Effect::Apply(_)]), "{effects:?}");
    assert_eq!(engine.step(Input::Applied(uuid, Outcome::Done), NOW), []);
}

/// The most octets that a comparison of everything holds, from its wake to its commit.
fn most(people: u32, named: fn(&mut Engine, EntryUuid)) -> u64 {
    let mut engine = engine(known(), u64::from(people));
    let counted = measure(|| {
        engine.step(Input::Wake(Wake::Full), NOW);
        engine.step(server("20260103000000", 1), NOW);
        (0..people).for_each(|number| named(&mut engine, entry(number)));
        let effects = engine.step(ended("20260103000000", Coverage::Everything), NOW);
        assert_eq!(effects, [Effect::ListLinks]);
        let missing: Vec<EntryUuid> = (0..people)
            .map(entry)
            .filter(|uuid| !engine.has_named(*uuid))
            .collect();
        assert_eq!(missing, []);
        let effects = engine.step(Input::Links(missing), NOW);
        assert!(matches!(effects.as_slice(), [Effect::Commit(_)]), "{effects:?}");
        let linked = u64::from(people);
        engine.step(Input::Committed { linked }, NOW);
    });
    counted.bytes_max
}

#[test]
fn a_round_holds_8_octets_of_each_entry_and_little_else() {
    for named in [equal, arrives] {
        for people in [1_000, 10_000, 100_000] {
            let (most, hashes) = (most(people, named), 8 * u64::from(people));
            // A sixteenth is what the lists have to spare, for they grow.
            let bound = ROUND + hashes + hashes / 16;
            assert!(most <= bound, "{people} people: {most} octets, at most {bound}");
            assert!(most >= hashes, "{people} people: {most} octets cannot be all");
        }
    }
}
