//! A server that says less of itself than what was seen, and shows all that is known: believed in that, and in little else.

use super::*;

const BEHIND: &str = "20260101000000";
const AHEAD: &str = "20260103000000";

/// A round with it, up to its answer to the poll.
fn polls(engine: &mut Engine, from: Option<Cookie>, now: Timestamp) {
    engine.step(Input::Wake(Wake::Timer), now);
    assert_eq!(engine.step(server(BEHIND, 1), now), [Effect::Prove]);
    assert_eq!(engine.step(Input::Proved(true), now), [Effect::Poll(from)]);
}

#[test]
fn nobody_is_missed_before_it_has_caught_up() {
    let mut engine = engine(known(), 3);
    polls(&mut engine, None, NOW);
    engine.step(Input::Noticed(Notice::Present(OTHER)), NOW);
    let effects = engine.step(ended(BEHIND, Coverage::Everything), NOW);
    assert_eq!(effects, [Effect::ListLinks]);
    // Whom it does not show, it may have lost: a branch that was moved into the bases, which no version tells.
    let effects = engine.step(Input::Links(vec![ONE]), NOW);
    let [Effect::Commit(checkpoint)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (&checkpoint.cookie, checkpoint.last_full),
        (&known().cookie, Some(NOW))
    );
    engine.step(Input::Committed { linked: 3 }, NOW);
    // The same again, from its own number.
    let later = NOW.after(Duration::from_secs(60));
    polls(&mut engine, cookie(BEHIND), later);
    engine.step(ended(BEHIND, Coverage::NamedDeletes), later);
    engine.step(Input::Committed { linked: 3 }, later);
    // It has caught up: everything is compared, and now who is missing is looked for.
    let last = NOW.after(Duration::from_secs(120));
    engine.step(Input::Wake(Wake::Timer), last);
    assert_eq!(engine.step(server(AHEAD, 1), last), [Effect::Poll(None)]);
    engine.step(Input::Noticed(Notice::Present(OTHER)), last);
    engine.step(ended(AHEAD, Coverage::Everything), last);
    assert_eq!(
        engine.step(Input::Links(vec![ONE]), last),
        [Effect::Sample(vec![ONE])]
    );
}

#[test]
fn an_entry_from_before_the_cookie_is_no_newcomer() {
    let version = |second: &str| format!("{second}.000000Z#000000#001#000000");
    let (old, new) = (version("20260101120000"), version(AHEAD));
    let mut engine = engine(known(), 3);
    assert!(!engine.is_old_news(Some(&old)), "between rounds");
    polls(&mut engine, None, NOW);
    assert!(
        engine.is_old_news(Some(&old)),
        "a list that was deleted elsewhere"
    );
    assert!(engine.is_old_news(None), "who can tell");
    assert!(!engine.is_old_news(Some(&new)));
    let mut sound = super::engine(known(), 3);
    sound.step(Input::Wake(Wake::Timer), NOW);
    sound.step(server(AHEAD, 1), NOW);
    assert!(!sound.is_old_news(Some(&old)));
}

// It is followed from its own number, and what comes over that feed does not make the kept cookie older.
#[test]
fn the_cookie_that_is_kept_stays_where_it_was() {
    let mut engine = engine(known(), 3);
    polls(&mut engine, None, NOW);
    engine.step(Input::Noticed(Notice::Present(ONE)), NOW);
    engine.step(ended(BEHIND, Coverage::Everything), NOW);
    engine.step(Input::Links(Vec::new()), NOW);
    engine.step(Input::Committed { linked: 3 }, NOW);
    assert!(engine.begin_live(NOW));
    let effects = engine.step(ended("20260101000001", Coverage::NamedDeletes), NOW);
    let [Effect::Commit(checkpoint)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(checkpoint.cookie, known().cookie);
    engine.step(Input::Committed { linked: 3 }, NOW);
    // And it is asked again before long.
    let next = engine.next_wake().expect("idle");
    assert!(next <= NOW.after(Duration::from_secs(600)), "{next:?}");
}
