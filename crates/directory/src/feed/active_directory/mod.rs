//! The change feed of Active Directory: DirSync names what changed, a notification says when to ask.
//!
//! Where the right for DirSync is missing, the same is asked for with the rights of an ordinary account, and where
//! DirSync is not offered, by change number (`uSNChanged`). These two do not tell of deletions reliably, so every
//! `audit_interval` all entries in scope are counted over.
//!
//! A named object is read whole, by its objectGUID: DirSync shows only what changed of it. Never takes the numbers
//! of one domain controller for another's.
//!
//! Follows MS-ADTS sections 3.1.1.3.4.1.3 (DirSync), 3.1.1.3.4.1.9 (notification), 3.1.1.3.4.1.14 (show-deleted).

mod dir_sync;
mod notification;
mod position;
mod reader;
mod usn;

pub(super) use position::Position;

use super::link::{Asker, Link, whole};
use super::{ChangeSource, Changes, Cookie, FeedError, Fingerprint, Following, Presence};
use crate::account::{entry_uuid, guid_order};
use crate::connector::Connector;
use ldap::control::DirSyncRights;
use ldap::{Entry, ResultCode};
use model::{BoxFuture, EntryUuid};
use parking_lot::Mutex;
use reader::{Reader, Sink};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How the feed learns which objects changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    DirSync(DirSyncRights),
    Usn,
}

/// What was found out about the server, for the next poll.
#[derive(Debug)]
struct State {
    way: Way,
    /// When all entries were counted last, on the monotonic clock.
    counted: Option<Duration>,
}

/// A change feed over one connector. It stays with one domain controller as long as that answers.
pub(super) struct ActiveDirectory {
    connector: Arc<Connector>,
    link: Link,
    state: Arc<Mutex<State>>,
}

/// Objects by name alone, and whether each was deleted.
#[derive(Debug, Default)]
struct Named(HashMap<EntryUuid, bool>);

impl Named {
    fn add(&mut self, uuid: EntryUuid, deleted: bool) {
        self.0.insert(uuid, deleted);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Which server answers.
#[derive(Debug, Clone)]
struct Controller {
    suffix: String,
    invocation: EntryUuid,
    /// The number of its last change (`highestCommittedUSN`).
    usn: u64,
}

impl ActiveDirectory {
    pub(super) fn new(
        connector: Arc<Connector>,
        attributes: std::collections::BTreeSet<String>,
        rights: DirSyncRights,
    ) -> Self {
        let state = State {
            way: Way::DirSync(rights),
            counted: None,
        };
        Self {
            link: Link::new(Arc::clone(&connector), attributes),
            connector,
            state: Arc::new(Mutex::new(state)),
        }
    }

    async fn reader(&mut self) -> Result<Reader, FeedError> {
        let asker = self.link.asker().await?;
        self.link.judge(asker.require_bases().await)?;
        let controller = self.link.judge(controller(&asker).await)?;
        Ok(Reader::new(asker, controller, Arc::clone(&self.state)))
    }

    async fn start(&mut self, cookie: Option<&Cookie>) -> Result<Changes, FeedError> {
        let reader = self.reader().await?;
        let cookie = cookie.and_then(|cookie| Position::read(cookie.as_bytes()));
        Ok(Changes::read_by(move |sender| async move {
            let mut sink = Sink::Poll(sender);
            if let Err(error) = reader.poll(cookie, &mut sink).await {
                sink.fail(error).await;
            }
        }))
    }

    async fn stay(&mut self, cookie: Option<&Cookie>) -> Result<Following, FeedError> {
        if !self.connector.config().persist {
            return Ok(Following::polled(self.start(cookie).await?));
        }
        let reader = self.reader().await?;
        let bell = self
            .connector
            .persistent(reader.server())
            .await
            .map_err(FeedError::Unavailable)?;
        let cookie = cookie.and_then(|cookie| Position::read(cookie.as_bytes()));
        Ok(Following::read_by(move |backlog| async move {
            let mut sink = Sink::Stay(backlog);
            if let Err(error) = reader.follow(cookie, bell, &mut sink).await {
                sink.fail(error).await;
            }
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
        let controller = self.link.judge(controller(&asker).await)?;
        let entry = whole(&controller.suffix, ["objectGUID", "replUpToDateVector"]);
        let entry = self.link.judge(asker.ask(entry).await)?;
        let suffix = &controller.suffix;
        let entry = entry.ok_or_else(|| FeedError::Protocol(format!("the entry {suffix} cannot be read")))?;
        let uuid = entry_uuid(&entry)
            .ok_or_else(|| FeedError::Protocol(format!("the objectGUID of {suffix} cannot be read")))?;
        let others = entry.first("replUpToDateVector").map(AsRef::as_ref);
        let others = position::up_to_date_vector(others.unwrap_or_default());
        let mut numbers: BTreeMap<String, String> = others
            .into_iter()
            .map(|(invocation, usn)| (invocation.to_string(), position::number(usn)))
            .collect();
        numbers.insert(
            controller.invocation.to_string(),
            position::number(controller.usn),
        );
        Ok(Fingerprint {
            suffix: controller.suffix,
            suffix_uuid: uuid,
            context_csns: numbers,
        })
    }
}

/// Asks the server who it is and how far it has come.
async fn controller(asker: &Asker) -> Result<Controller, FeedError> {
    let request = whole("", ["namingContexts", "dsServiceName", "highestCommittedUSN"]);
    let root = asker.ask(request).await?;
    let suffix = asker.suffix_of(root.as_ref())?;
    let broken = |what: &str| FeedError::Protocol(format!("this is no domain controller: {what}"));
    let text = |name: &str| root.as_ref().and_then(|entry| entry.first_str(name));
    let usn = text("highestCommittedUSN").and_then(|text| text.parse().ok());
    let usn = usn.ok_or_else(|| broken("the root DSE has no highestCommittedUSN"))?;
    let service = text("dsServiceName").ok_or_else(|| broken("the root DSE has no dsServiceName"))?;
    let settings = match asker.try_ask(whole(service, ["invocationId"])).await? {
        Ok(entry) => entry,
        Err(error) if error.code() == Some(ResultCode::NoSuchObject) => None,
        Err(error) => return Err(super::read::told(&error, None)),
    };
    let invocation = settings
        .as_ref()
        .and_then(invocation)
        .ok_or_else(|| broken(&format!("the invocationId of {service} cannot be read")))?;
    Ok(Controller {
        suffix,
        invocation,
        usn,
    })
}

fn invocation(settings: &Entry) -> Option<EntryUuid> {
    let guid: [u8; 16] = settings.first("invocationId")?.as_ref().try_into().ok()?;
    Some(EntryUuid::from_bytes(guid_order(guid)))
}

impl ChangeSource for ActiveDirectory {
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
