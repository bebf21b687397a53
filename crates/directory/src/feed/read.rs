//! Reading a search of Content Sync: one refresh, or for as long as it lasts.

use super::following::{Backlog, FeedEvent, Refused};
use super::persist::{Persist, Said};
use super::round::{Round, failure};
use super::{Change, ChangesSender, Cookie, FeedError, Step};
use crate::connector::Connector;
use ldap::{Client, LdapError, SearchItem, SearchRequest, SearchStream};
use model::Unavailable;
use std::time::Duration;
use tokio::time::timeout;

/// Changes handed over at a time.
const BATCH: usize = 256;
/// A server that gathers a large refresh may be silent for this long.
const SILENCE: Duration = Duration::from_secs(60);

/// Reads one refresh to its end.
pub(super) async fn refresh(
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
            Some(SearchItem::Oversized { dn, size, controls }) => {
                batch.push(round.on_oversized(dn, size, &controls)?);
            }
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
pub(super) fn told(error: &LdapError, cookie: Option<&Cookie>) -> FeedError {
    match error.result() {
        Some(result) => failure(result, cookie.is_some()),
        None => match error {
            LdapError::TooMany(_) | LdapError::EntryTooLarge { .. } | LdapError::Protocol(_) => {
                FeedError::Protocol(error.to_string())
            }
            _ => FeedError::Unavailable(Unavailable(error.to_string())),
        },
    }
}

/// Why a search that should stay open ended without an error.
enum Left {
    /// Nobody reads any more.
    Alone,
    /// More came than can wait here; the cookie covers what the consumer has or will get.
    Overflow(Option<Cookie>),
}

/// Reads searches that stay open, one after the other, until there is an error or nobody listens.
pub(super) async fn follow(
    connector: &Connector,
    client: &Client,
    request: impl Fn(Option<&Cookie>) -> SearchRequest,
    mut cookie: Option<Cookie>,
    backlog: &Backlog,
) {
    loop {
        match stay(connector, client, request(cookie.as_ref()), cookie, backlog).await {
            Ok(Left::Alone) => return,
            Err(error) => return backlog.fail(error),
            Ok(Left::Overflow(last)) => {
                tracing::info!(connector = %connector.name(), "more changes than can wait; the feed resumes by its cookie");
                cookie = last;
                backlog.drained().await;
                if !backlog.send(FeedEvent::Resuming).await {
                    return;
                }
            }
        }
    }
}

/// One search that stays open. Dropping the stream abandons it (RFC 4511 section 4.11).
async fn stay(
    connector: &Connector,
    client: &Client,
    request: SearchRequest,
    cookie: Option<Cookie>,
    backlog: &Backlog,
) -> Result<Left, FeedError> {
    let sent = cookie.clone();
    let mut covered = cookie.clone();
    let mut persist = Persist::new(connector.patterns(), cookie);
    let told = |error: &LdapError| told(error, sent.as_ref());
    let mut stream = client.search(request).await.map_err(|error| told(&error))?;
    let mut batch: Vec<Change> = Vec::new();
    loop {
        let item = next(&mut stream, &persist).await.map_err(|error| told(&error))?;
        let said = match item {
            Some(SearchItem::Entry { entry, controls }) => {
                persist.on_entry(entry, &controls, connector.clock().now())?
            }
            Some(SearchItem::Oversized { dn, size, controls }) => {
                persist.on_oversized(dn, size, &controls)?
            }
            Some(SearchItem::Intermediate(message)) => persist.on_intermediate(&message)?,
            Some(SearchItem::Reference(_)) => continue,
            // RFC 4533 section 3.4: only a server that goes down ends it so.
            None => {
                let message = "the server ended the search that was to stay open".to_owned();
                return Err(FeedError::Unavailable(Unavailable(message)));
            }
        };
        match said {
            Said::Refreshing(changes) => {
                batch.extend(changes);
                if batch.len() < BATCH {
                    continue;
                }
                if !backlog
                    .send(FeedEvent::Refreshing(std::mem::take(&mut batch)))
                    .await
                {
                    return Ok(Left::Alone);
                }
            }
            Said::Refreshed(end) => {
                if end.cookie.is_some() {
                    covered.clone_from(&end.cookie);
                }
                let rest = FeedEvent::Refreshing(std::mem::take(&mut batch));
                if !backlog.send(rest).await || !backlog.send(FeedEvent::Refreshed(end)).await {
                    return Ok(Left::Alone);
                }
            }
            Said::Live(changes, fresh) => {
                if changes.is_empty() && fresh.is_none() {
                    continue;
                }
                let event = FeedEvent::Live {
                    changes,
                    cookie: fresh.clone(),
                };
                match backlog.try_send(event) {
                    Ok(()) => covered = fresh.or(covered),
                    Err(Refused::Full) => return Ok(Left::Overflow(covered)),
                    Err(Refused::Gone) => return Ok(Left::Alone),
                }
            }
        }
    }
}

/// The next item. A refresh goes on or is given up; afterwards silence is the rule, and the connection's
/// keep-alive finds out about a server that is gone.
async fn next(stream: &mut SearchStream, persist: &Persist<'_>) -> Result<Option<SearchItem>, LdapError> {
    if persist.is_live() {
        return stream.next().await;
    }
    let mut next = std::pin::pin!(stream.next());
    tokio::select! {
        biased;
        item = &mut next => return item,
        // Nothing is there yet: only now a clock is needed.
        () = std::future::ready(()) => {}
    }
    timeout(SILENCE, next).await.unwrap_or(Err(LdapError::TimedOut))
}
