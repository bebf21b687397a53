//! The names that members have in the directory, and what becomes of those that are not found.
//!
//! A list that is written without a member looks, at the next look, as if somebody had taken that member out of it. So
//! whoever is linked here and is not found there stays on both sides as they are, in the base too, and the list is looked
//! at again soon. Everything else of the list is written at once.

use super::push::Job;
use super::worker::{Worker, store_trouble};
use crate::engine::{Input, Notice, Outcome, Trouble};
use crate::field::{Field, Image, Values};
use crate::local::store_id;
use crate::plan::{Creation, Plan, RemoteOp, Wait, is_parked_address};
use directory::feed::{FeedError, Presence};
use model::EntryUuid;
use std::collections::{BTreeSet, HashMap};
use store::{Association, LinkState, StoreError};

/// Members that a reason names.
const TOLD: usize = 3;

/// The DNs of members.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) found: HashMap<EntryUuid, String>,
    /// Those that something here stands for, and whose entries cannot be seen now.
    missing: BTreeSet<EntryUuid>,
    /// Those whose entries are known to be gone, and for whom nothing here stands any more.
    gone: BTreeSet<EntryUuid>,
}

impl Names {
    fn lacks(&self, key: &str) -> bool {
        EntryUuid::parse(key).is_ok_and(|uuid| self.missing.contains(&uuid))
    }

    /// Those of `values` that `other` has not, and that are not found.
    fn lacking(&self, values: &Values, other: &Values) -> Values {
        Values::from_pairs(values.missing_in(other).filter(|(key, _)| self.lacks(key)))
    }

    /// Takes what cannot be written now out of a plan: who is to come into the list and is not found does not come yet,
    /// and who is to go stays. The base says so, and both are due. Their addresses.
    pub(super) fn put_off(&self, plan: &mut Plan) -> Vec<String> {
        let mut addresses = Vec::new();
        if self.missing.is_empty() {
            return addresses;
        }
        for op in &mut plan.remote {
            let RemoteOp::Set {
                field: Field::Members,
                was,
                values,
                ..
            } = op
            else {
                continue;
            };
            let (comes, goes) = (self.lacking(values, was), self.lacking(was, values));
            *values = later(values, &comes, &goes);
            if let Some(base) = &mut plan.base {
                let members = later(base.get(Field::Members), &comes, &goes);
                base.set(Field::Members, members);
            }
            if !comes.is_empty() {
                let addresses = texts(&comes).collect();
                plan.waits.push(Wait::Members { addresses });
            }
            addresses.extend(texts(&comes).chain(texts(&goes)));
        }
        plan.remote.retain(
            |op| !matches!(op, RemoteOp::Set { field: Field::Members, was, values, .. } if was == values),
        );
        addresses
    }

    /// The same for a new list: true when it is made without some of its members, for now or for ever.
    pub(super) fn put_off_some_of(&self, creation: &mut Creation) -> bool {
        let members = creation.image.get(Field::Members);
        let missing = self.lacking(members, &Values::default());
        let found = members.without(&missing);
        if missing.is_empty() {
            return members.to_members().any(|(uuid, _)| self.gone.contains(&uuid));
        }
        creation.waiting.extend(texts(&missing));
        creation.image.set(Field::Members, found);
        true
    }

    /// Whether a plan would bring somebody into a list who is gone. That is left out of what is written, and the next look
    /// takes it for what the directory took out.
    pub(super) fn brings_one_who_is_gone(&self, plan: &Plan) -> bool {
        let is_gone = |(uuid, _): (EntryUuid, _)| self.gone.contains(&uuid);
        plan.remote.iter().any(|op| match op {
            RemoteOp::Set {
                field: Field::Members,
                was,
                values,
                ..
            } => Values::from_pairs(values.missing_in(was))
                .to_members()
                .any(is_gone),
            _ => false,
        })
    }

    /// Whether a plan writes somebody who is not found.
    pub(super) fn lacks_one_of(&self, plan: &Plan) -> bool {
        members_written(plan)
            .iter()
            .any(|uuid| self.missing.contains(uuid))
    }
}

/// A list without some and with others.
fn later(list: &Values, comes: &Values, goes: &Values) -> Values {
    Values::from_pairs(list.missing_in(comes).chain(goes.iter()))
}

fn texts(values: &Values) -> impl Iterator<Item = String> {
    values.iter().map(|(_, text)| text.to_owned())
}

impl Job {
    /// What a plan came to, whose members are not all found.
    pub(super) fn told(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Done if !self.put_off.is_empty() => Outcome::Waits(named(&self.put_off)),
            other => other,
        }
    }
}

/// The first few, and how many more.
pub(super) fn named(addresses: &[String]) -> String {
    let (told, more) = addresses.split_at(addresses.len().min(TOLD));
    match more.len() {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

impl Worker<'_> {
    /// The DNs of entries, asked for now. What a link says was true when the entry was last seen: the branch above it may
    /// have been renamed without a word, and somebody else may have its name.
    pub(super) async fn names(&mut self, wanted: BTreeSet<EntryUuid>) -> Result<Names, Trouble> {
        let wanted: Vec<EntryUuid> = wanted.into_iter().collect();
        let mut names = Names::default();
        if wanted.is_empty() {
            return Ok(names);
        }
        // The connection may have been idle too long, and lead to another server since.
        self.server = Some(self.source.fingerprint().await?);
        let answers = self.source.verify(&wanted).await?;
        if answers.len() != wanted.len() {
            // Whoever has no answer would be neither found nor missing, and left out without a word.
            return Err(FeedError::Protocol("a look-up left members out".to_owned()).into());
        }
        for (uuid, answer) in wanted.into_iter().zip(answers) {
            let shown = match answer {
                Presence::Gone => None,
                Presence::OutOfScope(entry) => Some(*entry),
                Presence::InScope(entry) => Some(entry.entry),
            };
            let (store, name) = (&self.parts.local.store, &self.parts.config.name);
            let link = store.association_by_uuid(name, uuid).map_err(store_trouble)?;
            if self.is_not_there_yet(uuid, shown.as_ref())? {
                // Its last name is the one that we gave it just now.
                names.found.extend(link.map(|link| (uuid, link.data.dn)));
                continue;
            }
            // Who is gone here too leaves the list anyway.
            let stands = match (&shown, &link) {
                (Some(_), _) => true,
                (None, Some(link)) => !self.is_over(link).map_err(store_trouble)?,
                (None, None) => store.elsewhere(name, uuid).map_err(store_trouble)?.is_some(),
            };
            #[cfg(test)]
            let stands = stands && !crate::broken::is(crate::broken::Broken::MembersLeftOut);
            match shown {
                Some(entry) => {
                    names.found.insert(uuid, entry.dn);
                }
                None if stands => {
                    names.missing.insert(uuid);
                }
                None => {
                    names.gone.insert(uuid);
                }
            }
        }
        Ok(names)
    }

    /// Whether the end of an entry is known here: its account is removed, or had moved to another home before and has given
    /// its addresses up since. What is kept of that one is mail.
    fn is_over(&self, link: &Association) -> Result<bool, StoreError> {
        match (&link.data.state, link.local) {
            (LinkState::Gone { .. }, _) => Ok(true),
            (LinkState::MovedAway { .. }, store::LocalId::Account(id)) => {
                let account = self.parts.local.store.account(id)?;
                Ok(account.is_none_or(|account| is_parked_address(&account.address)))
            }
            _ => Ok(false),
        }
    }

    /// A list that was made without some of its members is looked at in this round: from then on its row in quarantine
    /// says when the next time is.
    pub(super) fn look_for_members(&mut self, creation: &Creation) -> Result<(), Trouble> {
        let local = &self.parts.local;
        let link = local
            .store
            .association(&local.connector, store_id(creation.local))
            .map_err(store_trouble)?;
        if let Some(link) = link {
            self.step(Input::Noticed(Notice::Group(link.remote)));
        }
        Ok(())
    }
}

/// The members that a plan writes into a list, or takes out of it.
pub(super) fn members_written(plan: &Plan) -> BTreeSet<EntryUuid> {
    let mut found = BTreeSet::new();
    for op in &plan.remote {
        match op {
            RemoteOp::Set {
                field: Field::Members,
                was,
                values,
                ..
            } => {
                let uuids =
                    |values: &Values| values.to_members().map(|(uuid, _)| uuid).collect::<BTreeSet<_>>();
                found.extend(uuids(was).symmetric_difference(&uuids(values)));
            }
            RemoteOp::Create { image, .. } => found.extend(members_of(image)),
            _ => {}
        }
    }
    found
}

pub(super) fn members_of(image: &Image) -> Vec<EntryUuid> {
    let members = image.get(Field::Members).to_members();
    members.map(|(uuid, _)| uuid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Cause;
    use model::Address;

    /// A list by the letters of its members.
    fn list(letters: &str) -> Values {
        let members: Vec<(EntryUuid, Address)> = letters
            .bytes()
            .map(|letter| {
                let address = Address::parse(&format!("{}@example.test", char::from(letter)));
                (EntryUuid::from_bytes([letter; 16]), address.expect("an address"))
            })
            .collect();
        Values::members(members.iter().map(|(uuid, address)| (*uuid, address)))
    }

    fn letters(values: &Values) -> String {
        texts(values).map(|text| text[..1].to_owned()).collect()
    }

    fn names(missing: &str) -> Names {
        Names {
            found: HashMap::new(),
            missing: missing
                .bytes()
                .map(|letter| EntryUuid::from_bytes([letter; 16]))
                .collect(),
            gone: BTreeSet::new(),
        }
    }

    #[test]
    fn who_is_not_found_stays_as_it_is_on_both_sides() {
        // Who is not found, the list there and here; what is written, the base, and who is put off.
        for (missing, was, values, written, base, put_off) in [
            ("", "ab", "bc", "bc", "bc", ""),
            ("c", "ab", "abcd", "abd", "abd", "c"),
            ("a", "ab", "b", "-", "ab", "a"),
            ("ac", "ab", "bcd", "abd", "abd", "ca"),
            ("c", "ab", "abc", "-", "ab", "c"),
            // Whoever is in it already is not written.
            ("a", "ab", "abc", "abc", "abc", ""),
        ] {
            let uuid = EntryUuid::from_bytes([0; 16]);
            let mut plan = Plan::nothing(uuid, "team".to_owned(), None);
            plan.base = Some(Image::default().with(Field::Members, list(values)));
            plan.remote.push(RemoteOp::Set {
                field: Field::Members,
                was: list(was),
                values: list(values),
                cause: Cause::Changed,
            });
            let addresses: String = names(missing)
                .put_off(&mut plan)
                .iter()
                .map(|text| text[..1].to_owned())
                .collect();
            let now = match plan.remote.as_slice() {
                [RemoteOp::Set { values, .. }] => letters(values),
                [] => "-".to_owned(),
                other => panic!("{other:?}"),
            };
            let kept = plan.base.as_ref().map(|base| letters(base.get(Field::Members)));
            assert_eq!(
                (now.as_str(), kept.as_deref(), addresses.as_str()),
                (written, Some(base), put_off),
                "{was} -> {values} without {missing}"
            );
        }
    }

    #[test]
    fn a_reason_names_a_few() {
        let all: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(named(&all[..3]), "a, b, c");
        assert_eq!(named(&all), "a, b, c and 2 more");
    }
}
