//! Reading: everything at once, what changed since a position, and both for as long as somebody listens.

use super::super::following::{Backlog, FeedEvent};
use super::super::link::{Asker, VERIFY_AT_ONCE};
use super::super::read::told;
use super::super::{Change, ChangesSender, Coverage, FeedError, PollEnd, Presence, Step};
use super::dir_sync::{self, Refused};
use super::{Controller, Named, Position, State, Way, controller, notification, usn};
use crate::account::entry_uuid;
use crate::config::SearchScope;
use crate::connector::ServerIndex;
use crate::patterns::{EntryKind, equality};
use ldap::control::DirSyncRights;
use ldap::{Client, Entry, Filter, Scope, SearchRequest};
use model::{EntryUuid, Unavailable};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Changes that come in a row are asked for together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The classes of what entries stand below. One that is renamed or moved takes them along without a word.
const CONTAINERS: [&str; 2] = ["organizationalUnit", "container"];

/// Where the changes go.
pub(super) enum Sink {
    Poll(ChangesSender),
    Stay(Backlog),
}

/// What is asked of all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Entries,
    Names,
}

/// Nobody reads any more: the task ends without a word.
struct Alone;

/// Why reading ends.
enum End {
    Alone,
    Failed(FeedError),
}

impl From<Alone> for End {
    fn from(_: Alone) -> Self {
        Self::Alone
    }
}

impl From<FeedError> for End {
    fn from(error: FeedError) -> Self {
        Self::Failed(error)
    }
}

/// What comes of an end: an error only when there is somebody to tell.
fn ended(end: Result<(), End>) -> Result<(), FeedError> {
    match end {
        Ok(()) | Err(End::Alone) => Ok(()),
        Err(End::Failed(error)) => Err(error),
    }
}

impl Sink {
    pub(super) async fn fail(&mut self, error: FeedError) {
        match self {
            Self::Poll(sender) => drop(sender.send(Err(error)).await),
            Self::Stay(backlog) => backlog.fail(error),
        }
    }

    /// Changes of a refresh.
    async fn changes(&mut self, changes: Vec<Change>) -> Result<(), Alone> {
        if changes.is_empty() {
            return Ok(());
        }
        let taken = match self {
            Self::Poll(sender) => sender.send(Ok(Step::Changes(changes))).await,
            Self::Stay(backlog) => backlog.send(FeedEvent::Refreshing(changes)).await,
        };
        if taken { Ok(()) } else { Err(Alone) }
    }

    async fn done(&mut self, end: PollEnd) -> Result<(), Alone> {
        let taken = match self {
            Self::Poll(sender) => sender.send(Ok(Step::Done(end))).await,
            Self::Stay(backlog) => backlog.send(FeedEvent::Refreshed(end)).await,
        };
        if taken { Ok(()) } else { Err(Alone) }
    }

    async fn event(&mut self, event: FeedEvent) -> Result<(), Alone> {
        match self {
            Self::Stay(backlog) if !backlog.send(event).await => Err(Alone),
            _ => Ok(()),
        }
    }
}

/// One connection at work.
pub(super) struct Reader {
    asker: Asker,
    controller: Controller,
    state: Arc<Mutex<State>>,
}

impl Reader {
    pub(super) fn new(asker: Asker, controller: Controller, state: Arc<Mutex<State>>) -> Self {
        Self {
            asker,
            controller,
            state,
        }
    }

    pub(super) fn server(&self) -> ServerIndex {
        self.asker.server
    }

    /// One poll.
    pub(super) async fn poll(&self, from: Option<Position>, sink: &mut Sink) -> Result<(), FeedError> {
        ended(self.refresh(from, sink).await.map(drop))
    }

    /// A refresh, and then every change as it happens.
    pub(super) async fn follow(
        &self,
        from: Option<Position>,
        bell: Client,
        sink: &mut Sink,
    ) -> Result<(), FeedError> {
        let rung = Arc::new(Notify::new());
        // The bell hangs before the refresh begins, so that nothing falls between the two.
        let mut listener = JoinSet::new();
        let suffix = self.controller.suffix.clone();
        listener.spawn(notification::listen(bell, suffix, Arc::clone(&rung)));
        tokio::select! {
            end = self.stay(from, &rung, sink) => ended(end),
            silent = listener.join_next() => {
                let gone = || FeedError::Unavailable(Unavailable("nobody listens for changes".to_owned()));
                match silent {
                    Some(Ok(Err(error))) => Err(error),
                    _ => Err(gone()),
                }
            }
        }
    }

    async fn stay(&self, from: Option<Position>, rung: &Notify, sink: &mut Sink) -> Result<(), End> {
        let mut position = self.refresh(from, sink).await?;
        let interval = Duration::from_secs(self.asker.connector.config().polling_interval);
        loop {
            let by_clock = tokio::select! {
                () = rung.notified() => false,
                () = sleep(interval) => true,
            };
            if self.count_is_due() {
                sink.event(FeedEvent::Resuming).await?;
                position = self.refresh(Some(position), sink).await?;
                continue;
            }
            if !by_clock {
                sleep(DEBOUNCE).await;
            }
            let mut changes = Vec::new();
            position = self.since(position, &mut changes, None).await?;
            let cookie = position.to_cookie();
            if changes.is_empty() {
                // What changed elsewhere in the domain moves the cookie; that is told by the clock only.
                if by_clock {
                    sink.event(FeedEvent::Live { changes, cookie }).await?;
                }
                continue;
            }
            let mut rest = changes.into_iter().peekable();
            while rest.peek().is_some() {
                let changes = rest.by_ref().take(VERIFY_AT_ONCE).collect();
                // The cookie covers all of them, so it comes with the last.
                let cookie = cookie.clone().filter(|_| rest.peek().is_none());
                sink.event(FeedEvent::Live { changes, cookie }).await?;
            }
        }
    }

    /// Everything, or what changed since a position. Answers where the feed stands then.
    async fn refresh(&self, from: Option<Position>, sink: &mut Sink) -> Result<Position, End> {
        let (position, coverage) = match self.usable(from).await? {
            None => {
                let begin = self.now().await?;
                self.everything(sink).await?;
                (begin, Coverage::Everything)
            }
            Some(position) if self.count_is_due() => {
                self.present(sink).await?;
                (position, Coverage::Everything)
            }
            Some(position) => (position, Coverage::NamedDeletes),
        };
        let mut changes = Vec::new();
        let position = self.since(position, &mut changes, Some(&mut *sink)).await?;
        sink.changes(changes).await?;
        if coverage == Coverage::Everything {
            self.state.lock().counted = Some(self.asker.connector.clock().monotonic());
        }
        let cookie = position.to_cookie();
        sink.done(PollEnd { cookie, coverage }).await?;
        Ok(position)
    }

    /// A position from which the changes can be told. By change number it is worth nothing at another
    /// controller, nor when DirSync is offered, which is asked first: after a restart nothing is known.
    async fn usable(&self, from: Option<Position>) -> Result<Option<Position>, FeedError> {
        let Some(position) = from else { return Ok(None) };
        if position.dir_sync.is_some() {
            return Ok(Some(position).filter(|_| self.way() != Way::Usn));
        }
        if self.way() != Way::Usn {
            self.now().await?;
        }
        let here = position.invocation == self.controller.invocation;
        Ok(Some(position).filter(|_| self.way() == Way::Usn && here))
    }

    fn way(&self) -> Way {
        self.state.lock().way
    }

    /// Whether deletions are told only by counting, and it is time to.
    fn count_is_due(&self) -> bool {
        let state = self.state.lock();
        if state.way == Way::DirSync(DirSyncRights::Replication) {
            return false;
        }
        let interval = Duration::from_secs(self.asker.connector.config().audit_interval);
        let now = self.asker.connector.clock().monotonic();
        state
            .counted
            .is_none_or(|counted| now.saturating_sub(counted) >= interval)
    }

    /// Where a feed stands that begins now. A filter that nothing matches keeps the answer of DirSync empty.
    async fn now(&self) -> Result<Position, FeedError> {
        let nothing = Filter::Not(Box::new(Filter::Present("objectClass".to_owned())));
        let mut cookie = Vec::new();
        loop {
            if self.way() == Way::Usn {
                return self.position(None).await;
            }
            let Some(answer) = self.dir_sync(nothing.clone(), &cookie).await? else {
                continue;
            };
            cookie = answer.cookie;
            if !answer.more {
                return self.position(Some(cookie)).await;
            }
        }
    }

    /// A position with the controller's number of this moment.
    async fn position(&self, dir_sync: Option<Vec<u8>>) -> Result<Position, FeedError> {
        let now = controller(&self.asker).await?;
        Ok(Position {
            invocation: now.invocation,
            usn: now.usn,
            dir_sync,
        })
    }

    /// One question of DirSync; none when it has to be asked in another way now.
    async fn dir_sync(&self, filter: Filter, cookie: &[u8]) -> Result<Option<dir_sync::Answer>, FeedError> {
        let Way::DirSync(rights) = self.way() else {
            return Ok(None);
        };
        let suffix = &self.controller.suffix;
        let name = self.asker.connector.name();
        match dir_sync::ask(&self.asker, suffix, filter, rights, cookie).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Refused::Rights) if rights == DirSyncRights::Replication => {
                tracing::warn!(connector = %name, "bind_dn has not the right \"Replicating Directory Changes\": deletions are noticed every audit_interval only");
                self.state.lock().way = Way::DirSync(DirSyncRights::ObjectSecurity);
                Ok(None)
            }
            Err(Refused::Rights | Refused::NotOffered) => {
                tracing::warn!(connector = %name, "the server refuses DirSync: changes are found by uSNChanged");
                self.state.lock().way = Way::Usn;
                // A cookie of DirSync leads nowhere now.
                match cookie {
                    [] => Ok(None),
                    _ => Err(FeedError::RefreshRequired),
                }
            }
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    /// What changed since a position, and the position after it. With a sink, what has been read is handed over
    /// whenever there is enough of it.
    async fn since(
        &self,
        mut position: Position,
        changes: &mut Vec<Change>,
        mut sink: Option<&mut Sink>,
    ) -> Result<Position, End> {
        loop {
            let (named, next, more) = match &position.dir_sync {
                Some(cookie) => {
                    let Some(answer) = self.dir_sync(self.listened_for(), cookie).await? else {
                        continue;
                    };
                    let next = self.position(Some(answer.cookie)).await?;
                    (answer.named, next, answer.more)
                }
                None => {
                    // The number first: what changes meanwhile comes twice rather than never.
                    let next = self.position(None).await?;
                    let suffix = &self.controller.suffix;
                    let named = usn::ask(&self.asker, suffix, self.listened_for(), position.usn).await?;
                    (named, next, false)
                }
            };
            self.read(named, changes, &mut sink).await?;
            position = next;
            if !more {
                return Ok(position);
            }
        }
    }

    /// Accounts, groups, and what they stand below. The further filters and the bases count for whole entries
    /// only: an object that left them must be named too.
    fn listened_for(&self) -> Filter {
        let patterns = self.asker.connector.patterns();
        let halves = [Some(&patterns.accounts), patterns.groups.as_ref()];
        let classes = halves.into_iter().flatten().map(|half| half.object_class());
        Filter::Or(
            classes
                .chain(CONTAINERS)
                .map(|class| equality("objectClass", class))
                .collect(),
        )
    }

    /// Reads named objects whole.
    async fn read(
        &self,
        named: Named,
        changes: &mut Vec<Change>,
        sink: &mut Option<&mut Sink>,
    ) -> Result<(), End> {
        let mut living: Vec<EntryUuid> = Vec::new();
        for (uuid, deleted) in named.0 {
            if deleted {
                changes.push(Change::Deleted(uuid));
            } else {
                living.push(uuid);
            }
        }
        for part in living.chunks(VERIFY_AT_ONCE) {
            let found = self.asker.look(&self.controller.suffix, part).await?;
            for (uuid, presence) in part.iter().zip(found) {
                match presence {
                    Presence::Gone => changes.push(Change::Deleted(*uuid)),
                    Presence::InScope(entry) => changes.push(Change::Entry(entry)),
                    Presence::OutOfScope(entry) => {
                        if is_container(&entry) {
                            self.below(&entry, changes, sink).await?;
                        } else {
                            changes.push(self.outside(*uuid, *entry).await?);
                        }
                    }
                }
            }
            self.hand_over(changes, sink).await?;
        }
        self.hand_over(changes, sink).await
    }

    async fn hand_over(&self, changes: &mut Vec<Change>, sink: &mut Option<&mut Sink>) -> Result<(), End> {
        if let Some(sink) = sink.as_mut().filter(|_| changes.len() >= VERIFY_AT_ONCE) {
            sink.changes(std::mem::take(changes)).await?;
        }
        Ok(())
    }

    /// An entry that is not, or not any more, the connector's.
    async fn outside(&self, uuid: EntryUuid, entry: Entry) -> Result<Change, FeedError> {
        let mut entry = self.asker.read(uuid, entry).await?;
        // The further filter may be all that it fails.
        entry.kind = None;
        Ok(Change::Entry(Box::new(entry)))
    }

    /// A container was made, renamed or moved: everything below it has another name now, or is inside of the
    /// bases, or outside, without an event of its own.
    async fn below(
        &self,
        container: &Entry,
        changes: &mut Vec<Change>,
        sink: &mut Option<&mut Sink>,
    ) -> Result<(), End> {
        let filter = self.asker.connector.patterns().feed_filter();
        let request = SearchRequest::new(container.dn.as_str(), Scope::Subtree, filter)
            .attributes(self.asker.attributes());
        let page_size = self.asker.connector.config().page_size;
        let failed = |error: ldap::LdapError| told(&error, None);
        let mut pages = self
            .asker
            .client
            .search_paged(request, page_size)
            .await
            .map_err(failed)?;
        while let Some(item) = pages.next().await.map_err(failed)? {
            let Some(found) = self.asker.found(item).await? else {
                continue;
            };
            let Some(uuid) = entry_uuid(&found.entry) else {
                continue;
            };
            let entry = self.asker.read_found(uuid, found).await?;
            changes.push(Change::Entry(Box::new(entry)));
            self.hand_over(changes, sink).await?;
        }
        Ok(())
    }

    /// All entries in scope, whole.
    async fn everything(&self, sink: &mut Sink) -> Result<(), End> {
        self.scan(Wanted::Entries, sink).await
    }

    /// The names of all entries in scope.
    async fn present(&self, sink: &mut Sink) -> Result<(), End> {
        self.scan(Wanted::Names, sink).await
    }

    async fn scan(&self, wanted: Wanted, sink: &mut Sink) -> Result<(), End> {
        let attributes: Vec<String> = match wanted {
            Wanted::Entries => self.asker.attributes().collect(),
            Wanted::Names => vec!["objectGUID".to_owned()],
        };
        let patterns = self.asker.connector.patterns();
        let page_size = self.asker.connector.config().page_size;
        let failed = |error: ldap::LdapError| told(&error, None);
        for kind in [EntryKind::Account, EntryKind::Group] {
            let Some(half) = patterns.half(kind) else { continue };
            let scope = match half.scope {
                SearchScope::One => Scope::OneLevel,
                SearchScope::Sub => Scope::Subtree,
            };
            for base in &half.bases {
                let request = SearchRequest::new(base.to_string(), scope, half.filter())
                    .attributes(attributes.iter().cloned());
                let mut pages = self
                    .asker
                    .client
                    .search_paged(request, page_size)
                    .await
                    .map_err(failed)?;
                let mut changes = Vec::new();
                while let Some(item) = pages.next().await.map_err(failed)? {
                    let Some(found) = self.asker.found(item).await? else {
                        continue;
                    };
                    let uuid = entry_uuid(&found.entry).ok_or_else(|| {
                        FeedError::Protocol(format!("the objectGUID of {} cannot be read", found.entry.dn))
                    })?;
                    changes.push(match wanted {
                        Wanted::Names => Change::Present(uuid),
                        Wanted::Entries => Change::Entry(Box::new(self.asker.read_found(uuid, found).await?)),
                    });
                    if changes.len() >= VERIFY_AT_ONCE {
                        sink.changes(std::mem::take(&mut changes)).await?;
                    }
                }
                sink.changes(changes).await?;
            }
        }
        Ok(())
    }
}

fn is_container(entry: &Entry) -> bool {
    CONTAINERS.iter().any(|class| entry.has_object_class(class))
}
