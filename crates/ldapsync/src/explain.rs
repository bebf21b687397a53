//! Why an object is as it is, in plain words: both sides, what they had in common, the rule, the last events.
//!
//! Pure: made from the same situation and decision that the engine acts on, so that it cannot tell another story.
//! Shows no password, only whether the sides differ.

use crate::field::{Field, Image, Values};
use crate::merge::{Change, Marks, compare};
use crate::plan::{
    Decision, LocalState, PasswordMove, Policy, Remote, Situation, Standing, fields_of, kind_of,
};
use directory::config::{ConflictResolution, ConflictScope, Direction};
use model::Timestamp;

/// The verdict of most fields.
const SAME: &str = "the same";

/// Something that happened to an object: a journal row, a conflict, a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// What, in one line.
    pub text: String,
}

impl Event {
    /// An event.
    #[must_use]
    pub fn new(time: Timestamp, text: impl Into<String>) -> Self {
        Self {
            time: time.as_millis(),
            text: text.into(),
        }
    }
}

/// One field on both sides.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldView {
    /// Which.
    pub field: Field,
    /// The last common value.
    pub base: String,
    /// The value here.
    pub here: String,
    /// The value in the directory.
    pub there: String,
    /// Who changed it, in words.
    pub verdict: &'static str,
}

/// Why an object is as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// What people know the object by.
    pub subject: String,
    /// Sentences about who is linked with whom, and where both stand.
    pub state: Vec<String>,
    /// Sentences about the settings that decide.
    pub rules: Vec<String>,
    /// The fields that either side has.
    pub fields: Vec<FieldView>,
    /// What synchronising it now would do, or why it would do nothing.
    pub next: Vec<String>,
    /// The last events, the newest first.
    pub events: Vec<Event>,
}

/// Explains one object.
#[must_use]
pub(crate) fn explain(
    situation: &Situation,
    policy: &Policy,
    decision: &Decision,
    events: Vec<Event>,
) -> Explanation {
    let local = situation
        .local
        .as_ref()
        .or(match situation.by_address.as_slice() {
            [only] => Some(only),
            _ => None,
        });
    let subject = local
        .and_then(|local| local.image.address())
        .map_or_else(|| situation.name.clone(), |address| address.to_string());
    Explanation {
        subject,
        state: state(situation),
        rules: rules(policy),
        fields: fields(situation, policy),
        next: next(decision),
        events,
    }
}

fn state(situation: &Situation) -> Vec<String> {
    let mut out = Vec::new();
    let entry = format!("entry {} ({})", situation.name, situation.uuid);
    out.push(match (&situation.link, &situation.local) {
        (Some(_), Some(local)) => format!("{} is linked to the {entry}.", local.id),
        (Some(link), None) => format!("{} was linked to the {entry} and is gone for good.", link.local),
        (None, _) => format!("No object here is linked to the {entry}."),
    });
    if let Some(link) = &situation.link {
        match link.standing {
            Standing::Linked => {}
            Standing::Gone => out.push("The last synchronisation found the entry gone.".into()),
            Standing::OutOfScope => {
                out.push("The last synchronisation found the entry out of scope, or without a host.".into());
            }
            Standing::MovedAway => out.push("The last synchronisation found it at another home.".into()),
            Standing::UnlinkedHeld => out.push("An administrator unlinked the two.".into()),
        }
    }
    out.push(match &situation.remote {
        Remote::Here(_) => "The entry is in the directory, in scope, and of this server.".into(),
        Remote::Elsewhere { host, .. } => format!("The entry's host is {host}, another server."),
        Remote::NoHome => "The entry names no host.".into(),
        Remote::OutOfScope => "The entry exists, but bases and filters do not select it.".into(),
        Remote::Gone => "No entry has this UUID.".into(),
        Remote::Hidden { parent } => format!("No entry can be seen, and neither can {parent} above it."),
        Remote::Broken(reason) => format!("The entry cannot be used: {reason}."),
    });
    if let Some(local) = &situation.local {
        out.push(match &local.state {
            LocalState::Active => "Here it is in use.".into(),
            LocalState::Deleted => "Here it is switched off, and its mail is kept.".into(),
            LocalState::MovedAway { to } => format!("Here it has moved to {to}; its mail is kept."),
            LocalState::AwaitingMail { from } => format!("Here it waits for its mail from {from}."),
        });
    }
    out
}

fn rules(policy: &Policy) -> Vec<String> {
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
        out.push(format!("When {scope} changed on both sides since then, {end}."));
    }
    out
}

fn fields(situation: &Situation, policy: &Policy) -> Vec<FieldView> {
    let none = Image::default();
    let base = situation.link.as_ref().map_or(&none, |link| &link.base);
    let here = situation.local.as_ref().map_or(&none, |local| &local.image);
    let (there, kind) = match &situation.remote {
        Remote::Here(remote) => (&remote.image, Some(remote.kind)),
        _ => (&none, None),
    };
    let kind = kind.or(situation.link.as_ref().map(|link| kind_of(link.local)));
    let Some(kind) = kind else { return Vec::new() };
    let marks = situation.link.as_ref().map(|link| &link.marks);
    let views = fields_of(kind).iter().map(|field| {
        let (base, here, there) = (base.get(*field), here.get(*field), there.get(*field));
        FieldView {
            field: *field,
            base: base.to_string(),
            here: here.to_string(),
            there: there.to_string(),
            verdict: verdict(*field, (base, here, there), marks, policy),
        }
    });
    views
        .filter(|view| {
            [&view.base, &view.here, &view.there]
                .iter()
                .any(|text| *text != "-")
        })
        .collect()
}

fn verdict(
    field: Field,
    (base, here, there): (&Values, &Values, &Values),
    marks: Option<&Marks>,
    policy: &Policy,
) -> &'static str {
    if marks.is_some_and(|marks| marks.refused.contains_key(&field)) {
        return "goes back to the last common value";
    }
    if marks.is_some_and(|marks| marks.apart.contains_key(&field)) {
        return "never was common; kept apart";
    }
    if there.is_empty() && base.is_empty() && policy.direction == Direction::LdapToLocal {
        return "never in the directory, so it is left alone";
    }
    if there.is_empty() && !base.is_empty() && !here.is_empty() && here.equals(base) {
        return "absent in the directory now";
    }
    match compare(base, here, there) {
        Change::None => SAME,
        Change::Local => "changed here",
        Change::Remote => "changed in the directory",
        Change::Both => "changed on both sides",
    }
}

fn next(decision: &Decision) -> Vec<String> {
    let plan = match decision {
        Decision::SetAside(reason) => return vec![format!("It is set aside: {reason}.")],
        Decision::Act(plan) => plan,
    };
    let mut out: Vec<String> = plan.ops.iter().map(|op| format!("here: {op}")).collect();
    out.extend(plan.remote.iter().map(|op| format!("in the directory: {op}")));
    for lost in &plan.discarded {
        let (local, remote) = (&lost.local, &lost.remote);
        out.push(format!(
            "{} is decided by {} (here {local}, in the directory {remote}); what loses is kept in the conflict journal",
            lost.field, lost.rule
        ));
    }
    if plan.password == PasswordMove::TakeRemote {
        out.push("here: ~ password: as in the directory".into());
    }
    out.extend(plan.waits.iter().map(|wait| format!("waits: {wait}")));
    if out.is_empty() {
        out.push("Nothing is to be done.".into());
    }
    out
}

impl Explanation {
    /// For a terminal; `moment` writes milliseconds since 1970 as the surface does.
    #[must_use]
    pub fn render(&self, moment: impl Fn(u64) -> String) -> String {
        let mut out = vec![self.subject.clone()];
        let sentences = self.state.iter().chain(&self.rules);
        out.extend(sentences.map(|line| format!("  {line}")));
        for view in &self.fields {
            let (field, verdict) = (view.field, view.verdict);
            out.push(if verdict == SAME {
                format!("  {field}: {} ({verdict})", view.here)
            } else {
                let (base, here, there) = (&view.base, &view.here, &view.there);
                format!("  {field}: {verdict}: last common {base}; here {here}; in the directory {there}")
            });
        }
        out.push("Next".into());
        out.extend(self.next.iter().map(|line| format!("  {line}")));
        if !self.events.is_empty() {
            out.push("Last events".into());
        }
        let events = self.events.iter();
        out.extend(events.map(|event| format!("  {} {}", moment(event.time), event.text)));
        out.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests;
