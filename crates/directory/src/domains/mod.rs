//! The domains that mail is taken for, whoever knows them.
//!
//! Owns the answer to "is this domain ours" ([`Domains`]) and the file format. Never guesses: a directory that is
//! away makes neither a yes nor a no, but for a yes that it gave lately.

mod file;

use file::DomainList;

use crate::config::{DomainSourceConfig, DomainsConfig};
use crate::connector::Connector;
use crate::watched::{Reader, Watched};
use ldap::{Dn, FilterTemplate, Slots};
use model::{Clock, ConfigProblem, Domain, DomainAliases, Unavailable};
use net::{Cached, TtlCache};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Answers kept; strangers may ask for any domain, so there has to be an end.
const CACHE_ENTRIES: usize = 10_000;

/// Whether mail is taken for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainAnswer {
    /// It is ours.
    Ours,
    /// It is definitely not.
    Foreign,
    /// Nobody can say now.
    Unavailable(Unavailable),
}

/// The domains that mail is taken for.
pub struct Domains {
    source: Source,
    /// Another name of a domain of ours is ours too.
    aliases: DomainAliases,
}

enum Source {
    List(DomainList),
    File(Watched<DomainList>),
    Directory(Query),
}

/// The domains are entries of a directory.
struct Query {
    connector: Arc<Connector>,
    filter: FilterTemplate,
    bases: Vec<Dn>,
    cache: Mutex<TtlCache<Domain, bool>>,
    positive: Duration,
    negative: Duration,
    stale: Duration,
}

impl Domains {
    /// Reads the file, if there is one. `connector` is the one that a query names. Keys of problems begin with
    /// `domains`.
    pub fn new(
        config: &DomainsConfig,
        connector: Option<Arc<Connector>>,
        aliases: DomainAliases,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        let names: Vec<&str> = connector.iter().map(|connector| connector.name()).collect();
        let problems = config.check(&names);
        if !problems.is_empty() {
            return Err(problems);
        }
        let source = match config {
            DomainsConfig::Listed(domains) => Source::List(domains.iter().cloned().collect()),
            DomainsConfig::Kept(kept) => match (&kept.file, connector) {
                (Some(path), _) => {
                    let reader = Reader {
                        what: "list of domains",
                        parse: Box::new(DomainList::parse),
                        count: DomainList::len,
                    };
                    let file = Watched::open(path.clone(), reader, clock);
                    let fault = |message| vec![ConfigProblem::new("domains.file", message)];
                    Source::File(file.map_err(fault)?)
                }
                (None, Some(connector)) => Source::Directory(Query::new(kept, connector, clock)?),
                (None, None) => {
                    return Err(vec![ConfigProblem::new(
                        "domains.connector",
                        "a query needs a connector",
                    )]);
                }
            },
        };
        Ok(Arc::new(Self { source, aliases }))
    }

    /// Whether mail is taken for this domain.
    pub async fn find(&self, domain: &Domain) -> DomainAnswer {
        let main = self.aliases.main_of(domain.as_str());
        match &self.source {
            Source::List(list) => answer(list.holds(domain) || main.is_some_and(|main| list.holds(main))),
            Source::File(file) => {
                let list = file.fresh().await;
                answer(list.holds(domain) || main.is_some_and(|main| list.holds(main)))
            }
            Source::Directory(query) => match (query.find(domain).await, main) {
                (DomainAnswer::Foreign, Some(main)) => query.find(main).await,
                (answer, _) => answer,
            },
        }
    }

    /// The domain that stands for all, where there is an order: the first of the list or the file.
    #[must_use]
    pub fn first(&self) -> Option<Domain> {
        match &self.source {
            Source::List(list) => list.first().cloned(),
            Source::File(file) => file.now().first().cloned(),
            Source::Directory(_) => None,
        }
    }

    /// What is wrong with the file as it is now, while what was read before is in force.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match &self.source {
            Source::File(file) => file.problem(),
            Source::List(_) | Source::Directory(_) => None,
        }
    }

    /// Reads the file again, where there is one, instead of waiting for the next look at it. On an error what was
    /// read before stays in force.
    pub fn read_again(&self) -> Result<(), Vec<ConfigProblem>> {
        let fault = |message| vec![ConfigProblem::new("domains.file", message)];
        match &self.source {
            Source::File(file) => file.read_again().map_err(fault),
            Source::List(_) | Source::Directory(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::List(_) => "Domains(list)",
            Source::File(_) => "Domains(file)",
            Source::Directory(_) => "Domains(directory)",
        })
    }
}

const fn answer(ours: bool) -> DomainAnswer {
    match ours {
        true => DomainAnswer::Ours,
        false => DomainAnswer::Foreign,
    }
}

impl Query {
    fn new(
        config: &DomainSourceConfig,
        connector: Arc<Connector>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let fault = |message| vec![ConfigProblem::new("domains.filter", message)];
        Ok(Self {
            filter: config.template().map_err(fault)?,
            bases: config.bases(),
            connector,
            cache: Mutex::new(TtlCache::new(clock, CACHE_ENTRIES)),
            positive: Duration::from_secs(config.cache_ttl),
            negative: Duration::from_secs(config.negative_ttl),
            stale: Duration::from_secs(config.stale_for),
        })
    }

    async fn find(&self, domain: &Domain) -> DomainAnswer {
        if let Cached::Fresh(ours) = self.cache.lock().get(domain) {
            return answer(*ours);
        }
        let filled = self.filter.fill(&Slots {
            domain: Some(domain.as_str()),
            ..Slots::default()
        });
        let Some(filter) = filled else {
            return DomainAnswer::Unavailable(Unavailable("the filter cannot be filled".to_owned()));
        };
        match self.connector.has_entry(&self.bases, &filter).await {
            Ok(ours) => {
                // A stale source may answer yes, never no.
                let (fresh, stale) = match ours {
                    true => (self.positive, self.stale),
                    false => (self.negative, Duration::ZERO),
                };
                self.cache.lock().insert(domain.clone(), ours, fresh, stale);
                answer(ours)
            }
            Err(why) => match self.cache.lock().get(domain) {
                Cached::Fresh(true) | Cached::Stale(true) => DomainAnswer::Ours,
                _ => DomainAnswer::Unavailable(why),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ManualClock;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect(text)
    }

    #[tokio::test]
    async fn other_names_of_our_domains_are_ours() {
        let clock = Arc::new(ManualClock::default());
        let aliases = DomainAliases::new([
            (domain("old.test"), domain("new.test")),
            (domain("far.test"), domain("elsewhere.test")),
        ]);
        let config = DomainsConfig::Listed(vec![domain("new.test"), domain("bücher.test")]);
        let domains = Domains::new(&config, None, aliases, clock).expect("a list");
        for (asked, ours) in [
            ("NEW.test", true),
            ("old.test", true),
            ("xn--bcher-kva.test", true),
            ("far.test", false),
            ("sub.new.test", false),
        ] {
            assert_eq!(domains.find(&domain(asked)).await, answer(ours), "{asked}");
        }
        assert_eq!(domains.first(), Some(domain("new.test")));
        assert!(domains.read_again().is_ok() && domains.problem().is_none());
    }

    #[tokio::test]
    async fn a_file_is_read_again_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("domains");
        let clock = Arc::new(ManualClock::default());
        let tick = || clock.advance(Duration::from_secs(2));
        let config: DomainsConfig =
            serde_json::from_value(serde_json::json!({ "file": path })).expect("a table");
        let open = || Domains::new(&config, None, DomainAliases::default(), clock.clone());
        let missing = open().expect_err("no such file");
        assert_eq!(missing[0].key, "domains.file");
        std::fs::write(&path, "# ours\nExample.TEST\nBücher.test # shop\n").expect("write");
        let domains = open().expect("a good file");
        let ours = async |name| domains.find(&domain(name)).await == DomainAnswer::Ours;
        assert!(ours("example.test").await && ours("bücher.test").await && !ours("new.test").await);
        std::fs::write(&path, "new.test\nexample.test\n").expect("write");
        tick();
        assert!(ours("new.test").await && !ours("bücher.test").await);
        // A bad file takes nothing away, and says where it is bad.
        std::fs::write(&path, "new.test\n\nnot a domain\n").expect("write");
        let told = domains.read_again().expect_err("a bad line");
        assert!(told[0].message.contains("line 3"), "{}", told[0].message);
        assert!(ours("example.test").await && domains.problem().is_some());
        std::fs::write(&path, "\n# all gone\n").expect("write");
        tick();
        assert!(ours("example.test").await, "an empty file would refuse all mail");
        std::fs::write(&path, "last.test\n").expect("write");
        domains.read_again().expect("good again");
        assert!(ours("last.test").await && domains.problem().is_none());
    }
}
