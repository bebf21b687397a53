//! The connection of a feed, and the questions that every feed asks over it.
//!
//! A feed stays with one server as long as that answers: another one may lag behind.

use super::read::told;
use super::round::{changed, too_large};
use super::{ChangedEntry, FeedError, Presence};
use crate::account::entry_uuid;
use crate::config::ServerType;
use crate::connector::{Connector, ServerIndex, ranges};
use crate::patterns::EntryKind;
use ldap::{Client, Control, Dn, Entry, Filter, LdapError, ResultCode, Scope, SearchItem, SearchRequest};
use model::{EntryUuid, Unavailable};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// UUIDs asked for in one search.
pub(super) const VERIFY_AT_ONCE: usize = 100;

/// The connection of a feed; it connects when it is asked for.
pub(super) struct Link {
    connector: Arc<Connector>,
    attributes: Arc<BTreeSet<String>>,
    open: Option<(Client, ServerIndex)>,
    known: Known,
}

/// Whether the server at the other end has said how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nobody has asked any.
    NotAsked,
    /// This one has said so.
    Yes,
    /// Another one had: whoever answers now may lag behind it.
    Another,
}

/// A client for questions, of one connection.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) connector: Arc<Connector>,
    pub(super) client: Client,
    pub(super) server: ServerIndex,
    attributes: Arc<BTreeSet<String>>,
}

/// An entry that a question found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    /// How large it is, when it was not kept because of that: `entry` has only what was asked for again.
    size: Option<usize>,
}

impl Link {
    pub(super) fn new(connector: Arc<Connector>, attributes: BTreeSet<String>) -> Self {
        Self {
            connector,
            attributes: Arc::new(attributes),
            open: None,
            known: Known::NotAsked,
        }
    }

    /// The connection, opened again when it is closed. Refused then, if the one before had said how far it is: what is
    /// asked now would be read as its word. [`Self::stranger`] comes first.
    pub(super) async fn asker(&mut self) -> Result<Asker, FeedError> {
        let asker = self.reopened().await?;
        match self.known {
            Known::NotAsked | Known::Yes => Ok(asker),
            Known::Another => {
                let message = "the connection was lost, and how far this server is was not asked yet";
                Err(FeedError::Unavailable(Unavailable(message.to_owned())))
            }
        }
    }

    /// The same, for asking a server how far it is, whichever it is.
    pub(super) async fn stranger(&mut self) -> Result<Asker, FeedError> {
        let asker = self.reopened().await?;
        self.known = Known::Yes;
        Ok(asker)
    }

    async fn reopened(&mut self) -> Result<Asker, FeedError> {
        if self.open.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            if self.known == Known::Yes {
                self.known = Known::Another;
            }
            self.open = Some(self.connector.dedicated().await.map_err(FeedError::Unavailable)?);
        }
        let (client, server) = self
            .open
            .clone()
            .ok_or_else(|| FeedError::Unavailable(Unavailable("not connected".to_owned())))?;
        Ok(Asker {
            connector: Arc::clone(&self.connector),
            client,
            server,
            attributes: Arc::clone(&self.attributes),
        })
    }

    /// The connection of a server that does not answer is given up.
    pub(super) fn judge<T>(&mut self, answer: Result<T, FeedError>) -> Result<T, FeedError> {
        if matches!(answer, Err(FeedError::Unavailable(_))) {
            self.open = None;
        }
        answer
    }
}

impl Asker {
    pub(super) fn attributes(&self) -> impl Iterator<Item = String> {
        self.attributes.iter().cloned()
    }

    /// One small question, within the time of a lookup.
    pub(super) async fn ask(&self, request: SearchRequest) -> Result<Option<Entry>, FeedError> {
        self.try_ask(request).await?.map_err(|error| told(&error, None))
    }

    /// The same, with what the server answered when it was no entry.
    pub(super) async fn try_ask(
        &self,
        request: SearchRequest,
    ) -> Result<Result<Option<Entry>, LdapError>, FeedError> {
        let limit = Duration::from_secs(self.connector.config().timeout);
        let Ok(found) = timeout(limit, self.client.search_all(request, 1)).await else {
            let message = format!("the server did not answer within {limit:?}");
            return Err(FeedError::Unavailable(Unavailable(message)));
        };
        Ok(found.map(|found| found.into_iter().next()))
    }

    /// Whether the entry of this name can be read.
    pub(super) async fn sees(&self, dn: &str) -> Result<bool, FeedError> {
        Ok(self.try_read(whole(dn, ["1.1"])).await?.is_some())
    }

    /// The UUID of the entry of this name.
    pub(super) async fn named(&self, dn: &str) -> Result<Option<EntryUuid>, FeedError> {
        let entry = self.try_read(whole(dn, ["entryUUID", "objectGUID"])).await?;
        Ok(entry.as_ref().and_then(entry_uuid))
    }

    /// Whether the feed's filter finds anybody right below this name.
    pub(super) async fn shows_below(&self, dn: &str) -> Result<bool, FeedError> {
        let filter = self.connector.patterns().feed_filter();
        let one = SearchRequest::new(dn, Scope::OneLevel, filter)
            .attributes(["1.1"])
            .size_limit(1);
        match self.try_ask(one).await? {
            Ok(found) => Ok(found.is_some()),
            Err(error) => match error.code() {
                // There are more than the one (RFC 4511 section 4.5.1.4).
                Some(ResultCode::SizeLimitExceeded) => Ok(true),
                Some(ResultCode::NoSuchObject | ResultCode::InsufficientAccessRights) => Ok(false),
                _ => Err(told(&error, None)),
            },
        }
    }

    /// An entry, if it can be read.
    async fn try_read(&self, request: SearchRequest) -> Result<Option<Entry>, FeedError> {
        match self.try_ask(request).await? {
            Ok(found) => Ok(found),
            // A server that hides an entry says either (RFC 4511 section 4.1.9 leaves it the choice).
            Err(error) => match error.code() {
                Some(ResultCode::NoSuchObject | ResultCode::InsufficientAccessRights) => Ok(None),
                _ => Err(told(&error, None)),
            },
        }
    }

    /// The feed searches from above the bases, where a base that is misspelt or was renamed is no error: every
    /// entry below it would seem to have left, and its account would be removed.
    pub(super) async fn require_bases(&self) -> Result<(), FeedError> {
        let patterns = self.connector.patterns();
        let groups = patterns.groups.iter().map(|half| ("groups", half));
        for (kind, half) in [("accounts", &patterns.accounts)].into_iter().chain(groups) {
            for base in &half.bases {
                let error = match self.try_ask(whole(&base.to_string(), ["1.1"])).await? {
                    Ok(_) => continue,
                    Err(error) => error,
                };
                if error.code() != Some(ResultCode::NoSuchObject) {
                    return Err(told(&error, None));
                }
                return Err(FeedError::Protocol(format!(
                    "{kind}.base_dn: \"{base}\" does not exist, or bind_dn may not see it"
                )));
            }
        }
        Ok(())
    }

    /// The naming context above the connector's bases (RFC 4512 section 5.1).
    pub(super) fn suffix_of(&self, root: Option<&Entry>) -> Result<String, FeedError> {
        let top = &self.connector.patterns().top;
        root.iter()
            .flat_map(|entry| entry.strings("namingContexts"))
            .filter_map(|text| Some((Dn::parse(text).ok()?, text)))
            .filter(|(dn, _)| dn == top || top.is_below(dn))
            // The deepest one: a server may hold a context below another.
            .max_by_key(|(dn, _)| dn.rdns().len())
            .map(|(_, text)| text.to_owned())
            .ok_or_else(|| FeedError::Protocol(format!("the server holds no naming context for {top}")))
    }

    /// The same, asked for.
    pub(super) async fn suffix(&self) -> Result<String, FeedError> {
        let root = self.ask(whole("", ["namingContexts"])).await?;
        self.suffix_of(root.as_ref())
    }

    /// Entries by UUID below the naming context, and which of them the feed's own filter and place include.
    pub(super) async fn look(&self, suffix: &str, uuids: &[EntryUuid]) -> Result<Vec<Presence>, FeedError> {
        let mut answers = Vec::with_capacity(uuids.len());
        for part in uuids.chunks(VERIFY_AT_ONCE) {
            let any = Filter::Or(
                part.iter()
                    .map(|uuid| self.connector.uuid_filter(*uuid))
                    .collect(),
            );
            let mut anywhere = self.by_uuid(suffix, any.clone()).await?;
            let scoped = Filter::And(vec![self.connector.patterns().feed_filter(), any]);
            let in_scope = self.by_uuid(suffix, scoped).await?;
            for uuid in part {
                answers.push(match anywhere.remove(uuid) {
                    None => Presence::Gone,
                    Some(found) => {
                        let matches = in_scope.contains_key(uuid);
                        let entry = self.read_found(*uuid, found).await?;
                        if matches && entry.kind.is_some() {
                            Presence::InScope(Box::new(entry))
                        } else {
                            Presence::OutOfScope(Box::new(entry.entry))
                        }
                    }
                });
            }
        }
        Ok(answers)
    }

    /// An entry as a consumer gets it, with all of a group's members.
    pub(super) async fn read(&self, uuid: EntryUuid, mut entry: Entry) -> Result<ChangedEntry, FeedError> {
        let patterns = self.connector.patterns();
        if patterns.kind_of(&entry) == Some(EntryKind::Group) {
            ranges::complete(&self.client, &mut entry, &patterns.map.members)
                .await
                .map_err(|error| told(&error, None))?;
        }
        Ok(changed(patterns, uuid, entry, self.connector.clock().now()))
    }

    /// The next entry of a page as a consumer gets it; none when its UUID cannot be read.
    pub(super) async fn found(&self, item: SearchItem) -> Result<Option<Found>, FeedError> {
        Ok(match item {
            SearchItem::Entry { entry, .. } => Some(Found { entry, size: None }),
            SearchItem::Oversized { dn, size, .. } => {
                // Small attributes can still be had of it; without them it would seem to be gone.
                let known = ["objectClass", "entryUUID", "objectGUID"];
                let known = match self.try_ask(whole(&dn, known)).await? {
                    Ok(known) => known,
                    Err(error) if error.code() == Some(ResultCode::NoSuchObject) => None,
                    Err(error) => return Err(told(&error, None)),
                };
                let size = Some(size);
                known.map(|entry| Found { entry, size })
            }
            SearchItem::Reference(_) | SearchItem::Intermediate(_) => None,
        })
    }

    /// The same as [`Asker::read`] for an entry that may be too large to be kept.
    pub(super) async fn read_found(&self, uuid: EntryUuid, found: Found) -> Result<ChangedEntry, FeedError> {
        match found.size {
            None => self.read(uuid, found.entry).await,
            Some(size) => {
                let kind = self.connector.patterns().kind_of(&found.entry);
                Ok(too_large(uuid, kind, found.entry, size))
            }
        }
    }

    async fn by_uuid(&self, base: &str, filter: Filter) -> Result<HashMap<EntryUuid, Found>, FeedError> {
        let mut request = SearchRequest::new(base, Scope::Subtree, filter).attributes(self.attributes());
        if self.connector.patterns().server == ServerType::Openldap {
            request = request.control(Control::manage_dsa_it());
        }
        let failed = |error: LdapError| told(&error, None);
        let mut stream = self.client.search(request).await.map_err(failed)?;
        let mut items = Vec::new();
        while let Some(item) = stream.next().await.map_err(failed)? {
            if matches!(item, SearchItem::Reference(_) | SearchItem::Intermediate(_)) {
                continue;
            }
            if items.len() >= VERIFY_AT_ONCE * 2 {
                return Err(failed(LdapError::TooMany(items.len())));
            }
            items.push(item);
        }
        let mut by_uuid = HashMap::new();
        for item in items {
            let found = self.found(item).await?;
            by_uuid.extend(found.and_then(|found| Some((entry_uuid(&found.entry)?, found))));
        }
        Ok(by_uuid)
    }
}

/// A search for one entry by its name.
pub(super) fn whole<const N: usize>(base: &str, attributes: [&str; N]) -> SearchRequest {
    let any = Filter::Present("objectClass".to_owned());
    SearchRequest::new(base, Scope::Base, any).attributes(attributes)
}
