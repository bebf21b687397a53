//! The plan as a document: what a full comparison would do, without doing it.

use super::journal::{is_written, newcomer};
use super::push::is_newcomer;
use super::rivals;
use super::{SyncEngine, SyncError, gone};
use crate::engine::short_hex;
use crate::mapping::Members;
use crate::merge::Side;
use crate::plan::{
    Birth, Decision, Hazard, LocalId, Op, PasswordMove, Plan, Remote, RemoteOp, plan, plan_newcomer,
};
use directory::EntryKind;
use directory::feed::{Change, ChangeSource, ChangedEntry, Coverage, FeedError, Presence, Step};
use model::{Address, EntryUuid};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use store::StoreError;
use tokio::sync::mpsc;

/// Objects that are listed; all are counted and hashed.
const LISTED: usize = 10_000;
/// UUIDs looked up at once.
const PORTION: usize = 64;
/// Objects with destructive changes that one approval covers; the guard holds the rest.
const APPROVED: usize = 10_000;
/// Accounts and groups that are read at once.
const PAGE: usize = 256;

/// What synchronisation would do.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlanReport {
    /// The connector.
    pub connector: String,
    /// Over the settings and everything below; the same inputs give the same hash, in whatever order they come.
    pub hash: String,
    /// Objects that would change; at most 10,000 are listed.
    pub objects: Vec<PlannedObject>,
    /// How many would change.
    pub changes: u64,
    /// Objects here that would get an entry; at most 10,000 are listed. They are counted in `changes`.
    pub entries: Vec<PlannedEntry>,
    /// How many of the operations here are destructive, by kind.
    pub hazards: BTreeMap<Hazard, u64>,
    /// How many of the operations in the directory are.
    pub hazards_there: BTreeMap<Hazard, u64>,
    /// Objects that need nothing.
    pub unchanged: u64,
    /// Objects that would be set aside; at most 10,000 are listed.
    pub set_aside: Vec<SetAsideObject>,
    /// Local accounts that no entry is linked to and none would be: they are never touched. At most 10,000 are listed.
    pub unlinked: Vec<String>,
    /// The destructive lines of each object, which the hash stands for.
    #[serde(skip)]
    pub(crate) approvals: BTreeMap<EntryUuid, Vec<String>>,
}

/// One object of a plan.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlannedObject {
    /// The entry.
    pub uuid: EntryUuid,
    /// The object's address.
    pub subject: String,
    /// The operations as diff lines.
    pub lines: Vec<String>,
    /// The operations here.
    pub ops: Vec<Op>,
    /// The operations in the directory.
    pub remote: Vec<RemoteOp>,
}

/// An object here that would get an entry.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlannedEntry {
    /// The object.
    pub object: LocalId,
    /// Its address.
    pub subject: String,
    /// The diff line.
    pub line: String,
}

/// A part of a plan that is told as it is made.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PlanItem {
    /// An object that would change on either side.
    Object(PlannedObject),
    /// An object that would get an entry.
    Entry(PlannedEntry),
    /// An object that would be set aside.
    SetAside(SetAsideObject),
    /// An account that nothing ever touches.
    Unlinked {
        /// Its address.
        address: String,
    },
}

/// An object that would be set aside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SetAsideObject {
    /// The entry.
    pub uuid: EntryUuid,
    /// Why.
    pub reason: String,
    /// The object here, where there is no entry; the UUID is zero then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<LocalId>,
}

impl PlanReport {
    /// The diff, a line for each operation.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let objects = self.objects.iter().flat_map(|object| &object.lines);
        let entries = self.entries.iter().map(|entry| &entry.line);
        objects.chain(entries).map(String::as_str)
    }
}

struct Making<'a> {
    parts: &'a SyncEngine,
    to: Option<&'a mpsc::Sender<PlanItem>>,
    report: PlanReport,
    /// The sum of the hashes of all lines: the order in which a server tells them does not matter.
    sum: [u64; 4],
    joined: HashSet<LocalId>,
}

/// Makes the whole plan; `to` hears of each object in place of the report's lists.
pub(super) async fn make(
    parts: &SyncEngine,
    to: Option<&mpsc::Sender<PlanItem>>,
) -> Result<PlanReport, SyncError> {
    let report = PlanReport {
        connector: parts.config.name.clone(),
        hash: String::new(),
        objects: Vec::new(),
        changes: 0,
        entries: Vec::new(),
        hazards: BTreeMap::new(),
        hazards_there: BTreeMap::new(),
        unchanged: 0,
        set_aside: Vec::new(),
        unlinked: Vec::new(),
        approvals: BTreeMap::new(),
    };
    let mut making = Making {
        parts,
        to,
        report,
        sum: [0; 4],
        joined: HashSet::new(),
    };
    making.line("settings", &format!("{} {:?}", parts.fingerprint, parts.policy));
    let mut source = (parts.remotes.source)();
    let (groups, seen) = making.stream(&mut *source).await?;
    let mut rest: Vec<EntryUuid> = groups.into_iter().collect();
    let mut missing = Vec::new();
    parts
        .local
        .associations(|found| {
            if !seen.contains(&found.remote) {
                missing.push(found.remote);
            }
        })
        .map_err(store_error)?;
    if seen.is_empty() && !missing.is_empty() {
        let message = format!(
            "it answered without a single entry while {} objects are linked",
            missing.len()
        );
        return Err(SyncError::Directory(message));
    }
    rest.extend(missing);
    for portion in rest.chunks(PORTION) {
        making.look_up(&mut *source, portion).await?;
    }
    making.accounts_here().await?;
    making.groups_here().await?;
    let mut hash = blake3::Hasher::new();
    for lane in making.sum {
        hash.update(&lane.to_be_bytes());
    }
    making.report.hash = short_hex(&hash.finalize());
    Ok(making.report)
}

impl Making<'_> {
    async fn stream(
        &mut self,
        source: &mut dyn ChangeSource,
    ) -> Result<(BTreeSet<EntryUuid>, HashSet<EntryUuid>), SyncError> {
        let (mut groups, mut seen) = (BTreeSet::new(), HashSet::new());
        let mut changes = source.poll(None).await.map_err(feed_error)?;
        while let Some(step) = changes.next().await {
            match step.map_err(feed_error)? {
                Step::Changes(list) => {
                    for change in list {
                        let Change::Entry(entry) = change else { continue };
                        match entry.kind {
                            Some(EntryKind::Account) => {
                                seen.insert(entry.uuid);
                                self.entry(&entry, Members::default()).await?;
                            }
                            Some(EntryKind::Group) => {
                                seen.insert(entry.uuid);
                                groups.insert(entry.uuid);
                            }
                            None => {}
                        }
                    }
                }
                Step::Done(end) if end.coverage == Coverage::Everything => return Ok((groups, seen)),
                Step::Done(_) => break,
            }
        }
        Err(SyncError::Directory(
            "the feed did not name everything".to_owned(),
        ))
    }

    async fn look_up(&mut self, source: &mut dyn ChangeSource, uuids: &[EntryUuid]) -> Result<(), SyncError> {
        let answers = source.verify(uuids).await.map_err(feed_error)?;
        let mut parents = gone::Parents::default();
        for (uuid, presence) in uuids.iter().zip(answers) {
            match presence {
                Presence::Gone => {
                    let remote = parents
                        .judge(self.parts, source, *uuid)
                        .await
                        .map_err(|trouble| SyncError::Directory(trouble.to_string()))?;
                    self.object(*uuid, "", remote).await?;
                }
                Presence::OutOfScope(entry) => self.object(*uuid, &entry.dn, Remote::OutOfScope).await?,
                Presence::InScope(entry) => {
                    let members = match &entry.account {
                        Ok(group) => self.parts.resolve(&group.members).await,
                        Err(_) => Ok(Members::default()),
                    };
                    let members = members.map_err(|why| feed_error(FeedError::Unavailable(why)))?;
                    self.entry(&entry, members).await?;
                }
            }
        }
        Ok(())
    }

    async fn entry(&mut self, entry: &ChangedEntry, members: Members) -> Result<(), SyncError> {
        let parts = self.parts;
        let remote = parts.remote(entry, members);
        self.object(entry.uuid, &entry.entry.dn, remote).await
    }

    async fn object(&mut self, uuid: EntryUuid, dn: &str, remote: Remote) -> Result<(), SyncError> {
        let origin = (dn.to_owned(), None);
        let read = self.parts.local.situation(uuid, remote, origin);
        let (mut situation, _) = read.map_err(store_error)?;
        if self.parts.remotes.outlet.is_some() {
            let found = rivals::find(self.parts, &mut situation).await;
            found.map_err(|trouble| SyncError::Directory(trouble.to_string()))?;
        }
        match plan(&situation, &self.parts.policy) {
            Decision::SetAside(reason) => {
                let reason = reason.about(&situation.name);
                let object = SetAsideObject {
                    uuid,
                    reason,
                    object: None,
                };
                self.set_aside(object).await;
            }
            Decision::Act(plan) => {
                let aside = plan.aside.as_ref().map(|reason| reason.about(&situation.name));
                match (plan.is_quiet(), &aside) {
                    (true, None) => self.report.unchanged += 1,
                    (true, Some(_)) => {}
                    (false, _) => self.planned(plan).await,
                }
                if let Some(reason) = aside {
                    let object = None;
                    self.set_aside(SetAsideObject { uuid, reason, object }).await;
                }
            }
        }
        Ok(())
    }

    async fn planned(&mut self, plan: Plan) {
        self.report.changes += 1;
        for hazard in plan.hazards() {
            *self.report.hazards.entry(hazard).or_default() += 1;
        }
        for hazard in plan.remote.iter().filter_map(RemoteOp::hazard) {
            *self.report.hazards_there.entry(hazard).or_default() += 1;
        }
        let dangerous = plan.dangerous_lines(&[Side::Local, Side::Remote]);
        if !dangerous.is_empty() && self.report.approvals.len() < APPROVED {
            self.report.approvals.insert(plan.uuid, dangerous);
        }
        let mut lines = plan.lines();
        // A value that is discarded without anything being written is news all the same.
        if lines.is_empty() {
            lines.extend(plan.discarded.iter().map(|lost| {
                format!(
                    "{} {}: {} is discarded by {}",
                    plan.subject, lost.field, lost.local, lost.rule
                )
            }));
        }
        if plan.password == PasswordMove::TakeRemote {
            lines.push(format!("{} ~ password: as in the directory", plan.subject));
        }
        for line in &lines {
            self.line(&plan.uuid.to_string(), line);
        }
        for op in &plan.ops {
            if let Op::Link { local } = op {
                self.joined.insert(*local);
            }
        }
        let object = PlannedObject {
            uuid: plan.uuid,
            subject: plan.subject,
            lines,
            ops: plan.ops,
            remote: plan.remote,
        };
        match self.to {
            Some(to) => tell(to, PlanItem::Object(object)).await,
            None if self.report.objects.len() < LISTED => self.report.objects.push(object),
            None => {}
        }
    }

    async fn set_aside(&mut self, object: SetAsideObject) {
        let named = object
            .object
            .map_or_else(|| object.uuid.to_string(), |local| local.to_string());
        self.line(&named, &object.reason);
        match self.to {
            Some(to) => tell(to, PlanItem::SetAside(object)).await,
            None if self.report.set_aside.len() < LISTED => self.report.set_aside.push(object),
            None => {}
        }
    }

    fn line(&mut self, object: &str, line: &str) {
        let mut hash = blake3::Hasher::new();
        for part in [object, line] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize();
        for (lane, bytes) in self.sum.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let number = bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
            *lane = lane.wrapping_add(number);
        }
    }

    async fn accounts_here(&mut self) -> Result<(), SyncError> {
        let mut after = None;
        loop {
            let page = self.parts.local.store.list_accounts(after, PAGE);
            let page = page.map_err(store_error)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for account in &page {
                self.stranger(LocalId::Account(account.id), &account.address)
                    .await?;
            }
        }
    }

    async fn groups_here(&mut self) -> Result<(), SyncError> {
        let mut after = None;
        loop {
            let page = self.parts.local.store.list_groups(after, PAGE);
            let page = page.map_err(store_error)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for group in &page {
                self.stranger(LocalId::Group(group.id), &group.address).await?;
            }
        }
    }

    /// An object that no entry is linked to and none would be by what the directory told.
    async fn stranger(&mut self, local: LocalId, address: &Address) -> Result<(), SyncError> {
        let parts = self.parts;
        let new = is_newcomer(&parts.local, local).map_err(store_error)?;
        if !new || self.joined.contains(&local) {
            return Ok(());
        }
        // Another connector's, or nobody's.
        if !is_written(parts, address) {
            return Ok(());
        }
        let pushes = parts.remotes.outlet.is_some();
        let found = match pushes {
            true => newcomer(parts, local)
                .await
                .map_err(|trouble| SyncError::Directory(trouble.to_string()))?,
            false => None,
        };
        if found.as_ref().is_some_and(|found| found.standing.is_some()) {
            // Another connector of this directory has an entry of it.
            return Ok(());
        }
        match found.map(|found| plan_newcomer(&found, &parts.policy)) {
            Some(Birth::Create(creation)) => {
                let line = creation.line();
                self.line(&local.to_string(), &line);
                self.report.changes += 1;
                let entry = PlannedEntry {
                    object: local,
                    subject: creation.subject,
                    line,
                };
                match self.to {
                    Some(to) => tell(to, PlanItem::Entry(entry)).await,
                    None if self.report.entries.len() < LISTED => self.report.entries.push(entry),
                    None => {}
                }
            }
            Some(Birth::SetAside(reason)) => {
                let object = SetAsideObject {
                    uuid: EntryUuid::from_bytes([0; 16]),
                    reason: reason.to_string(),
                    object: Some(local),
                };
                self.set_aside(object).await;
            }
            Some(Birth::Join(_)) => {}
            Some(Birth::Leave) | None => {
                if let LocalId::Account(_) = local {
                    self.unlinked(address).await;
                }
            }
        }
        Ok(())
    }

    async fn unlinked(&mut self, address: &Address) {
        let address = address.to_string();
        match self.to {
            Some(to) => tell(to, PlanItem::Unlinked { address }).await,
            None if self.report.unlinked.len() < LISTED => self.report.unlinked.push(address),
            None => {}
        }
    }
}

/// Whoever listened may have gone; the plan is then made for its hash alone.
async fn tell(to: &mpsc::Sender<PlanItem>, item: PlanItem) {
    let _ = to.send(item).await;
}

pub(super) fn feed_error(error: FeedError) -> SyncError {
    SyncError::Directory(error.to_string())
}

pub(super) fn store_error(error: StoreError) -> SyncError {
    SyncError::Store(error.to_string())
}
