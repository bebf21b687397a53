//! The plan as a document: what a full comparison would do, without doing it.

use super::{SyncEngine, SyncError, gone};
use crate::engine::short_hex;
use crate::mapping::Members;
use crate::plan::{Decision, Hazard, Op, Remote, plan};
use directory::EntryKind;
use directory::feed::{Change, ChangeSource, ChangedEntry, Coverage, FeedError, Presence, Step};
use model::EntryUuid;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use store::StoreError;

/// Objects that are listed; all are counted and hashed.
const LISTED: usize = 10_000;
/// UUIDs looked up at once.
const PORTION: usize = 64;

/// What synchronisation would do.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlanReport {
    /// The connector.
    pub connector: String,
    /// Over everything below; the same inputs give the same hash.
    pub hash: String,
    /// Objects that would change; at most 10,000 are listed.
    pub objects: Vec<PlannedObject>,
    /// How many would change.
    pub changes: u64,
    /// How many of the operations are destructive, by kind.
    pub hazards: BTreeMap<Hazard, u64>,
    /// Objects that need nothing.
    pub unchanged: u64,
    /// Objects that would be set aside; at most 10,000 are listed.
    pub set_aside: Vec<SetAsideObject>,
    /// Local accounts that no entry is linked to and none would be: they are never touched.
    pub unlinked: Vec<String>,
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
    /// The operations.
    pub ops: Vec<Op>,
}

/// An object that would be set aside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SetAsideObject {
    /// The entry.
    pub uuid: EntryUuid,
    /// Why.
    pub reason: String,
}

impl PlanReport {
    /// The diff, a line for each operation.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.objects
            .iter()
            .flat_map(|object| &object.lines)
            .map(String::as_str)
    }
}

struct Making<'a> {
    parts: &'a SyncEngine,
    report: PlanReport,
    hash: blake3::Hasher,
    joined: HashSet<String>,
}

pub(super) async fn make(parts: &SyncEngine) -> Result<PlanReport, SyncError> {
    let report = PlanReport {
        connector: parts.config.name.clone(),
        hash: String::new(),
        objects: Vec::new(),
        changes: 0,
        hazards: BTreeMap::new(),
        unchanged: 0,
        set_aside: Vec::new(),
        unlinked: Vec::new(),
    };
    let mut making = Making {
        parts,
        report,
        hash: blake3::Hasher::new(),
        joined: HashSet::new(),
    };
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
    making.finish()
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
                                self.entry(&entry, Vec::new())?;
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
                    self.object(*uuid, "", remote)?;
                }
                Presence::OutOfScope(entry) => self.object(*uuid, &entry.dn, Remote::OutOfScope)?,
                Presence::InScope(entry) => {
                    let members = match &entry.account {
                        Ok(group) => self.parts.resolve(&group.members).await,
                        Err(_) => Ok(Vec::new()),
                    };
                    let members = members.map_err(|why| feed_error(FeedError::Unavailable(why)))?;
                    self.entry(&entry, members)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &ChangedEntry, members: Members) -> Result<(), SyncError> {
        let parts = self.parts;
        let remote = parts
            .scope
            .remote(entry, members, &|domain| parts.is_local(domain));
        self.object(entry.uuid, &entry.entry.dn, remote)
    }

    fn object(&mut self, uuid: EntryUuid, dn: &str, remote: Remote) -> Result<(), SyncError> {
        let origin = (dn.to_owned(), None);
        let (situation, _) = self
            .parts
            .local
            .situation(uuid, remote, origin)
            .map_err(store_error)?;
        match plan(&situation, &self.parts.policy) {
            Decision::SetAside(reason) => {
                let reason = reason.about(&situation.name);
                self.line(uuid, &reason);
                if self.report.set_aside.len() < LISTED {
                    self.report.set_aside.push(SetAsideObject { uuid, reason });
                }
            }
            Decision::Act(plan) if plan.ops.is_empty() => self.report.unchanged += 1,
            Decision::Act(plan) => {
                self.report.changes += 1;
                for hazard in plan.hazards() {
                    *self.report.hazards.entry(hazard).or_default() += 1;
                }
                let lines = plan.lines();
                for line in &lines {
                    self.line(uuid, line);
                }
                for op in &plan.ops {
                    if let Op::Link { local } = op {
                        self.joined.insert(local.to_string());
                    }
                }
                if self.report.objects.len() < LISTED {
                    self.report.objects.push(PlannedObject {
                        uuid,
                        subject: plan.subject,
                        lines,
                        ops: plan.ops,
                    });
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, uuid: EntryUuid, line: &str) {
        self.hash.update(uuid.as_bytes());
        self.hash.update(&(line.len() as u64).to_be_bytes());
        self.hash.update(line.as_bytes());
    }

    fn finish(mut self) -> Result<PlanReport, SyncError> {
        let local = &self.parts.local;
        let mut after = None;
        loop {
            let page = local.store.list_accounts(after, 256).map_err(store_error)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for account in &page {
                let id = store::LocalId::Account(account.id);
                let joined = self.joined.contains(&format!("account {}", account.id));
                let linked = joined
                    || local
                        .store
                        .association(&local.connector, id)
                        .map_err(store_error)?
                        .is_some();
                if !linked && self.report.unlinked.len() < LISTED {
                    self.report.unlinked.push(account.address.to_string());
                }
            }
        }
        self.report.hash = short_hex(&self.hash.finalize());
        Ok(self.report)
    }
}

fn feed_error(error: FeedError) -> SyncError {
    SyncError::Directory(error.to_string())
}

fn store_error(error: StoreError) -> SyncError {
    SyncError::Store(error.to_string())
}
