//! Content Sync: refreshOnly (RFC 4533 section 3.3) and refreshAndPersist (section 3.4).

use super::read::{self, told};
use super::round::changed;
use super::{ChangeSource, Changes, Cookie, FeedError, Fingerprint, Following, Presence};
use crate::account::{entry_uuid, wanted};
use crate::connector::{Connector, ServerIndex};
use crate::patterns::EntryKind;
use ldap::control::{SyncMode, SyncRequest};
use ldap::{Client, Control, Entry, Filter, LdapError, ResultCode, Scope, SearchRequest};
use model::{BoxFuture, EntryUuid, Unavailable};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// UUIDs asked for in one search.
const VERIFY_AT_ONCE: usize = 100;

/// A change feed over one connector. It keeps one connection, and with it one server, from poll to poll; a
/// search that stays open has another connection to the same server for itself.
pub struct ContentSync {
    connector: Arc<Connector>,
    attributes: BTreeSet<String>,
    link: Option<(Client, ServerIndex)>,
}

impl ContentSync {
    /// A feed of all accounts and groups of the connector. Connects to nothing yet.
    #[must_use]
    pub fn new(connector: Arc<Connector>) -> Self {
        let patterns = connector.patterns();
        let mut attributes: BTreeSet<String> = wanted(patterns, EntryKind::Account).into_iter().collect();
        attributes.extend(wanted(patterns, EntryKind::Group));
        Self::of(connector, attributes)
    }

    /// The same with these attributes only.
    pub(crate) fn of(connector: Arc<Connector>, attributes: BTreeSet<String>) -> Self {
        Self {
            connector,
            attributes,
            link: None,
        }
    }

    async fn link(&mut self) -> Result<(Client, ServerIndex), FeedError> {
        if let Some(link) = self.link.as_ref().filter(|(client, _)| !client.is_closed()) {
            return Ok(link.clone());
        }
        let link = self.connector.dedicated().await.map_err(FeedError::Unavailable)?;
        self.link = Some(link.clone());
        Ok(link)
    }

    async fn client(&mut self) -> Result<Client, FeedError> {
        self.link().await.map(|(client, _)| client)
    }

    fn attributes(&self) -> impl Iterator<Item = String> {
        self.attributes.iter().cloned()
    }

    /// What a search in this mode asks for, by its cookie.
    fn request(&self, mode: SyncMode) -> impl Fn(Option<&Cookie>) -> SearchRequest + Send + 'static {
        let patterns = self.connector.patterns();
        let search = SearchRequest::new(patterns.top.to_string(), Scope::Subtree, patterns.feed_filter())
            .attributes(self.attributes())
            .control(Control::manage_dsa_it());
        move |cookie| {
            let sync = SyncRequest {
                mode,
                cookie: cookie.map(|cookie| cookie.as_bytes().to_vec().into()),
                reload_hint: false,
            };
            search.clone().control(sync.to_control().critical())
        }
    }

    async fn start(&mut self, cookie: Option<&Cookie>) -> Result<Changes, FeedError> {
        self.require_bases().await?;
        let client = self.client().await?;
        let request = self.request(SyncMode::RefreshOnly)(cookie);
        let connector = Arc::clone(&self.connector);
        let cookie = cookie.cloned();
        Ok(Changes::read_by(move |sender| async move {
            if let Err(error) = read::refresh(&connector, &client, request, cookie, &sender).await {
                sender.send(Err(error)).await;
            }
        }))
    }

    async fn stay(&mut self, cookie: Option<&Cookie>) -> Result<Following, FeedError> {
        if !self.connector.config().persist {
            return Ok(Following::polled(self.start(cookie).await?));
        }
        self.require_bases().await?;
        // The same server as for verify and fingerprint: another one may lag behind.
        let (_, server) = self.link().await?;
        let client = self
            .connector
            .persistent(server)
            .await
            .map_err(FeedError::Unavailable)?;
        let request = self.request(SyncMode::RefreshAndPersist);
        let request = move |cookie: Option<&Cookie>| request(cookie).endless();
        let connector = Arc::clone(&self.connector);
        let cookie = cookie.cloned();
        Ok(Following::read_by(move |backlog| async move {
            read::follow(&connector, &client, request, cookie, &backlog).await;
        }))
    }

    /// Entries by UUID below the naming context, and which of them the feed's own filter and place include.
    async fn look(&mut self, uuids: &[EntryUuid]) -> Result<Vec<Presence>, FeedError> {
        let suffix = self.suffix().await?;
        let client = self.client().await?;
        let mut answers = Vec::with_capacity(uuids.len());
        for part in uuids.chunks(VERIFY_AT_ONCE) {
            let any = Filter::Or(
                part.iter()
                    .map(|uuid| self.connector.uuid_filter(*uuid))
                    .collect(),
            );
            let mut anywhere = self.by_uuid(&client, &suffix, any.clone()).await?;
            let scoped = Filter::And(vec![self.connector.patterns().feed_filter(), any]);
            let in_scope = self.by_uuid(&client, &suffix, scoped).await?;
            for uuid in part {
                answers.push(match anywhere.remove(uuid) {
                    None => Presence::Gone,
                    Some(entry) => {
                        let matches = in_scope.contains_key(uuid);
                        let now = self.connector.clock().now();
                        let entry = changed(self.connector.patterns(), *uuid, entry, now);
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

    async fn by_uuid(
        &self,
        client: &Client,
        base: &str,
        filter: Filter,
    ) -> Result<HashMap<EntryUuid, Entry>, FeedError> {
        let request = SearchRequest::new(base, Scope::Subtree, filter)
            .attributes(self.attributes())
            .control(Control::manage_dsa_it());
        let entries = client
            .search_all(request, VERIFY_AT_ONCE * 2)
            .await
            .map_err(|error| told(&error, None))?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| Some((entry_uuid(&entry)?, entry)))
            .collect())
    }

    /// One small question, within the time of a lookup: the link of a server that does not answer is given up.
    async fn ask(&mut self, request: SearchRequest) -> Result<Option<Entry>, FeedError> {
        self.try_ask(request).await?.map_err(|error| told(&error, None))
    }

    /// The same, with what the server answered when it was no entry.
    async fn try_ask(
        &mut self,
        request: SearchRequest,
    ) -> Result<Result<Option<Entry>, LdapError>, FeedError> {
        let client = self.client().await?;
        let limit = Duration::from_secs(self.connector.config().timeout);
        let Ok(found) = timeout(limit, client.search_all(request, 1)).await else {
            self.link = None;
            let message = format!("the server did not answer within {limit:?}");
            return Err(FeedError::Unavailable(Unavailable(message)));
        };
        Ok(found.map(|found| found.into_iter().next()))
    }

    async fn sees(&mut self, dn: &str) -> Result<bool, FeedError> {
        match self.try_ask(whole(dn, ["1.1"])).await? {
            Ok(found) => Ok(found.is_some()),
            // A server that hides an entry says either (RFC 4511 section 4.1.9 leaves it the choice).
            Err(error) => match error.code() {
                Some(ResultCode::NoSuchObject | ResultCode::InsufficientAccessRights) => Ok(false),
                _ => Err(told(&error, None)),
            },
        }
    }

    /// The feed searches from the common ancestor of the bases, where a base that is misspelt or was renamed
    /// is no error: every entry below it would seem to have left, and its account would be removed.
    async fn require_bases(&mut self) -> Result<(), FeedError> {
        let connector = Arc::clone(&self.connector);
        let patterns = connector.patterns();
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
    async fn suffix(&mut self) -> Result<String, FeedError> {
        let root = self.ask(whole("", ["namingContexts"])).await?;
        let top = &self.connector.patterns().top;
        root.iter()
            .flat_map(|entry| entry.strings("namingContexts"))
            .filter_map(|text| Some((ldap::Dn::parse(text).ok()?, text)))
            .filter(|(dn, _)| dn == top || top.is_below(dn))
            // The deepest one: a server may hold a context below another.
            .max_by_key(|(dn, _)| dn.rdns().len())
            .map(|(_, text)| text.to_owned())
            .ok_or_else(|| FeedError::Protocol(format!("the server holds no naming context for {top}")))
    }

    async fn identify(&mut self) -> Result<Fingerprint, FeedError> {
        let suffix = self.suffix().await?;
        let entry = self.ask(whole(&suffix, ["entryUUID", "contextCSN"])).await?;
        let entry = entry.ok_or_else(|| FeedError::Protocol(format!("the entry {suffix} cannot be read")))?;
        let uuid = entry_uuid(&entry)
            .ok_or_else(|| FeedError::Protocol(format!("the entryUUID of {suffix} cannot be read")))?;
        Ok(Fingerprint::new(suffix, uuid, entry.strings("contextCSN")))
    }
}

/// A search for one entry by its name.
fn whole<const N: usize>(base: &str, attributes: [&str; N]) -> SearchRequest {
    let any = Filter::Present("objectClass".to_owned());
    SearchRequest::new(base, Scope::Base, any).attributes(attributes)
}

impl ChangeSource for ContentSync {
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>> {
        Box::pin(self.start(cookie))
    }

    fn follow<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Following, FeedError>> {
        Box::pin(self.stay(cookie))
    }

    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>> {
        Box::pin(self.look(uuids))
    }

    fn can_read<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        Box::pin(self.sees(dn))
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        Box::pin(self.identify())
    }
}
