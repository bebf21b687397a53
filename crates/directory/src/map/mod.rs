//! User maps: which back end is an account's home.
//!
//! Owns the ordered list of maps that a service asks ([`UserMaps`]), the maps themselves ([`UserMap`]), their
//! caches and the file format. Never guesses: a source that is away, or that gives two answers, ends the list.

mod file;
mod ldap_map;
mod live;
mod route;
#[cfg(test)]
mod tests;

pub use file::{LineError, Table, Target};
pub use live::LiveDriver;
pub use route::{Freshness, Route, RoutedHome, Source};

use crate::config::{MapKind, OnNoMatch, UserMapConfig};
use crate::connector::{Attempt, Connector, Trace, elapsed};
use crate::{EntryKind, HomeRef};
use file::FileMap;
use ldap_map::LdapMap;
use live::LiveMap;
use model::{Address, Clock, ConfigProblem};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One `[[user_map]]`. Services that name the same map share it and its cache.
pub struct UserMap {
    config: UserMapConfig,
    default_home: Option<HomeRef>,
    source: MapSource,
    clock: Arc<dyn Clock>,
}

enum MapSource {
    File(FileMap),
    Ldap(LdapMap),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Question<'a> {
    Address(&'a Address),
    Login(&'a str),
}

/// Whether answers of the cache will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caching {
    Use,
    /// Ask the source; the cache only helps out when it is away.
    AskSource,
}

/// What one map says, before `on_no_match`.
enum Answer {
    Route(Route),
    NoMatch,
}

/// What one map did, for `homing route explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainStep {
    /// The map's name.
    pub map: String,
    /// Its kind, as in the configuration.
    pub kind: &'static str,
    /// The searches it made.
    pub searches: Vec<Attempt>,
    /// The rule of the file that matched, or what a live map holds.
    pub rule: Option<String>,
    /// What it said, and what follows.
    pub answer: String,
    /// How long it took.
    pub took: Duration,
}

/// All steps to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The maps that were asked, in order.
    pub steps: Vec<ExplainStep>,
    /// The answer.
    pub route: Route,
}

impl UserMap {
    /// A map. `connector` is the one that an LDAP kind names; a `local-file` has none. Reads the file.
    pub fn new(
        config: UserMapConfig,
        connector: Option<Arc<Connector>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        Self::build(config, connector, None, clock)
    }

    /// The same; a live map keeps its snapshot in this folder, and starts from it.
    pub fn with_snapshots(
        config: UserMapConfig,
        connector: Option<Arc<Connector>>,
        folder: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        Self::build(config, connector, Some(folder), clock)
    }

    fn build(
        config: UserMapConfig,
        connector: Option<Arc<Connector>>,
        snapshots: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        let names: Vec<&str> = connector.iter().map(|connector| connector.name()).collect();
        let problems = config.check(&names);
        if !problems.is_empty() {
            return Err(problems);
        }
        let source = match (config.kind, connector) {
            (MapKind::LocalFile, _) => {
                let path = config.path.clone().unwrap_or_default();
                let file = FileMap::open(path, config.domain_aliases.clone(), Arc::clone(&clock))
                    .map_err(|message| vec![ConfigProblem::new("path", message)])?;
                MapSource::File(file)
            }
            (MapKind::LdapPassword | MapKind::LdapBind, Some(connector)) => {
                if !connector.config().has_host() {
                    let message = format!(
                        "connector {:?} has no attributes.host, so it cannot tell anybody's home",
                        connector.name()
                    );
                    return Err(vec![ConfigProblem::new("connector", message)]);
                }
                let live = match config.live {
                    true => Some(
                        LiveMap::new(&config, Arc::clone(&connector), Arc::clone(&clock), snapshots)
                            .map_err(|problem| vec![problem])?,
                    ),
                    false => None,
                };
                MapSource::Ldap(LdapMap::new(&config, connector, live, Arc::clone(&clock)))
            }
            (_, None) => {
                return Err(vec![ConfigProblem::new(
                    "connector",
                    "this kind needs a connector",
                )]);
            }
        };
        let default_home = config
            .default_home
            .as_deref()
            .and_then(|text| HomeRef::parse(text).ok());
        Ok(Arc::new(Self {
            config,
            default_home,
            source,
            clock,
        }))
    }

    /// The map's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What is wrong with the map now, while what it knew before is in force: its file, or the feed of a live map.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match &self.source {
            MapSource::File(file) => file.problem(),
            MapSource::Ldap(map) => map.live().and_then(|live| live.problem()),
        }
    }

    /// What keeps a live map right; it is to run as long as the map is used. None for other maps.
    #[must_use]
    pub fn live_driver(&self) -> Option<LiveDriver> {
        match &self.source {
            MapSource::File(_) => None,
            MapSource::Ldap(map) => map.live().map(|live| LiveDriver::new(Arc::clone(live))),
        }
    }

    /// A home of the map that names a port, if there is one: an error where several protocols use the map.
    #[must_use]
    pub fn home_with_port(&self) -> Option<HomeRef> {
        let file = match &self.source {
            MapSource::File(file) => file.table().homes_with_port().next().cloned(),
            MapSource::Ldap(_) => None,
        };
        file.or_else(|| self.default_home.clone().filter(|home| home.port().is_some()))
    }

    async fn ask(
        &self,
        question: Question<'_>,
        caching: Caching,
        trace: &mut Trace,
    ) -> (Answer, Option<String>) {
        match (&self.source, question) {
            (MapSource::Ldap(map), question) => {
                let (answer, found) = map.ask(question, caching, trace).await;
                let rule = found.filter(|_| trace.is_on()).map(|found| found.to_string());
                (answer, rule)
            }
            (MapSource::File(file), question) => {
                let parsed;
                let address = match question {
                    Question::Address(address) => address,
                    Question::Login(login) => match Address::parse(login) {
                        Ok(address) => {
                            parsed = address;
                            &parsed
                        }
                        // A bare login is in no file of addresses.
                        Err(_) => return (Answer::NoMatch, None),
                    },
                };
                match file.find(address).await {
                    None => (Answer::NoMatch, None),
                    Some(found) => {
                        let route = match found.target {
                            Target::Reject => Route::Rejected,
                            Target::Home(home) => self.home(home, address.clone(), Freshness::File),
                        };
                        (Answer::Route(route), Some(found.rule.to_string()))
                    }
                }
            }
        }
    }

    fn home(&self, home: HomeRef, address: Address, freshness: Freshness) -> Route {
        Route::Home(RoutedHome {
            home,
            address: self.config.domain_aliases.address(address),
            kind: EntryKind::Account,
            entry: None,
            source: Source {
                map: self.config.name.as_str().into(),
                freshness,
            },
        })
    }

    /// What follows when the map has no match; none when the next map is to be asked.
    fn on_no_match(&self, question: Question<'_>) -> Option<Route> {
        match self.config.on_no_match {
            OnNoMatch::Reject => Some(Route::NoSuchAccount),
            OnNoMatch::Next => None,
            OnNoMatch::Default => {
                let address = match question {
                    Question::Address(address) => Some(address.clone()),
                    Question::Login(login) => Address::parse(login).ok(),
                };
                Some(match (&self.default_home, address) {
                    (Some(home), Some(address)) => self.home(home.clone(), address, Freshness::Default),
                    _ => Route::NoSuchAccount,
                })
            }
        }
    }

    const fn kind_name(&self) -> &'static str {
        match self.config.kind {
            MapKind::LocalFile => "local-file",
            MapKind::LdapPassword => "ldap-password",
            MapKind::LdapBind => "ldap-bind",
        }
    }
}

impl fmt::Debug for UserMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserMap({}, {})", self.config.name, self.kind_name())
    }
}

/// The maps of one service, in order.
#[derive(Debug, Clone)]
pub struct UserMaps {
    maps: Vec<Arc<UserMap>>,
}

impl UserMaps {
    /// The maps that a service names, in its order.
    #[must_use]
    pub fn new(maps: Vec<Arc<UserMap>>) -> Self {
        Self { maps }
    }

    /// The maps, in order.
    #[must_use]
    pub fn maps(&self) -> &[Arc<UserMap>] {
        &self.maps
    }

    /// The home of an address.
    pub async fn resolve(&self, address: &Address) -> Route {
        self.walk(Question::Address(address), Caching::Use, None).await
    }

    /// The home of what a client typed as its login.
    pub async fn resolve_login(&self, login: &str) -> Route {
        self.walk(Question::Login(login), Caching::Use, None).await
    }

    /// The same as [`UserMaps::resolve`], with every step. Asks the directory even when the cache knows.
    pub async fn explain(&self, address: &Address) -> Explanation {
        let mut steps = Vec::new();
        let route = self
            .walk(Question::Address(address), Caching::AskSource, Some(&mut steps))
            .await;
        Explanation { steps, route }
    }

    async fn walk(
        &self,
        question: Question<'_>,
        caching: Caching,
        mut steps: Option<&mut Vec<ExplainStep>>,
    ) -> Route {
        for map in &self.maps {
            let start = map.clock.monotonic();
            let mut trace = if steps.is_some() {
                Trace::On(Vec::new())
            } else {
                Trace::Off
            };
            let (answer, rule) = map.ask(question, caching, &mut trace).await;
            let matched = matches!(answer, Answer::Route(_));
            let route = match answer {
                Answer::Route(route) => Some(route),
                Answer::NoMatch => map.on_no_match(question),
            };
            if let Some(steps) = steps.as_deref_mut() {
                let answer = match (&route, matched) {
                    (None, _) => "no match; the next map is asked".to_owned(),
                    (Some(route), true) => route.to_string(),
                    (Some(route), false) => format!("no match; {route}"),
                };
                steps.push(ExplainStep {
                    map: map.config.name.clone(),
                    kind: map.kind_name(),
                    searches: trace.take(),
                    rule,
                    answer,
                    took: elapsed(&*map.clock, start),
                });
            }
            if let Some(route) = route {
                return route;
            }
        }
        Route::NoSuchAccount
    }
}
