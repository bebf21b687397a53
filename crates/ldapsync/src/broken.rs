//! Defects that the simulation must catch: each is one rule of the engine switched off, in tests only.
//!
//! A switch is of one thread, so that tests that run side by side do not disturb each other.

use directory::feed::Cookie;
use std::cell::Cell;

/// One rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// What a write of ours left behind is not written down as the common state, so its echo is somebody's edit.
    Echo,
    /// The cookie is stored before the effects of what it covers.
    CookieEarly,
    /// What a message names as gone is not looked up, and stays as it is until everything is compared.
    DeletionsForgotten,
    /// The guard lets everything through.
    NoGuard,
    /// An entry is known by its DN.
    ByDn,
    /// An entry that went to another home is taken for deleted.
    MoveIsDelete,
    /// A server that is behind the cookie is believed.
    LagBelieved,
    /// A server that is behind is believed without a look at what it shows.
    NoProof,
    /// Whoever answers in the middle of a round is believed to be as far as the one that was asked (in the simulated link).
    AnotherServerBelieved,
    /// A server that has not got our own last write is believed.
    LagOfWritesBelieved,
    /// What a write sent whose answer never came is not known again in an entry that was edited since.
    SentForgotten,
    /// What a write sent that did not take place is taken for ours when somebody else writes it.
    RefusedKept,
    /// A new entry is sent before the disk has the intent.
    IntentSoon,
    /// Who gets another entry joins whoever has its address meanwhile.
    FormerIgnored,
    /// Who is not found when a list is written is left out of it.
    MembersLeftOut,
    /// A server that got another name no longer knows what it had under the former one.
    FormerForgotten,
    /// A former name is the server's for ever, whoever has it now.
    FormerForEver,
}

thread_local! {
    static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
}

/// Whether this rule is switched off on this thread.
pub(crate) fn is(what: Broken) -> bool {
    BROKEN.get() == Some(what)
}

/// Switches one rule off, or none.
pub(crate) fn set(what: Option<Broken>) {
    BROKEN.set(what);
}

/// Whether what a server says of an object is believed although it has not got our own last write of it.
pub(crate) fn believes_lag_of_writes() -> bool {
    is(Broken::LagOfWritesBelieved) || is(Broken::LagBelieved) || is(Broken::NoProof)
}

/// A server that is behind is believed as if it were not: what it does not have is gone.
pub(crate) fn believe_lag(behind: bool, cookie: Option<Cookie>) -> (bool, Option<Cookie>) {
    if behind && is(Broken::LagBelieved) {
        (false, None)
    } else {
        (behind, cookie)
    }
}
