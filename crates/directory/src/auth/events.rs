//! What happened to accounts, for whoever holds their sessions.

use model::{Address, Clock, EntryUuid};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Events that a slow listener may be behind by; past that it hears that it missed some.
const WAITING: usize = 4096;

/// Something that sessions of an account may not outlive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEvent {
    /// The directory entry.
    pub entry: EntryUuid,
    /// Its address, where whoever noticed knows it.
    pub address: Option<Address>,
    /// What happened.
    pub kind: AccountEventKind,
    /// When it was noticed, on the monotonic clock: a session that began later is not meant.
    pub at: Duration,
}

/// What happened to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountEventKind {
    /// It has another password now, and not only another hash of the same one.
    PasswordChanged,
    /// It may not log in any more: switched off, or its time is over.
    Disabled,
    /// It is gone.
    Deleted,
    /// Its home is another one.
    Moved {
        /// The host that the entry names now; none when it names none or several.
        to: Option<String>,
    },
    /// It was an account of this server, and is one of another home now.
    MovedAway {
        /// The host that the entry names now.
        to: String,
    },
}

/// Tells whoever listens what happened to accounts. Clones are one and the same.
#[derive(Clone)]
pub struct AccountEvents {
    clock: Arc<dyn Clock>,
    sender: broadcast::Sender<AccountEvent>,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// One event.
    Event(AccountEvent),
    /// So many events passed by unheard: every session has to be checked again.
    Missed(u64),
}

/// One listener.
#[derive(Debug)]
pub struct AccountEventStream(broadcast::Receiver<AccountEvent>);

impl AccountEvents {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (sender, _) = broadcast::channel(WAITING);
        Self { clock, sender }
    }

    /// Tells everybody. Never waits; an event that nobody listens to is nobody's loss.
    pub fn publish(&self, entry: EntryUuid, address: Option<Address>, kind: AccountEventKind) {
        self.publish_before(self.clock.monotonic(), entry, address, kind);
    }

    /// The same for what was so at this earlier moment already.
    pub(crate) fn publish_before(
        &self,
        at: Duration,
        entry: EntryUuid,
        address: Option<Address>,
        kind: AccountEventKind,
    ) {
        tracing::debug!(%entry, ?kind, "sessions of this account are not good any more");
        let _ = self.sender.send(AccountEvent {
            entry,
            address,
            kind,
            at,
        });
    }

    /// Hears what is published from now on.
    #[must_use]
    pub fn subscribe(&self) -> AccountEventStream {
        AccountEventStream(self.sender.subscribe())
    }
}

impl std::fmt::Debug for AccountEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountEvents({} listeners)", self.sender.receiver_count())
    }
}

impl AccountEventStream {
    /// The next event; none when the connector is gone. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManualClock, Timestamp};

    #[tokio::test]
    async fn a_slow_listener_hears_that_it_missed_some() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let events = AccountEvents::new(clock.clone());
        let entry = EntryUuid::from_bytes([1; 16]);
        events.publish(entry, None, AccountEventKind::Deleted);
        let mut listener = events.subscribe();
        clock.advance(Duration::from_secs(3));
        for _ in 0..=WAITING {
            events.publish(entry, None, AccountEventKind::PasswordChanged);
        }
        assert_eq!(listener.next().await, Some(Heard::Missed(1)));
        let Some(Heard::Event(event)) = listener.next().await else {
            panic!("the others are kept");
        };
        assert_eq!(event.kind, AccountEventKind::PasswordChanged);
        assert_eq!(event.at, Duration::from_secs(3));
        for _ in 1..WAITING {
            listener.next().await;
        }
        drop(events);
        assert_eq!(listener.next().await, None);
    }
}
