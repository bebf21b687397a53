//! A search that stays open, message by message (RFC 4533 section 3.4): a pure state machine.

use super::round::Round;
use super::{Change, Cookie, FeedError, PollEnd};
use crate::patterns::Patterns;
use ldap::control::{SyncInfo, SyncState};
use ldap::message::Intermediate;
use ldap::{Control, Entry};
use model::Timestamp;

/// What one message says.
#[derive(Debug)]
pub(super) enum Said {
    /// Changes of the refresh.
    Refreshing(Vec<Change>),
    /// The refresh has ended.
    Refreshed(PollEnd),
    /// Changes as they happen, with the cookie that covers them.
    Live(Vec<Change>, Option<Cookie>),
}

/// What the messages of one search have said so far.
pub(super) struct Persist<'a> {
    round: Round<'a>,
    live: bool,
    /// Covers everything that was said.
    cookie: Option<Cookie>,
}

impl<'a> Persist<'a> {
    pub(super) fn new(patterns: &'a Patterns, cookie: Option<Cookie>) -> Self {
        Self {
            round: Round::new(patterns, cookie.clone(), Timestamp::from_millis(0)),
            live: false,
            cookie,
        }
    }

    /// Whether the refresh is over.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// An entry with its Sync State control.
    pub(super) fn on_entry(
        &mut self,
        entry: Entry,
        controls: &[Control],
        now: Timestamp,
    ) -> Result<Said, FeedError> {
        self.round.at(now);
        let change = self.round.on_entry(entry, controls)?;
        Ok(self.on_change(change, controls))
    }

    /// An entry that is too large to be kept, with its Sync State control.
    pub(super) fn on_oversized(
        &mut self,
        dn: String,
        size: usize,
        controls: &[Control],
    ) -> Result<Said, FeedError> {
        let change = self.round.on_oversized(dn, size, controls)?;
        Ok(self.on_change(change, controls))
    }

    fn on_change(&mut self, change: Change, controls: &[Control]) -> Said {
        if !self.live {
            // RFC 4533 section 3.4.1: cookies in the middle of a refresh cover what may not have come yet.
            return Said::Refreshing(vec![change]);
        }
        let bytes = SyncState::find(controls)
            .ok()
            .flatten()
            .and_then(|state| state.cookie);
        Said::Live(vec![change], self.advance(bytes.as_deref()))
    }

    /// A Sync Info message.
    pub(super) fn on_intermediate(&mut self, message: &Intermediate) -> Result<Said, FeedError> {
        let changes = self.round.on_intermediate(message)?;
        if self.live {
            return Ok(Said::Live(changes, None));
        }
        let info = SyncInfo::from_intermediate(message)
            .map_err(|error| FeedError::Protocol(format!("Sync Info: {error}")))?;
        let (bytes, refresh_deletes) = match info {
            Some(SyncInfo::RefreshDelete {
                cookie,
                refresh_done: true,
            }) => (cookie, true),
            Some(SyncInfo::RefreshPresent {
                cookie,
                refresh_done: true,
            }) => (cookie, false),
            _ => return Ok(Said::Refreshing(changes)),
        };
        self.live = true;
        let end = self.round.end(bytes.as_deref(), refresh_deletes);
        if end.cookie.is_some() {
            self.cookie.clone_from(&end.cookie);
        }
        Ok(Said::Refreshed(end))
    }

    /// The cookie after this one, when it may be stored.
    fn advance(&mut self, bytes: Option<&[u8]>) -> Option<Cookie> {
        let fresh = bytes.and_then(|bytes| Cookie::new(bytes.to_vec()))?;
        if !fresh.is_final() {
            return None;
        }
        let merged = match &self.cookie {
            Some(old) => old.merged(&fresh),
            None => fresh,
        };
        self.cookie = Some(merged.clone());
        Some(merged)
    }
}
