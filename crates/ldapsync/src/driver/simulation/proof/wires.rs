//! The simulated directory as the driver sees it: a feed, look-ups, and an outlet.

use super::super::fake;
use super::clock::Crash;
use super::server::{Shared, away, point};
use super::steps::Hidden;
use crate::driver::outlet::Outlet;
use crate::driver::sessions::Sessions;
use crate::driver::{AddressLookup, Remotes};
use directory::ConnectorConfig;
use directory::Lookup;
use directory::config::Direction;
use directory::feed::{
    ChangeSource, Changes, Cookie, FeedError, FeedEvent, Fingerprint, Following, Presence, Step,
};
use directory::write::{Answered, Schema, Vocabulary, Write, WriteError, Written};
use model::{Address, BoxFuture, EntryUuid};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Source {
    server: Shared,
    crash: Arc<Crash>,
    /// Which server has said how far it is.
    known: Option<u64>,
}

impl Source {
    /// One question to the server that answers now. As `directory`'s own link has it, another one than the one that
    /// said how far it is gives no answer.
    async fn look(&self) -> Result<(), FeedError> {
        point(&self.crash).await;
        let mut server = self.server.lock();
        server.look();
        let another = self.known.is_some_and(|known| known != server.turns);
        if another && !crate::broken::is(crate::broken::Broken::AnotherServerBelieved) {
            return Err(FeedError::Unavailable(away()));
        }
        Ok(())
    }
}

impl ChangeSource for Source {
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>> {
        Box::pin(async move {
            self.look().await?;
            let steps = self.server.lock().steps(cookie)?;
            let (sender, changes) = Changes::channel();
            tokio::spawn(async move {
                for step in steps {
                    if !sender.send(step).await {
                        return;
                    }
                }
            });
            Ok(changes)
        })
    }

    fn follow<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Following, FeedError>> {
        Box::pin(async move {
            // Listening begins before the refresh, so nothing falls between the two.
            let mut live = self.server.lock().listen();
            let mut changes = self.poll(cookie).await?;
            Ok(Following::read_by(|backlog| async move {
                while let Some(step) = changes.next().await {
                    let event = match step {
                        Ok(Step::Changes(list)) => FeedEvent::Refreshing(list),
                        Ok(Step::Done(end)) => FeedEvent::Refreshed(end),
                        Err(error) => return backlog.fail(error),
                    };
                    if !backlog.send(event).await {
                        return;
                    }
                }
                while let Some((change, cookie)) = live.recv().await {
                    let event = FeedEvent::Live {
                        changes: vec![change],
                        cookie: Some(cookie),
                    };
                    if !backlog.send(event).await {
                        return;
                    }
                }
                backlog.fail(FeedError::Unavailable(away()));
            }))
        })
    }

    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>> {
        Box::pin(async move {
            self.look().await?;
            let server = self.server.lock();
            if server.faults.no_look_ups {
                return Err(FeedError::Unavailable(away()));
            }
            Ok(uuids.iter().map(|uuid| server.presence(*uuid)).collect())
        })
    }

    fn can_read<'a>(&'a mut self, _dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        Box::pin(async move {
            self.look().await?;
            let hidden = self.server.lock().hidden;
            Ok(!matches!(hidden, Hidden::Everything | Hidden::Accounts))
        })
    }

    fn identity<'a>(&'a mut self, _dn: &'a str) -> BoxFuture<'a, Result<Option<EntryUuid>, FeedError>> {
        // What stands above the entries is no entry of these schedules.
        Box::pin(async { Ok(None) })
    }

    fn shows_below<'a>(&'a mut self, _dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        Box::pin(async { Ok(false) })
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        Box::pin(async move {
            point(&self.crash).await;
            let mut server = self.server.lock();
            server.look();
            self.known = Some(server.turns);
            let csn = fake::csn_text(server.says());
            Ok(Fingerprint {
                suffix: "dc=test".to_owned(),
                suffix_uuid: EntryUuid::from_bytes([0xee; 16]),
                context_csns: BTreeMap::from([("001".to_owned(), csn)]),
            })
        })
    }
}

struct Pen {
    server: Shared,
    crash: Arc<Crash>,
    words: Vocabulary,
}

impl Outlet for Pen {
    fn vocabulary(&self) -> &Vocabulary {
        &self.words
    }

    fn schema(&self) -> BoxFuture<'_, Result<Arc<Schema>, WriteError>> {
        Box::pin(async move {
            point(&self.crash).await;
            Ok(Arc::new(Schema::everything()))
        })
    }

    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            // Nobody but us knows of it yet.
            point(&self.crash).await;
            let answer = self.server.lock().take(write, &self.words);
            // It is done, whoever listens was told, and we do not know yet.
            point(&self.crash).await;
            answer
        })
    }

    fn write_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for write in &writes {
                answers.push(self.write(write).await);
            }
            answers
        })
    }

    // Each as it comes: what is written down of one goes on beside the next, and the process dies between two of them.
    fn write_each(&self, writes: Vec<Write>, answered: Answered) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for (number, write) in writes.iter().enumerate() {
                // Whoever asked may have gone.
                let _ = answered.send((number, self.write(write).await));
            }
        })
    }
}

fn look_up(server: &Shared, address: &Address) -> Lookup {
    let server = server.lock();
    if server.faults.no_look_ups {
        return Lookup::Unavailable(away());
    }
    let has = |person: &fake::Person| {
        let named = person.address == *address || person.aliases.contains(address);
        person.in_scope && !person.broken && named
    };
    let found: Vec<fake::Person> = server.visible().filter(has).collect();
    match found.as_slice() {
        [] => Lookup::NotFound,
        [one] => Lookup::Found(Box::new(fake::account(one))),
        several => Lookup::Ambiguous(several.iter().map(|person| person.dn.clone()).collect()),
    }
}

/// The directory's side of one connector.
pub(super) fn remotes(server: &Shared, crash: &Arc<Crash>, config: &ConnectorConfig) -> Remotes {
    let (feed, members, lookups) = (Arc::clone(server), Arc::clone(server), Arc::clone(server));
    let (reading, looking) = (Arc::clone(crash), Arc::clone(crash));
    let outlet = (config.direction != Direction::LdapToLocal).then(|| {
        let pen = Pen {
            server: Arc::clone(server),
            crash: Arc::clone(crash),
            words: Vocabulary::new(config).expect("a mapping"),
        };
        Arc::new(pen) as Arc<dyn Outlet>
    });
    let address: AddressLookup = Arc::new(move |wanted| {
        let (server, crash) = (Arc::clone(&lookups), Arc::clone(&looking));
        Box::pin(async move {
            point(&crash).await;
            look_up(&server, &wanted)
        })
    });
    Remotes {
        source: Arc::new(move || {
            Box::new(Source {
                server: Arc::clone(&feed),
                crash: Arc::clone(&reading),
                known: None,
            })
        }),
        members: Arc::new(move |dns| {
            let found = members.lock().resolve(&dns);
            Box::pin(async move { Ok(found) })
        }),
        holder: super::super::always_told(&address),
        address,
        passwords: Arc::new(|_, _| directory::PasswordSeen::default()),
        sessions: Sessions {
            changed: Arc::new(|_| {}),
            ended: Arc::new(|_, _, _| {}),
        },
        outlet,
    }
}
