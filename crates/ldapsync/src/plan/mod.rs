//! The plan: what has to happen to one object so that both sides agree, as far as the direction lets them.
//!
//! Owns the decision and nothing else: [`plan`] is a pure function of what both sides look like now and of what they
//! had in common, and carrying its result out twice changes nothing. Events only say which object to look at again,
//! so a lost, repeated or reordered event cannot harm. [`plan_newcomer`] is the same for a local object that no entry
//! is linked to.
//!
//! Never touches a local object that was not linked, except to link it by its address at first sight, and never
//! deletes one: the strongest operation switches login off and keeps the mail. Never writes the source of a one-way
//! direction, never deletes an entry unless a person deleted its object, and never says what a password is.

mod absent;
#[cfg(test)]
mod away_tests;
#[cfg(test)]
mod both_tests;
mod diff;
mod join;
mod naming;
mod newcomer;
mod op;
mod outcome;
mod parking;
mod password;
mod present;
mod reason;
mod remote_op;
mod rival;
#[cfg(test)]
mod rival_tests;
mod situation;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use newcomer::{Birth, Creation, Found, Newcomer, plan_newcomer};
pub use op::{Farewell, Hazard, Kind, LocalId, LocalState, Op};
pub use outcome::Wait;
pub(crate) use outcome::{Decision, LinkValues, Plan};
pub(crate) use parking::{is_parked, is_parked_address, parked, parked_rdn};
pub(crate) use password::{Credentials, Hash, Passwords, RemotePassword};
pub use password::{Digest, PasswordMove};
pub(crate) use reason::{HIDDEN, Reason};
pub use remote_op::RemoteOp;
pub use situation::Standing;
pub(crate) use situation::{
    Arrivals, Claim, Deletions, Home, Link, LocalObject, Members, Policy, Remote, RemoteObject, Removal,
    Rival, Situation, Switch,
};

use crate::field::{Field, Image};
use model::EntryUuid;

/// Decides. Pure; see the module's description.
#[must_use]
pub(crate) fn plan(situation: &Situation, policy: &Policy) -> Decision {
    if situation
        .link
        .as_ref()
        .is_some_and(|link| link.standing == Standing::UnlinkedHeld)
    {
        let mut plan = absent::idle(situation);
        plan.waits.push(Wait::Unlinked);
        return Decision::Act(plan);
    }
    match &situation.remote {
        Remote::Here(remote) => present::present(situation, remote, policy),
        Remote::Elsewhere { host, image } => absent::elsewhere(situation, host, image, policy),
        Remote::NoHome => absent::left(situation, Farewell::NoHome, policy),
        Remote::OutOfScope => absent::left(situation, Farewell::OutOfScope, policy),
        Remote::Gone => absent::gone(situation, policy),
        Remote::Hidden { parent } => absent::hidden(situation, parent, policy),
        Remote::Broken(reason) => Decision::SetAside(reason.clone()),
    }
}

/// The kind of a local object.
pub(crate) const fn kind_of(id: LocalId) -> Kind {
    match id {
        LocalId::Account(_) => Kind::Account,
        LocalId::Group(_) => Kind::Group,
    }
}

/// The fields that a kind of object has, in the order in which they are written: an alias that becomes the
/// address is set together with it by the applier.
pub(crate) const fn fields_of(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Account => &[
            Field::Address,
            Field::Aliases,
            Field::DisplayName,
            Field::Quota,
            Field::Enabled,
        ],
        Kind::Group => &[Field::Address, Field::Aliases, Field::DisplayName, Field::Members],
    }
}

pub(crate) fn subject_of(image: &Image, uuid: EntryUuid) -> String {
    image
        .address()
        .map_or_else(|| uuid.to_string(), |address| address.as_str().to_owned())
}
