//! One refresh, message by message (RFC 4533 section 3.3.2): a pure state machine.

use super::{Change, ChangedEntry, Cookie, Coverage, FeedError, PollEnd};
use crate::account::{DirectoryAccount, EntryProblem};
use crate::patterns::{EntryKind, Patterns, Place};
use ldap::control::{SyncDone, SyncInfo, SyncState, SyncStateKind};
use ldap::message::Intermediate;
use ldap::{Control, Entry, LdapResult, ResultCode};
use model::{EntryUuid, Timestamp, Unavailable};

/// What the messages of one refresh have said so far.
pub(super) struct Round<'a> {
    patterns: &'a Patterns,
    now: Timestamp,
    cookie: Option<Cookie>,
    place: Place,
    /// A present phase has ended: what it did not name is gone, whatever comes after.
    present_phase: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(patterns: &'a Patterns, cookie: Option<Cookie>, now: Timestamp) -> Self {
        Self {
            patterns,
            now,
            cookie,
            place: Place::default(),
            present_phase: false,
        }
    }

    /// What time it is for the entries to come.
    pub(super) fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// An entry with its Sync State control.
    pub(super) fn on_entry(&mut self, entry: Entry, controls: &[Control]) -> Result<Change, FeedError> {
        let said = state(&entry.dn, controls)?;
        Ok(change(said, |uuid| {
            let kind = self.patterns.kind_beside(&entry, &mut self.place);
            read(self.patterns, (uuid, kind), entry, self.now)
        }))
    }

    /// An entry that is too large to be kept, with its Sync State control.
    pub(super) fn on_oversized(
        &self,
        dn: String,
        size: usize,
        controls: &[Control],
    ) -> Result<Change, FeedError> {
        let kind = self.patterns.kind_by_place(&dn);
        let said = state(&dn, controls)?;
        Ok(change(said, |uuid| too_large(uuid, kind, Entry::new(dn), size)))
    }

    /// A Sync Info message.
    pub(super) fn on_intermediate(&mut self, message: &Intermediate) -> Result<Vec<Change>, FeedError> {
        let info = SyncInfo::from_intermediate(message)
            .map_err(|error| FeedError::Protocol(format!("Sync Info: {error}")))?;
        Ok(match info {
            Some(SyncInfo::IdSet {
                refresh_deletes: true,
                uuids,
                ..
            }) => uuids.into_iter().map(Change::Deleted).collect(),
            Some(SyncInfo::IdSet {
                refresh_deletes: false,
                uuids,
                ..
            }) => uuids.into_iter().map(Change::Present).collect(),
            Some(SyncInfo::RefreshPresent { .. }) => {
                self.present_phase = true;
                Vec::new()
            }
            // Cookies in the middle of a refresh are not stored: what they cover may not be applied yet.
            Some(SyncInfo::RefreshDelete { .. } | SyncInfo::NewCookie(_)) | None => Vec::new(),
        })
    }

    /// The search's result.
    pub(super) fn on_done(self, result: &LdapResult, controls: &[Control]) -> Result<PollEnd, FeedError> {
        if !result.is_success() {
            return Err(failure(result, self.cookie.is_some()));
        }
        let done = SyncDone::find(controls)
            .map_err(|error| FeedError::Protocol(format!("Sync Done: {error}")))?
            .ok_or_else(|| {
                FeedError::Protocol("the server does not do Content Sync (no Sync Done)".to_owned())
            })?;
        Ok(self.end(done.cookie.as_deref(), done.refresh_deletes))
    }

    /// The end of the refresh, by Sync Done or by a Sync Info with `refreshDone`.
    pub(super) fn end(&self, cookie: Option<&[u8]>, refresh_deletes: bool) -> PollEnd {
        // Without a cookie everything was sent, whatever the flag says.
        let named = refresh_deletes && !self.present_phase && self.cookie.is_some();
        let fresh = cookie
            .and_then(|bytes| Cookie::new(bytes.to_vec()))
            .filter(Cookie::is_final);
        let cookie = match (&self.cookie, fresh) {
            (Some(old), Some(fresh)) => Some(old.merged(&fresh)),
            (_, fresh) => fresh,
        };
        PollEnd {
            cookie,
            coverage: if named {
                Coverage::NamedDeletes
            } else {
                Coverage::Everything
            },
        }
    }
}

/// The Sync State control of an entry (RFC 4533 section 2.2).
fn state(dn: &str, controls: &[Control]) -> Result<SyncState, FeedError> {
    SyncState::find(controls)
        .map_err(|error| FeedError::Protocol(format!("{dn}: Sync State: {error}")))?
        .ok_or_else(|| FeedError::Protocol(format!("{dn}: an entry without Sync State")))
}

/// What it says.
fn change(said: SyncState, read: impl FnOnce(EntryUuid) -> ChangedEntry) -> Change {
    match said.kind {
        SyncStateKind::Present => Change::Present(said.uuid),
        SyncStateKind::Delete => Change::Deleted(said.uuid),
        // A refresh says `add` for both (RFC 4533 section 3.3.2 lets it).
        SyncStateKind::Add | SyncStateKind::Modify => Change::Entry(Box::new(read(said.uuid))),
    }
}

/// An entry that was not read because of its size; what is known of it is in `entry`.
pub(super) fn too_large(uuid: EntryUuid, kind: Option<EntryKind>, entry: Entry, size: usize) -> ChangedEntry {
    let dn = entry.dn.clone();
    ChangedEntry {
        uuid,
        kind,
        account: Err(EntryProblem::TooLarge { dn, size }),
        entry,
    }
}

/// Reads one entry for a consumer.
pub(super) fn changed(patterns: &Patterns, uuid: EntryUuid, entry: Entry, now: Timestamp) -> ChangedEntry {
    let kind = patterns.kind_of(&entry);
    read(patterns, (uuid, kind), entry, now)
}

fn read(
    patterns: &Patterns,
    (uuid, kind): (EntryUuid, Option<EntryKind>),
    entry: Entry,
    now: Timestamp,
) -> ChangedEntry {
    let account = DirectoryAccount::read(&entry, kind.unwrap_or(EntryKind::Account), patterns, now)
        .map(|account| DirectoryAccount { uuid, ..account });
    ChangedEntry {
        uuid,
        kind,
        account,
        entry,
    }
}

/// What a result other than success means for a poll.
pub(super) fn failure(result: &LdapResult, with_cookie: bool) -> FeedError {
    let text = result.to_string();
    match result.code {
        ResultCode::SyncRefreshRequired => FeedError::RefreshRequired,
        // Observed on slapd: a cookie from a provider that is ahead.
        ResultCode::UnwillingToPerform if with_cookie => FeedError::CookieTooNew(text),
        ResultCode::UnavailableCriticalExtension => FeedError::Protocol(format!(
            "the server does not offer Content Sync; load the syncprov overlay: {text}"
        )),
        ResultCode::SizeLimitExceeded | ResultCode::TimeLimitExceeded | ResultCode::AdminLimitExceeded => {
            FeedError::Protocol(format!(
                "a limit of the server cut the answer short; lift it for this identity: {text}"
            ))
        }
        code if code.is_transient() => FeedError::Unavailable(Unavailable(text)),
        _ => FeedError::Protocol(text),
    }
}
