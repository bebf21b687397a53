//! A portion that is looked at while the one before it is being written.

use super::*;

fn uuid(number: u8) -> EntryUuid {
    EntryUuid::from_bytes([number; 16])
}

/// A round in which these were changed here, one to a portion.
fn round(changed: &[EntryUuid]) -> (Engine, Vec<Effect>) {
    let settings = Settings {
        together: 1,
        ..settings()
    };
    let mut engine = Engine::new(settings, known(), 3, BTreeMap::new(), BTreeMap::new());
    engine.step(Input::Wake(Wake::Timer), NOW);
    engine.step(server("20260103000000", 1), NOW);
    for uuid in changed {
        engine.step(Input::Noticed(Notice::Here(*uuid)), NOW);
    }
    let effects = engine.step(ended("20260103000000", Coverage::NamedDeletes), NOW);
    (engine, effects)
}

#[test]
fn the_stage_ends_with_the_last_of_both_portions() {
    let (one, two) = (uuid(1), uuid(2));
    for order in [[one, two], [two, one]] {
        let (mut engine, effects) = round(&[one, two]);
        assert_eq!(effects, [Effect::LookUp(vec![one])]);
        let effects = engine.step(Input::Sent(vec![one]), NOW);
        assert_eq!(effects, [Effect::LookUp(vec![two])], "while the first is written");
        let [first, last] = order.map(|uuid| Input::Applied(uuid, Outcome::Done));
        assert_eq!(engine.step(first, NOW), []);
        let effects = engine.step(last, NOW);
        assert!(matches!(effects.as_slice(), [Effect::Commit(_)]), "{effects:?}");
    }
}

#[test]
fn a_round_that_is_over_asks_for_nothing_more() {
    let (one, two) = (uuid(1), uuid(2));
    let (mut engine, _) = round(&[one, two]);
    engine.step(Input::Sent(vec![one]), NOW);
    engine.step(Input::Failed(Trouble::Store("full".to_owned())), NOW);
    assert!(engine.next_wake().is_some());
    assert_eq!(engine.step(Input::Sent(vec![two]), NOW), []);
    assert_eq!(engine.step(Input::Applied(one, Outcome::Done), NOW), []);
}
