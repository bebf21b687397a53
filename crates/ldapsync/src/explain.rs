//! Why an object is as it is, in plain words: both sides, what they had in common, the rule, the last events.
//!
//! Pure: made from the same situation and decision that the engine acts on, so that it cannot tell another story.
//! Shows no password, only whether the sides differ.

mod words;

use crate::field::{Field, Image, Values};
use crate::merge::{Change, Marks, compare, said};
use crate::plan::{
    Birth, Decision, LocalState, Newcomer, PasswordMove, Policy, Remote, Situation, Standing, fields_of,
    kind_of,
};
use directory::config::{Absent, Direction};
use model::Timestamp;

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
    pub verdict: Verdict,
}

/// How the two sides of one field stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both sides have the same value.
    Same,
    /// The entry says nothing, and that means the value here.
    SameUnsaid,
    /// There is no entry to compare with.
    OnlyHere,
    /// There is no object here to compare with.
    OnlyThere,
    /// The directory cannot be read, and the value here is the last common one.
    AsCommon,
    /// Only the value here is another one since the last common state.
    ChangedHere,
    /// Only the directory's value is.
    ChangedThere,
    /// Both are.
    ChangedOnBoth,
    /// `no-change` has refused the directory's value.
    GoesBack,
    /// The two never were the same, and stay apart under `no-change`.
    Apart,
    /// The directory has never had a value, so the one here is nobody's business.
    NeverThere,
    /// The directory had a value and has none now, and `absent` is `keep`.
    Kept,
}

impl Verdict {
    /// In words.
    const fn text(self) -> &'static str {
        match self {
            Self::Same => "the same",
            Self::SameUnsaid => "the same, for the entry says nothing",
            Self::OnlyHere => "only here",
            Self::OnlyThere => "only in the directory",
            Self::AsCommon => "as it last was common",
            Self::ChangedHere => "changed here",
            Self::ChangedThere => "changed in the directory",
            Self::ChangedOnBoth => "changed on both sides",
            Self::GoesBack => "goes back to the last common value",
            Self::Apart => "never was common; kept apart",
            Self::NeverThere => "never in the directory, so it is left alone",
            Self::Kept => "gone from the entry, and kept here (absent = keep)",
        }
    }
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

/// What is known of an object beside its situation.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What the directory holds, where the situation leaves it out because the two were unlinked.
    pub(crate) entry: Option<Remote>,
    /// Why it is in quarantine.
    pub(crate) aside: Option<String>,
    /// What an approval of what the guard holds takes; none when this object is not held.
    pub(crate) held: Option<String>,
    /// Why the connector does nothing now.
    pub(crate) rests: Option<String>,
    /// The newest first.
    pub(crate) events: Vec<Event>,
}

/// Explains one entry and what belongs to it here.
#[must_use]
pub(crate) fn explain(
    situation: &Situation,
    policy: &Policy,
    decision: &Decision,
    told: Told,
) -> Explanation {
    let address = situation.local.as_ref().and_then(|local| local.image.address());
    let subject = match (address, situation.name.as_str()) {
        (Some(address), _) => address.to_string(),
        (None, "") => situation.uuid.to_string(),
        (None, name) => name.to_owned(),
    };
    Explanation {
        subject,
        state: words::state(situation, &told),
        rules: words::rules(policy),
        fields: fields(situation, policy, &told),
        next: next(situation, decision, &told),
        events: told.events,
    }
}

/// Explains an entry and what belongs to it here while the directory cannot be read; what the situation says of the
/// entry's side means nothing.
#[must_use]
pub(crate) fn explain_unread(situation: &Situation, policy: &Policy, told: Told, why: &str) -> Explanation {
    let local = situation.local.as_ref();
    let none = Image::default();
    let base = situation.link.as_ref().map_or(&none, |link| &link.base);
    let here = local.map_or(&none, |local| &local.image);
    let kind = situation.link.as_ref().map(|link| kind_of(link.local));
    let view = |field: &Field| FieldView {
        field: *field,
        base: base.get(*field).to_string(),
        here: here.get(*field).to_string(),
        there: "?".to_owned(),
        verdict: match said(*field, here.get(*field)).equals(&said(*field, base.get(*field))) {
            true => Verdict::AsCommon,
            false => Verdict::ChangedHere,
        },
    };
    let fields = kind.map_or(&[][..], fields_of).iter();
    let fields = fields.filter(|field| !here.get(**field).is_empty() || !base.get(**field).is_empty());
    let address = local.and_then(|local| local.image.address());
    Explanation {
        subject: address.map_or_else(|| situation.name.clone(), |address| address.to_string()),
        state: words::unread(situation, why),
        rules: words::rules(policy),
        fields: fields.map(view).collect(),
        next: vec!["That is known once the directory answers; it is asked again by itself.".to_owned()],
        events: told.events,
    }
}

/// Explains an object here that is linked to no entry.
#[must_use]
pub(crate) fn explain_newcomer(
    newcomer: &Newcomer,
    policy: &Policy,
    birth: &Birth,
    told: Told,
) -> Explanation {
    let local = &newcomer.local;
    let image = &local.image;
    let view = |field: &Field| FieldView {
        field: *field,
        base: Values::NONE.to_string(),
        here: image.get(*field).to_string(),
        there: Values::NONE.to_string(),
        verdict: Verdict::OnlyHere,
    };
    let fields = fields_of(kind_of(local.id)).iter();
    let fields = fields.filter(|field| !image.get(**field).is_empty());
    let what = match birth {
        Birth::Create(creation) => creation.line(),
        Birth::Join(uuid) => format!("It joins the entry {uuid}."),
        Birth::SetAside(reason) => format!("It is set aside: {reason}."),
        Birth::Leave if policy.direction == Direction::LdapToLocal => {
            "It is left alone: the direction makes no entries, and what was never linked is never touched."
                .into()
        }
        Birth::Leave if newcomer.standing.is_some() => {
            "It is left alone: another connector of this directory has an entry of it.".into()
        }
        Birth::Leave => "It is left alone: it is not in use, or of no domain of this connector.".into(),
    };
    let mut next: Vec<String> = told.rests.iter().cloned().collect();
    next.push(what);
    Explanation {
        subject: image
            .address()
            .map_or_else(|| local.id.to_string(), |address| address.to_string()),
        state: vec![
            format!("{} is linked to no entry.", local.id),
            match newcomer.found.as_slice() {
                [] => "No entry has its address.".into(),
                found => {
                    let dns: Vec<&str> = found.iter().map(|found| found.dn.as_str()).collect();
                    format!("An address of it is in the directory: {}.", dns.join(" | "))
                }
            },
            words::here(local),
        ],
        rules: words::rules(policy),
        fields: fields.map(view).collect(),
        next,
        events: told.events,
    }
}

fn fields(situation: &Situation, policy: &Policy, told: &Told) -> Vec<FieldView> {
    let none = Image::default();
    let base = situation.link.as_ref().map_or(&none, |link| &link.base);
    let local = situation.local.as_ref().map(|local| &local.image);
    let entry = match told.entry.as_ref().unwrap_or(&situation.remote) {
        Remote::Here(remote) => Some((&remote.image, remote.kind)),
        _ => None,
    };
    let kind = entry.map(|(_, kind)| kind);
    let kind = kind.or(situation.link.as_ref().map(|link| kind_of(link.local)));
    let Some(kind) = kind else { return Vec::new() };
    let marks = situation.link.as_ref().map(|link| &link.marks);
    let views = fields_of(kind).iter().map(|field| {
        let get = |image: Option<&Image>| image.unwrap_or(&none).get(*field).clone();
        let (base, here, there) = (base.get(*field), get(local), get(entry.map(|(image, _)| image)));
        FieldView {
            field: *field,
            base: base.to_string(),
            here: here.to_string(),
            there: there.to_string(),
            verdict: match (local, entry) {
                (_, None) => Verdict::OnlyHere,
                (None, _) => Verdict::OnlyThere,
                _ => verdict(*field, (base, &here, &there), marks, policy),
            },
        }
    });
    let none = Values::NONE.to_string();
    views
        .filter(|view| {
            [&view.base, &view.here, &view.there]
                .iter()
                .any(|text| **text != none)
        })
        .collect()
}

fn verdict(
    field: Field,
    (base, here, there): (&Values, &Values, &Values),
    marks: Option<&Marks>,
    policy: &Policy,
) -> Verdict {
    if marks.is_some_and(|marks| marks.refused.contains_key(&field)) {
        return Verdict::GoesBack;
    }
    if marks.is_some_and(|marks| marks.apart.contains_key(&field)) {
        return Verdict::Apart;
    }
    if there.is_empty()
        && said(field, here).equals(&field.unsaid())
        && said(field, base).equals(&field.unsaid())
    {
        return Verdict::SameUnsaid;
    }
    if there.is_empty() && base.is_empty() && policy.direction == Direction::LdapToLocal {
        return Verdict::NeverThere;
    }
    if there.is_empty() && here.equals(base) && policy.absent == Absent::Keep && field != Field::Enabled {
        return Verdict::Kept;
    }
    let [base, here, there] = [base, here, there].map(|values| said(field, values));
    match compare(&base, &here, &there) {
        Change::None => Verdict::Same,
        Change::Local => Verdict::ChangedHere,
        Change::Remote => Verdict::ChangedThere,
        Change::Both => Verdict::ChangedOnBoth,
    }
}

fn next(situation: &Situation, decision: &Decision, told: &Told) -> Vec<String> {
    let mut out: Vec<String> = told.rests.iter().cloned().collect();
    match (&told.held, &told.aside) {
        (Some(hash), _) => out.push(format!(
            "The guard holds the destructive part of this until somebody types: homing sync approve {hash}"
        )),
        (None, Some(reason)) => out.push(format!(
            "It is in quarantine: {reason}. It is tried again by itself, and at once with: homing sync quarantine retry {}",
            situation.uuid
        )),
        (None, None) => {}
    }
    let plan = match decision {
        Decision::SetAside(reason) if told.aside.is_none() => {
            out.push(format!("It will be set aside: {reason}."));
            return out;
        }
        Decision::SetAside(_) => return out,
        Decision::Act(plan) => plan,
    };
    let before = out.len();
    out.extend(plan.ops.iter().map(|op| format!("here: {op}")));
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
    if let (Some(reason), None) = (&plan.aside, &told.aside) {
        out.push(format!("The rest of it will be set aside: {reason}."));
    }
    if out.len() == before && told.aside.is_none() {
        out.push("Nothing is to be done.".into());
    }
    out.extend(by_hand(situation));
    out
}

/// What a person may want to do about an object that is not in use.
fn by_hand(situation: &Situation) -> Option<String> {
    let local = situation.local.as_ref()?;
    let crate::plan::LocalId::Account(id) = local.id else {
        return None;
    };
    let held = situation
        .link
        .as_ref()
        .is_some_and(|link| link.standing == Standing::UnlinkedHeld);
    match &local.state {
        LocalState::Deleted if held => None,
        LocalState::Deleted => Some(format!(
            "It comes back with its mail when the entry does. By hand: homing account undelete {id}"
        )),
        LocalState::MovedAway { .. } => Some(format!(
            "When its new home has the mail, or nobody needs it: homing account release {id}"
        )),
        LocalState::AwaitingMail { from } => Some(format!(
            "When no mail of it will come from {from}: homing account open {id}"
        )),
        LocalState::Active => None,
    }
}

impl Explanation {
    /// For a terminal; `moment` writes milliseconds since 1970 as the surface does.
    #[must_use]
    pub fn render(&self, moment: impl Fn(u64) -> String) -> String {
        let mut out = vec![self.subject.clone()];
        let sentences = self.state.iter().chain(&self.rules);
        out.extend(sentences.map(|line| format!("  {line}")));
        out.extend(self.fields.iter().map(|view| format!("  {}", view.line())));
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

impl FieldView {
    fn line(&self) -> String {
        let (field, verdict) = (self.field, self.verdict.text());
        let (base, here, there) = (&self.base, &self.here, &self.there);
        match self.verdict {
            Verdict::Same | Verdict::SameUnsaid | Verdict::AsCommon | Verdict::OnlyHere => {
                format!("{field}: {here} ({verdict})")
            }
            Verdict::OnlyThere => format!("{field}: {there} ({verdict})"),
            _ => format!("{field}: {verdict}: last common {base}; here {here}; in the directory {there}"),
        }
    }
}

#[cfg(test)]
mod tests;
