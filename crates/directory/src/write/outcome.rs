//! From what a server answered to what it means for the caller.

use super::lane::Lane;
use super::{Fate, WriteError, Writer, Written};
use crate::account::entry_uuid;
use crate::connector::ranges;
use ldap::control::{PostRead, PreRead};
use ldap::{Dn, Entry, Filter, LdapError, Outcome, ResultCode, Scope, SearchRequest};
use model::EntryUuid;

impl Writer {
    /// The error of a write that this answer means, when nothing more is to be found out.
    pub(super) fn refused(&self, lane: &Lane, error: &LdapError) -> WriteError {
        let Some(result) = error.result() else {
            return self.lanes.lost_write(lane, error);
        };
        match result.code {
            code if code.is_transient() => self.lanes.not_done(&error.to_string()),
            code => WriteError::Refused {
                code,
                text: result
                    .diagnostic
                    .trim_end_matches('\0')
                    .escape_debug()
                    .to_string(),
            },
        }
    }

    /// The entry with this UUID, wherever it is; first where it was last seen.
    pub(super) async fn look(
        &self,
        lane: &Lane,
        uuid: EntryUuid,
        hint: &str,
        attributes: &[String],
    ) -> Result<Option<Entry>, WriteError> {
        let filter = self.connector.uuid_filter(uuid);
        if !hint.is_empty() {
            let request = SearchRequest::new(hint, Scope::Base, filter.clone());
            if let Some(entry) = self.at_most_one(lane, request, attributes).await? {
                return Ok(Some(entry));
            }
        }
        let top = [self.connector.patterns().top.clone()];
        let contexts = if lane.facts.contexts.is_empty() {
            top.as_slice()
        } else {
            &lane.facts.contexts
        };
        for context in contexts {
            let request = SearchRequest::new(context.to_string(), Scope::Subtree, filter.clone());
            if let Some(entry) = self.at_most_one(lane, request, attributes).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry with this DN.
    pub(super) async fn at(
        &self,
        lane: &Lane,
        dn: &str,
        attributes: &[String],
    ) -> Result<Option<Entry>, WriteError> {
        let any = Filter::Present("objectClass".to_owned());
        self.at_most_one(lane, SearchRequest::new(dn, Scope::Base, any), attributes)
            .await
    }

    pub(super) async fn at_most_one(
        &self,
        lane: &Lane,
        request: SearchRequest,
        attributes: &[String],
    ) -> Result<Option<Entry>, WriteError> {
        let request = request.attributes(attributes.iter().cloned());
        let mut found = match lane.client.search_all(request, 1).await {
            Ok(found) => found,
            Err(error) => match error.code() {
                Some(ResultCode::NoSuchObject | ResultCode::InvalidDnSyntax | ResultCode::Referral) => {
                    Vec::new()
                }
                _ => return Err(self.lanes.lost(lane, &error)),
            },
        };
        let Some(mut entry) = found.pop() else {
            return Ok(None);
        };
        for name in attributes {
            if let Err(error) = ranges::complete(&lane.client, &mut entry, name).await {
                return Err(self.lanes.lost(lane, &error));
            }
        }
        Ok(Some(entry))
    }

    /// What the entry is now, out of the post-read control or, without it, by reading.
    pub(super) async fn after(
        &self,
        lane: &Lane,
        outcome: &Outcome,
        uuid: Option<EntryUuid>,
        dn: &str,
        attributes: &[String],
    ) -> Result<Written, WriteError> {
        // A server that garbles the control has written all the same.
        if let Ok(Some(PostRead(entry))) = PostRead::find(&outcome.controls)
            && let Some(written) = written(entry, uuid)
        {
            return Ok(written);
        }
        let read = match uuid {
            Some(uuid) => self.look(lane, uuid, dn, attributes).await,
            None => self.at(lane, dn, attributes).await,
        };
        match read {
            // The version may be somebody else's by now.
            Ok(Some(entry)) => written(entry, uuid)
                .map(|written| Written { csn: None, ..written })
                .ok_or_else(|| self.unreadable(dn)),
            Ok(None) => Err(self.unreadable(dn)),
            Err(error) => Err(error.but_done()),
        }
    }

    /// What the entry was before it was deleted.
    pub(super) fn deleted(outcome: &Outcome, uuid: EntryUuid, dn: &str) -> Written {
        let entry = match PreRead::find(&outcome.controls) {
            Ok(Some(PreRead(entry))) => entry,
            _ => Entry::new(dn),
        };
        Written {
            uuid,
            dn: dn.to_owned(),
            csn: None,
            entry,
        }
    }

    /// The write took place, and we cannot see its result.
    pub(super) fn unreadable(&self, dn: &str) -> WriteError {
        let why = format!("{dn} was written and cannot be read; the identity for writes must be able to");
        self.lanes.not_done(&why).but_done()
    }
}

impl WriteError {
    /// A failed look after a write that took place: the write is not undone by it.
    pub(super) fn but_done(self) -> Self {
        self.with_fate(Fate::Unknown)
    }

    /// A failed look without any write.
    pub(super) fn but_not_done(self) -> Self {
        self.with_fate(Fate::NotDone)
    }

    fn with_fate(self, fate: Fate) -> Self {
        match self {
            Self::Unavailable { why, .. } => Self::Unavailable { why, fate },
            other => other,
        }
    }
}

/// An entry with its identity and version.
pub(super) fn written(entry: Entry, uuid: Option<EntryUuid>) -> Option<Written> {
    Some(Written {
        uuid: entry_uuid(&entry).or(uuid)?,
        dn: entry.dn.clone(),
        csn: version(&entry),
        entry,
    })
}

/// entryCSN, or uSNChanged.
pub(super) fn version(entry: &Entry) -> Option<String> {
    ["entryCSN", "uSNChanged"]
        .into_iter()
        .find_map(|name| entry.first_str(name))
        .map(str::to_owned)
}

/// Whether two texts name the same entry.
pub(super) fn same_dn(one: &str, other: &str) -> bool {
    match (Dn::parse(one), Dn::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
