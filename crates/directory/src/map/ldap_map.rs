//! The LDAP kinds of user map: a lookup, and what is remembered of it.

use super::live::{Found as LiveFound, LiveAnswer, LiveMap};
use super::{Answer, Caching, Freshness, Question, Route, RoutedHome, Source};
use crate::account::{DirectoryAccount, Host};
use crate::config::UserMapConfig;
use crate::connector::{Connector, Found, Trace};
use crate::{EntryKind, HomeRef};
use model::{Address, Clock, EntryUuid, Unavailable};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Answers kept; one takes about 200 octets.
const CACHE_ENTRIES: usize = 200_000;

pub(super) struct LdapMap {
    name: Arc<str>,
    connector: Arc<Connector>,
    live: Option<Arc<LiveMap>>,
    /// Answers, with the count of changes before each.
    cache: Mutex<TtlCache<String, (Known, u64)>>,
    positive: Duration,
    negative: Duration,
    stale: Duration,
}

/// A definite answer of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Home {
        home: HomeRef,
        address: Address,
        kind: EntryKind,
        entry: EntryUuid,
    },
    NoSuchAccount,
}

/// What a lookup means for routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Remember it.
    Known(Known),
    /// Say it, and ask again next time.
    Say(Route),
    /// Only something remembered can help.
    Away(Unavailable),
}

impl LdapMap {
    pub(super) fn new(
        config: &UserMapConfig,
        connector: Arc<Connector>,
        live: Option<Arc<LiveMap>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name: config.name.as_str().into(),
            connector,
            live,
            cache: Mutex::new(TtlCache::new(clock, CACHE_ENTRIES)),
            positive: Duration::from_secs(config.cache_ttl),
            negative: Duration::from_secs(config.negative_ttl),
            stale: Duration::from_secs(config.stale_for),
        }
    }

    /// The answer, and what of the live replica it comes from.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        caching: Caching,
        trace: &mut Trace,
    ) -> (Answer, Option<LiveFound>) {
        let otherwise = match self.live.as_ref().map(|live| live.find(question)) {
            Some(LiveAnswer::Now(Decision::Known(known), freshness, found)) => {
                return (self.answer(known, freshness), Some(found));
            }
            Some(LiveAnswer::Now(Decision::Say(route), _, found)) => {
                return (Answer::Route(route), Some(found));
            }
            Some(LiveAnswer::Now(Decision::Away(_), ..)) | None => None,
            Some(LiveAnswer::Ask { otherwise }) => otherwise,
        };
        (self.ask_server(question, caching, otherwise, trace).await, None)
    }

    async fn ask_server(
        &self,
        question: Question<'_>,
        caching: Caching,
        otherwise: Option<Known>,
        trace: &mut Trace,
    ) -> Answer {
        let key = match question {
            Question::Address(address) => address.key(),
            // An address can be typed as a login, but it is looked up by another pattern.
            Question::Login(login) => format!("login\0{}", login.to_ascii_lowercase()),
        };
        let changes = self.changes();
        if caching == Caching::Use
            && let Cached::Fresh((known, seen)) = self.cache.lock().get(&key)
            && *seen == changes
        {
            return self.answer(known.clone(), Freshness::Cache);
        }
        let found = match question {
            Question::Address(address) => self.connector.find_address(address, trace).await,
            Question::Login(login) => self.connector.find_login(login, &[], trace).await,
        };
        match decide(found) {
            Decision::Known(known) => {
                // A stale source may answer yes, never no: a negative answer is not kept beyond its time.
                let (fresh, stale) = match &known {
                    Known::Home { .. } => (self.positive, self.stale),
                    Known::NoSuchAccount => (self.negative, Duration::ZERO),
                };
                let kept = (known.clone(), changes);
                self.cache.lock().insert(key, kept, fresh, stale);
                self.answer(known, Freshness::Server)
            }
            Decision::Say(route) => {
                self.cache.lock().remove(&key);
                Answer::Route(route)
            }
            Decision::Away(why) => match otherwise.or_else(|| self.remembered(&key)) {
                Some(known) => self.answer(known, Freshness::Stale),
                None => Answer::Route(Route::Unavailable(why)),
            },
        }
    }

    /// A home that the directory gave earlier.
    fn remembered(&self, key: &str) -> Option<Known> {
        match self.cache.lock().get(key) {
            Cached::Fresh((known @ Known::Home { .. }, _))
            | Cached::Stale((known @ Known::Home { .. }, _)) => Some(known.clone()),
            _ => None,
        }
    }

    /// What the change feed has told so far: an answer remembered from before is not fresh any more.
    fn changes(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.changes())
    }

    /// The live replica, when the map has one.
    pub(super) fn live(&self) -> Option<&Arc<LiveMap>> {
        self.live.as_ref()
    }

    fn answer(&self, known: Known, freshness: Freshness) -> Answer {
        match known {
            Known::NoSuchAccount => Answer::NoMatch,
            Known::Home {
                home,
                address,
                kind,
                entry,
            } => Answer::Route(Route::Home(RoutedHome {
                home,
                address,
                kind,
                entry: Some(entry),
                source: Source {
                    map: Arc::clone(&self.name),
                    freshness,
                },
            })),
        }
    }
}

fn decide(found: Found) -> Decision {
    match found {
        Found::One(found) => decide_account(found.0),
        Found::None => Decision::Known(Known::NoSuchAccount),
        Found::Several(dns) => Decision::Say(Route::Ambiguous(dns)),
        Found::Unavailable(why) => Decision::Away(why),
    }
}

/// The route of one entry.
pub(super) fn decide_account(account: DirectoryAccount) -> Decision {
    let home = match &account.host {
        Host::One(text) => HomeRef::parse(text).ok(),
        Host::None | Host::Several(_) => None,
    };
    decide_host(
        home.as_ref(),
        &account.host,
        account.address,
        account.kind,
        account.uuid,
    )
}

/// The route of an entry with this host, which stands for this home.
pub(super) fn decide_host(
    home: Option<&HomeRef>,
    host: &Host,
    address: Address,
    kind: EntryKind,
    entry: EntryUuid,
) -> Decision {
    match (home, host) {
        (Some(home), Host::One(_)) => Decision::Known(Known::Home {
            home: home.clone(),
            address,
            kind,
            entry,
        }),
        (_, Host::None) => {
            tracing::error!(%entry, %address, "the entry has no host attribute, so its mail cannot be routed");
            Decision::Say(Route::NoHome { kind })
        }
        (_, Host::Several(hosts)) => {
            tracing::error!(%entry, %address, ?hosts, "the entry names more than one host");
            Decision::Say(Route::Ambiguous(hosts.clone()))
        }
        (None, Host::One(text)) => {
            tracing::error!(%entry, %address, host = ?text, "the entry's host attribute is no home");
            Decision::Say(Route::NoHome { kind })
        }
    }
}
