//! One round: the stages between a poll and its commit.

use super::named::Named;
use super::newest::{Void, add_void};
use super::status::Counts;
use super::{Checkpoint, Effect, Engine, Newest, Phase};
use crate::plan::{LocalId, Reason};
use directory::feed::Cookie;
use model::{Address, EntryUuid, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How many objects are looked up at once. A look-up is one indexed search, so more gains nothing.
pub(super) const PORTION: usize = 64;

/// A plan that is being carried out.
#[derive(Debug, Clone, Default)]
pub(super) struct Applying {
    /// What the object is called.
    pub(super) name: String,
    /// What it comes to once it is done.
    pub(super) counts: Counts,
    /// Why a person has to look at it all the same.
    pub(super) aside: Option<Reason>,
    /// Whether it is all that follows from the look at the object.
    pub(super) extent: Extent,
}

/// How much of a plan is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Extent {
    /// What the guards let through.
    #[default]
    Part,
    Whole,
}

/// Where a round stands. The order of the stages is the order of the work: accounts, what is due again,
/// removals, objects here that have no entry, groups (whose members are all known by then), second chances, commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Streaming,
    Streamed,
    Judging,
    Due,
    Sampling,
    Absences,
    ListingNewcomers,
    Newcomers,
    Joining,
    FindingGroups,
    Groups,
    SecondChance,
    Committing,
}

/// What a round has gathered.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) stage: Stage,
    /// The directory that answers.
    server: EntryUuid,
    /// Whether it is another directory than before: then no absence counts.
    server_changed: bool,
    /// Whether the feed was read without a cookie.
    pub(super) full: bool,
    /// Whether it is about changes as they happen.
    pub(super) live: bool,
    pub(super) cookie: Option<Cookie>,
    /// What the server says of itself, where that is less than what it shows.
    pub(super) forgetful: Option<BTreeMap<String, String>>,
    /// And how far everything has been seen already, by writing server.
    pub(super) covered: BTreeMap<String, String>,
    /// Everything that was named as being there.
    pub(super) seen: Named,
    pub(super) groups: BTreeSet<EntryUuid>,
    pub(super) absent: BTreeSet<EntryUuid>,
    /// Quarantined objects whose time has come.
    pub(super) due: BTreeSet<EntryUuid>,
    /// Those of them that no message and no journal would name again, should this round fail.
    pub(super) owed: BTreeSet<EntryUuid>,
    /// Everybody who was named or looked up, with the address of now. Groups are compared with this rather
    /// than told of a change, so that a round that is repeated after a crash comes to the same result.
    pub(super) members: BTreeMap<EntryUuid, Option<Address>>,
    /// Objects here without an entry, and those of them that are being looked at.
    pub(super) newcomers: BTreeSet<LocalId>,
    pub(super) pending_newcomers: BTreeSet<LocalId>,
    /// Whether the quarantined ones are among them already.
    pub(super) strangers_taken: bool,
    /// Entries that one of them joins, and who joins which: a row of theirs in quarantine has served when they are linked.
    pub(super) joining: BTreeSet<EntryUuid>,
    pub(super) joined: BTreeMap<EntryUuid, Vec<LocalId>>,
    /// Objects that failed because another one was in the way.
    pub(super) second: BTreeSet<EntryUuid>,
    /// Looked up or being applied, not finished.
    pub(super) pending: HashSet<EntryUuid>,
    /// Those of a portion before whose entries are being written.
    sent: BTreeSet<EntryUuid>,
    /// The names of those that are being applied, for the reason if the store refuses.
    pub(super) applying: HashMap<EntryUuid, Applying>,
    /// Writes that the directory did not answer.
    pub(super) unanswered: u32,
    /// What was seen of a directory that is believed whatever was seen before; kept once the round ended well.
    pub(super) anew: Option<Newest>,
    /// And what it has lost of that.
    pub(super) void: Vec<Void>,
}

impl Round {
    pub(super) fn new(server: EntryUuid, server_changed: bool, full: bool, due: BTreeSet<EntryUuid>) -> Self {
        Self {
            stage: Stage::Streaming,
            server,
            server_changed,
            full,
            live: false,
            cookie: None,
            forgetful: None,
            covered: BTreeMap::new(),
            seen: Named::default(),
            groups: BTreeSet::new(),
            absent: BTreeSet::new(),
            owed: due.clone(),
            due,
            members: BTreeMap::new(),
            newcomers: BTreeSet::new(),
            pending_newcomers: BTreeSet::new(),
            strangers_taken: false,
            joining: BTreeSet::new(),
            joined: BTreeMap::new(),
            second: BTreeSet::new(),
            pending: HashSet::new(),
            sent: BTreeSet::new(),
            applying: HashMap::new(),
            unanswered: 0,
            anew: None,
            void: Vec::new(),
        }
    }

    /// Whether an absence says nothing: in the comparison that spares all of them, and beside it until one that does
    /// not has ended well; and at a server that shows less than what it showed once, if only by a branch that was moved.
    pub(super) const fn spares(&self, spared: bool) -> bool {
        self.server_changed || self.forgetful.is_some() || (spared && !self.full)
    }

    /// Whether a version was seen already, as the kept cookie says, where the server says less of itself.
    fn is_old_news(&self, version: &str) -> bool {
        let covered = || self.covered.get(version.split('#').nth(2)?);
        covered().is_some_and(|covered| version <= covered.as_str())
    }

    /// Whether anything is left to be looked up.
    fn looks(&self) -> bool {
        let none = self.due.is_empty() && self.absent.is_empty() && self.groups.is_empty();
        !none || !self.members.is_empty() || !self.newcomers.is_empty()
    }

    /// The next few objects of the stage; `due` is how many of those that are due.
    fn portion(&mut self, due: usize) -> Vec<EntryUuid> {
        let most = if self.stage == Stage::Due { due } else { PORTION };
        let from = match self.stage {
            Stage::Due => &mut self.due,
            Stage::Absences => &mut self.absent,
            Stage::Joining => &mut self.joining,
            Stage::Groups => &mut self.groups,
            Stage::SecondChance => &mut self.second,
            _ => return Vec::new(),
        };
        let portion: Vec<EntryUuid> = from.iter().take(most).copied().collect();
        for uuid in &portion {
            from.remove(uuid);
        }
        self.pending.extend(&portion);
        portion
    }
}

impl Engine {
    /// Whether an entry of this version that nobody here is linked to is no newcomer: the server says less of itself than
    /// what was seen, so it may show what is gone elsewhere.
    pub(crate) fn is_old_news(&self, version: Option<&str>) -> bool {
        let Phase::InRound(round) = &self.phase else {
            return false;
        };
        round.forgetful.is_some() && version.is_none_or(|version| round.is_old_news(version))
    }

    /// One object is finished; when it was the last of its portion, the work goes on.
    pub(super) fn finished(&mut self, uuid: EntryUuid, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        let was_pending = round.pending.remove(&uuid) | round.sent.remove(&uuid);
        // While some are being written, the next portion of the stage is asked for already, and the stage goes on.
        let over = round.pending.is_empty() && round.sent.is_empty();
        if was_pending && over && round.stage > Stage::Streamed {
            self.next_portion(now)
        } else {
            Vec::new()
        }
    }

    /// Whether the next portion may be looked at while one is written: of what was changed here, there may be thousands.
    pub(crate) fn writes_ahead(&self) -> bool {
        matches!(&self.phase, Phase::InRound(round) if round.stage == Stage::Due)
    }

    /// These are being written. The stage is not over before they are.
    pub(super) fn sent(&mut self, uuids: &[EntryUuid]) -> Vec<Effect> {
        if !self.writes_ahead() {
            return Vec::new();
        }
        let together = self.settings.together;
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        for uuid in uuids {
            if round.pending.remove(uuid) {
                round.sent.insert(*uuid);
            }
        }
        if !round.pending.is_empty() || round.due.is_empty() {
            return Vec::new();
        }
        vec![Effect::LookUp(round.portion(together))]
    }

    fn next_portion(&mut self, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        let portion = round.portion(self.settings.together);
        if portion.is_empty() {
            self.next_stage(now)
        } else {
            vec![Effect::LookUp(portion)]
        }
    }

    /// Goes to the next stage that has work.
    pub(super) fn next_stage(&mut self, now: Timestamp) -> Vec<Effect> {
        let Phase::InRound(round) = &mut self.phase else {
            return Vec::new();
        };
        round.stage = match round.stage {
            Stage::Streaming => return Vec::new(),
            Stage::Streamed => Stage::Judging,
            Stage::Judging => Stage::Due,
            Stage::Due => Stage::Sampling,
            Stage::Sampling => Stage::Absences,
            Stage::Absences => Stage::ListingNewcomers,
            Stage::ListingNewcomers => Stage::Newcomers,
            Stage::Newcomers => Stage::Joining,
            Stage::Joining => Stage::FindingGroups,
            Stage::FindingGroups => Stage::Groups,
            Stage::Groups => Stage::SecondChance,
            // What was noticed since its stage was over: an entry that is to be made again, a name to be looked at. No
            // message tells of it once more.
            Stage::SecondChance if !round.due.is_empty() => Stage::Due,
            Stage::SecondChance if !round.newcomers.is_empty() => Stage::Newcomers,
            Stage::SecondChance | Stage::Committing => Stage::Committing,
        };
        match round.stage {
            Stage::Judging if round.live && round.looks() => vec![Effect::AskServer],
            Stage::Sampling => {
                if round.server_changed {
                    // Another directory: that it lacks the UUIDs of the former one says nothing.
                    round.absent.clear();
                }
                #[cfg(test)]
                if !round.full && crate::broken::is(crate::broken::Broken::DeletionsForgotten) {
                    round.absent.clear();
                }
                if round.absent.is_empty() {
                    return self.next_stage(now);
                }
                vec![Effect::Sample(round.absent.iter().copied().collect())]
            }
            Stage::ListingNewcomers => self.list_newcomers(now),
            Stage::Newcomers => self.next_newcomers(now),
            Stage::FindingGroups => {
                let members = std::mem::take(&mut round.members);
                if members.is_empty() {
                    return self.next_stage(now);
                }
                vec![Effect::FindGroups(members)]
            }
            Stage::Committing => {
                match round.cookie.take() {
                    // What is known stays known, whatever the server says of itself.
                    Some(cookie) if round.forgetful.is_some() || self.forgetful.is_some() => {
                        let known = self.checkpoint.cookie.take();
                        self.checkpoint.cookie = known.map(|known| known.merged(&cookie)).or(Some(cookie));
                    }
                    Some(cookie) => self.checkpoint.cookie = Some(cookie),
                    // An old one would not fit to what was compared now.
                    None if round.full && round.forgetful.is_none() => self.checkpoint.cookie = None,
                    None => {}
                }
                let known = self.checkpoint.server.replace(round.server).is_some();
                let compared = round.full && round.forgetful.is_none();
                if compared {
                    // Before the first comparison nobody was known who could be missed.
                    self.checkpoint.spared = round.server_changed && known;
                }
                add_void(&mut self.checkpoint.void, std::mem::take(&mut round.void));
                self.checkpoint.guard = self.guard.counted();
                self.checkpoint.guard_remote = self.guard_remote.counted();
                let full = compared.then_some(now);
                let joined = std::mem::take(&mut round.joined);
                let mut effects: Vec<Effect> = joined
                    .into_iter()
                    .flat_map(|(uuid, locals)| self.was_looked_at(uuid, locals, now))
                    .collect();
                effects.push(Effect::Commit(Checkpoint {
                    last_success: Some(now),
                    last_full: full.or(self.checkpoint.last_full),
                    ..self.checkpoint.clone()
                }));
                effects
            }
            _ => self.next_portion(now),
        }
    }
}
