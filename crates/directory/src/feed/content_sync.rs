//! Content Sync: refreshOnly (RFC 4533 section 3.3) and refreshAndPersist (section 3.4).

use super::link::{Link, whole};
use super::read;
use super::{ChangeSource, Changes, Cookie, FeedError, Fingerprint, Following, Presence};
use crate::account::entry_uuid;
use crate::connector::Connector;
use ldap::control::{SyncMode, SyncRequest};
use ldap::{Control, Scope, SearchRequest};
use model::{BoxFuture, EntryUuid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A change feed over one connector. It keeps one connection, and with it one server, from poll to poll; a
/// search that stays open has another connection to the same server for itself.
pub struct ContentSync {
    connector: Arc<Connector>,
    attributes: BTreeSet<String>,
    link: Link,
    replica: Option<u16>,
}

impl ContentSync {
    /// A feed of all accounts and groups of the connector. Connects to nothing yet.
    #[must_use]
    pub fn new(connector: Arc<Connector>) -> Self {
        let attributes = super::open::all_attributes(&connector);
        Self::of(connector, attributes)
    }

    /// The same with these attributes only.
    pub(super) fn of(connector: Arc<Connector>, attributes: BTreeSet<String>) -> Self {
        Self {
            link: Link::new(Arc::clone(&connector), attributes.clone()),
            connector,
            attributes,
            replica: None,
        }
    }

    /// The same under a replica id of its own.
    pub(super) fn under(mut self, replica: Option<u16>) -> Self {
        self.replica = replica;
        self
    }

    /// What a search in this mode asks for, by its cookie.
    fn request(&self, mode: SyncMode) -> impl Fn(Option<&Cookie>) -> SearchRequest + Send + 'static {
        let patterns = self.connector.patterns();
        let search = SearchRequest::new(patterns.top.to_string(), Scope::Subtree, patterns.feed_filter())
            .attributes(self.attributes.iter().cloned())
            .control(Control::manage_dsa_it());
        let replica = self.replica;
        move |cookie| {
            let sync = SyncRequest {
                mode,
                cookie: cookie.map(|cookie| cookie.under(replica).into()),
                reload_hint: false,
            };
            search.clone().control(sync.to_control().critical())
        }
    }

    async fn start(&mut self, cookie: Option<&Cookie>) -> Result<Changes, FeedError> {
        let asker = self.link.asker().await?;
        self.link.judge(asker.require_bases().await)?;
        let request = self.request(SyncMode::RefreshOnly)(cookie);
        let cookie = cookie.cloned();
        Ok(Changes::read_by(move |sender| async move {
            let read = read::refresh(&asker.connector, &asker.client, request, cookie, &sender);
            if let Err(error) = read.await {
                sender.send(Err(error)).await;
            }
        }))
    }

    async fn stay(&mut self, cookie: Option<&Cookie>) -> Result<Following, FeedError> {
        if !self.connector.config().persist {
            return Ok(Following::polled(self.start(cookie).await?));
        }
        let asker = self.link.asker().await?;
        self.link.judge(asker.require_bases().await)?;
        // The same server as for verify and fingerprint: another one may lag behind.
        let client = self
            .connector
            .persistent(asker.server)
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

    async fn look(&mut self, uuids: &[EntryUuid]) -> Result<Vec<Presence>, FeedError> {
        let asker = self.link.asker().await?;
        let suffix = self.link.judge(asker.suffix().await)?;
        self.link.judge(asker.look(&suffix, uuids).await)
    }

    async fn sees(&mut self, dn: &str) -> Result<bool, FeedError> {
        let asker = self.link.asker().await?;
        self.link.judge(asker.sees(dn).await)
    }

    async fn named(&mut self, dn: &str) -> Result<Option<EntryUuid>, FeedError> {
        let asker = self.link.asker().await?;
        self.link.judge(asker.named(dn).await)
    }

    async fn shows(&mut self, dn: &str) -> Result<bool, FeedError> {
        let asker = self.link.asker().await?;
        self.link.judge(asker.shows_below(dn).await)
    }

    async fn identify(&mut self) -> Result<Fingerprint, FeedError> {
        let asker = self.link.stranger().await?;
        let suffix = self.link.judge(asker.suffix().await)?;
        let entry = asker.ask(whole(&suffix, ["entryUUID", "contextCSN"])).await;
        let entry = self.link.judge(entry)?;
        let entry = entry.ok_or_else(|| FeedError::Protocol(format!("the entry {suffix} cannot be read")))?;
        let uuid = entry_uuid(&entry)
            .ok_or_else(|| FeedError::Protocol(format!("the entryUUID of {suffix} cannot be read")))?;
        Ok(Fingerprint::new(suffix, uuid, entry.strings("contextCSN")))
    }
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

    fn identity<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<Option<EntryUuid>, FeedError>> {
        Box::pin(self.named(dn))
    }

    fn shows_below<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        Box::pin(self.shows(dn))
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        Box::pin(self.identify())
    }
}
