//! The sentences of an explanation: where both sides stand, and which settings decide.

use super::Told;
use crate::field::{Field, Values};
use crate::plan::{LocalObject, LocalState, Policy, Remote, Situation, Standing};
use directory::config::{ConflictResolution, ConflictScope, Direction};

pub(super) fn state(situation: &Situation, told: &Told) -> Vec<String> {
    let mut out = linked(situation);
    out.push(entry_now(told.entry.as_ref().unwrap_or(&situation.remote)));
    match (&situation.local, situation.by_address.as_slice()) {
        (Some(local), _) => out.push(here(local)),
        (None, [only]) if situation.link.is_none() => {
            let address = only.image.get(Field::Address);
            let whose = match only.linked_to {
                Some(other) => format!("linked to the entry {other}"),
                None => "not linked to any entry".to_owned(),
            };
            out.push(format!(
                "Its address here is that of {} ({address}), {whose}.",
                only.id
            ));
        }
        _ => {}
    }
    out
}

/// The same while the directory cannot be read.
pub(super) fn unread(situation: &Situation, why: &str) -> Vec<String> {
    let mut out = linked(situation);
    out.push(format!("The directory cannot be read now: {why}"));
    out.extend(situation.local.as_ref().map(here));
    out
}

/// Who is linked with whom, as the last synchronisation left it.
fn linked(situation: &Situation) -> Vec<String> {
    let mut out = Vec::new();
    let entry = match situation.name.as_str() {
        "" => format!("entry {}", situation.uuid),
        name => format!("entry {name} ({})", situation.uuid),
    };
    let standing = situation.link.as_ref().map(|link| link.standing);
    out.push(match (&situation.link, &situation.local) {
        (Some(_), Some(local)) if standing == Some(Standing::UnlinkedHeld) => {
            format!(
                "An administrator unlinked {} from the {entry}: nothing goes from one to the other.",
                local.id
            )
        }
        (Some(_), Some(local)) => format!("{} is linked to the {entry}.", local.id),
        (Some(link), None) => format!("{} was linked to the {entry} and is gone for good.", link.local),
        (None, _) => format!("No account or group here is linked to the {entry}."),
    });
    out.extend(match standing {
        Some(Standing::Gone) => Some("The last synchronisation found the entry gone.".to_owned()),
        Some(Standing::OutOfScope) => {
            Some("The last synchronisation found the entry out of scope, or without a host.".to_owned())
        }
        Some(Standing::MovedAway) => Some("The last synchronisation found it at another home.".to_owned()),
        Some(Standing::Linked | Standing::UnlinkedHeld) | None => None,
    });
    out
}

fn entry_now(remote: &Remote) -> String {
    match remote {
        Remote::Here(_) => "The entry is in the directory, in scope, and of this server.".into(),
        Remote::Elsewhere { host, .. } => format!("The entry's host is {host}, another server."),
        Remote::NoHome => "The entry names no host.".into(),
        Remote::OutOfScope => "The entry exists, but bases and filters do not select it.".into(),
        Remote::Gone => "No entry of the directory has this UUID any more.".into(),
        Remote::Hidden { parent } => {
            format!("The entry cannot be seen, and neither can {parent} above it.")
        }
        Remote::Broken(reason) => format!("The entry is set aside: {reason}."),
    }
}

/// Where the object here stands.
pub(super) fn here(local: &LocalObject) -> String {
    let off = local.image.get(Field::Enabled).equals(&Values::switch(false));
    match &local.state {
        LocalState::Active if off => "Here it is disabled: nobody can log in.".into(),
        LocalState::Active => "Here it is in use.".into(),
        LocalState::Deleted => "Here it is deleted: nobody can log in, and its mail is kept.".into(),
        LocalState::MovedAway { to } => {
            format!("Here it has moved to {to}: nobody can log in, and its mail is kept.")
        }
        LocalState::AwaitingMail { from } => {
            format!("Here it waits for its mail from {from}; logins and mail are answered \"try later\".")
        }
    }
}

pub(super) fn rules(policy: &Policy) -> Vec<String> {
    let mut out = vec![
        match policy.direction {
            Direction::LdapToLocal => "ldap-to-local: the directory is the source; edits here are undone.",
            Direction::LocalToLdap => {
                "local-to-ldap: this server is the source; edits in the directory are undone."
            }
            Direction::BothWays => "both-ways: what changed on one side goes to the other.",
        }
        .to_owned(),
    ];
    if policy.direction == Direction::BothWays {
        let scope = match policy.scope {
            ConflictScope::Attribute => "the same attribute",
            ConflictScope::Entry => "the same object, in whatever attribute,",
        };
        let end = match policy.resolution {
            ConflictResolution::LocalWins => "the value here wins (local-wins)",
            ConflictResolution::LdapWins => "the directory's value wins (ldap-wins)",
            ConflictResolution::NoChange => "both go back to the last common value (no-change)",
        };
        out.push(format!(
            "When {scope} changed on both sides since they last agreed, {end}."
        ));
    }
    out
}
