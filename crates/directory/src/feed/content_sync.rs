//! Content Sync in its polling form: refreshOnly (RFC 4533 section 3.3).

use super::round::{Round, changed, failure};
use super::{Change, ChangeSource, Changes, ChangesSender, Cookie, FeedError, Fingerprint, Presence, Step};
use crate::account::{entry_uuid, wanted};
use crate::connector::Connector;
use crate::patterns::EntryKind;
use ldap::control::{SyncMode, SyncRequest};
use ldap::{Client, Control, Entry, Filter, LdapError, Scope, SearchItem, SearchRequest};
use model::{BoxFuture, EntryUuid, Unavailable};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Changes handed over at a time.
const BATCH: usize = 256;
/// UUIDs asked for in one search.
const VERIFY_AT_ONCE: usize = 100;

/// A change feed over one connector. It keeps one connection, and with it one server, from poll to poll.
pub struct ContentSync {
    connector: Arc<Connector>,
    client: Option<Client>,
}

impl ContentSync {
    /// A feed of all accounts and groups of the connector. Connects to nothing yet.
    #[must_use]
    pub fn new(connector: Arc<Connector>) -> Self {
        Self {
            connector,
            client: None,
        }
    }

    async fn client(&mut self) -> Result<Client, FeedError> {
        if let Some(client) = self.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = self.connector.dedicated().await.map_err(FeedError::Unavailable)?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn attributes(&self) -> BTreeSet<String> {
        let patterns = self.connector.patterns();
        let mut names: BTreeSet<String> = wanted(patterns, EntryKind::Account).into_iter().collect();
        names.extend(wanted(patterns, EntryKind::Group));
        names
    }

    async fn start(&mut self, cookie: Option<&Cookie>) -> Result<Changes, FeedError> {
        let client = self.client().await?;
        let patterns = self.connector.patterns();
        let sync = SyncRequest {
            mode: SyncMode::RefreshOnly,
            cookie: cookie.map(|cookie| cookie.as_bytes().to_vec().into()),
            reload_hint: false,
        };
        let request = SearchRequest::new(patterns.top.to_string(), Scope::Subtree, patterns.feed_filter())
            .attributes(self.attributes())
            .control(sync.to_control().critical())
            .control(Control::manage_dsa_it());
        let connector = Arc::clone(&self.connector);
        let cookie = cookie.cloned();
        Ok(Changes::read_by(move |sender| async move {
            if let Err(error) = read(&connector, &client, request, cookie, &sender).await {
                sender.send(Err(error)).await;
            }
        }))
    }

    /// Entries by UUID below the naming context, and which of them the feed's own filter and place include.
    async fn look(&mut self, uuids: &[EntryUuid]) -> Result<Vec<Presence>, FeedError> {
        let client = self.client().await?;
        let suffix = self.suffix(&client).await?;
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

    /// The naming context above the connector's bases (RFC 4512 section 5.1).
    async fn suffix(&self, client: &Client) -> Result<String, FeedError> {
        let request = SearchRequest::new("", Scope::Base, Filter::Present("objectClass".to_owned()))
            .attributes(["namingContexts"]);
        let root = client
            .search_all(request, 1)
            .await
            .map_err(|error| told(&error, None))?;
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
        let client = self.client().await?;
        let suffix = self.suffix(&client).await?;
        let request = SearchRequest::new(
            suffix.as_str(),
            Scope::Base,
            Filter::Present("objectClass".to_owned()),
        )
        .attributes(["entryUUID", "contextCSN"]);
        let found = client
            .search_all(request, 1)
            .await
            .map_err(|error| told(&error, None))?;
        let entry = found
            .first()
            .ok_or_else(|| FeedError::Protocol(format!("the entry {suffix} cannot be read")))?;
        let uuid = entry_uuid(entry)
            .ok_or_else(|| FeedError::Protocol(format!("the entryUUID of {suffix} cannot be read")))?;
        Ok(Fingerprint::new(suffix, uuid, entry.strings("contextCSN")))
    }
}

impl ChangeSource for ContentSync {
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>> {
        Box::pin(self.start(cookie))
    }

    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>> {
        Box::pin(self.look(uuids))
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        Box::pin(self.identify())
    }
}

/// Reads one refresh to its end.
async fn read(
    connector: &Connector,
    client: &Client,
    request: SearchRequest,
    cookie: Option<Cookie>,
    sender: &ChangesSender,
) -> Result<(), FeedError> {
    let sent = cookie.clone();
    let mut round = Round::new(connector.patterns(), cookie, connector.clock().now());
    let told = |error: &LdapError| told(error, sent.as_ref());
    let mut stream = client.search(request).await.map_err(|error| told(&error))?;
    let mut batch: Vec<Change> = Vec::new();
    loop {
        match stream.next().await.map_err(|error| told(&error))? {
            Some(SearchItem::Entry { entry, controls }) => batch.push(round.on_entry(entry, &controls)?),
            Some(SearchItem::Intermediate(message)) => batch.extend(round.on_intermediate(&message)?),
            Some(SearchItem::Reference(_)) => {}
            None => break,
        }
        if batch.len() >= BATCH && !sender.send(Ok(Step::Changes(std::mem::take(&mut batch)))).await {
            return Ok(());
        }
    }
    if !batch.is_empty() && !sender.send(Ok(Step::Changes(batch))).await {
        return Ok(());
    }
    let outcome = stream
        .outcome()
        .ok_or_else(|| FeedError::Protocol("the search ended without a result".to_owned()))?;
    let end = round.on_done(&outcome.result, &outcome.controls)?;
    sender.send(Ok(Step::Done(end))).await;
    Ok(())
}

/// A failed operation in the words of a feed.
fn told(error: &LdapError, cookie: Option<&Cookie>) -> FeedError {
    match error.result() {
        Some(result) => failure(result, cookie.is_some()),
        None => match error {
            LdapError::TooMany(_) | LdapError::Protocol(_) => FeedError::Protocol(error.to_string()),
            _ => FeedError::Unavailable(Unavailable(error.to_string())),
        },
    }
}
