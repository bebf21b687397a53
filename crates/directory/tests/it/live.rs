//! The live map against a real slapd: what it says while the directory changes, stops, lies or goes away.

use super::authentication::check;
use super::proxy::Proxy;
use super::slapd::{SUFFIX, Slapd, person};
use super::{address, config};
use directory::config::{MapKind, OnNoMatch};
use directory::{
    Connector, ConnectorConfig, LdapAuthenticator, LdapMethod, Route, UserMap, UserMapConfig, UserMaps,
};
use model::{Authenticated, Authenticator as _, Clock, Recheck, SystemClock};
use net::{Shutdown, ShutdownTrigger};
use password::VerifyPool;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A live map at work.
pub(crate) struct Live {
    maps: UserMaps,
    map: Arc<UserMap>,
    connector: Arc<Connector>,
    authenticator: Arc<LdapAuthenticator>,
    trigger: ShutdownTrigger,
    driver: JoinHandle<()>,
}

fn people_config() -> UserMapConfig {
    UserMapConfig {
        name: "people".to_owned(),
        kind: MapKind::LdapBind,
        path: None,
        connector: Some("test".to_owned()),
        on_no_match: OnNoMatch::Reject,
        default_home: None,
        live: true,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    }
}

impl Live {
    pub(crate) fn start(mut config: ConnectorConfig, folder: &Path) -> Self {
        config.attributes.host = Some("description".to_owned());
        config.timeout = 1;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let connector = Connector::new(config, Arc::clone(&clock)).expect("a connector");
        let authenticator = LdapAuthenticator::new(
            Arc::clone(&connector),
            LdapMethod::Bind,
            VerifyPool::for_this_machine(),
            Arc::clone(&clock),
        )
        .expect("an authenticator");
        let map = UserMap::with_snapshots(
            people_config(),
            Some(Arc::clone(&connector)),
            folder.to_owned(),
            clock,
        )
        .expect("a live map");
        let (trigger, shutdown) = Shutdown::new();
        let driver = tokio::spawn(map.live_driver().expect("a driver").run(shutdown));
        Self {
            maps: UserMaps::new(vec![Arc::clone(&map)]),
            map,
            connector,
            authenticator,
            trigger,
            driver,
        }
    }

    pub(crate) async fn say(&self, text: &str) -> String {
        match self.maps.resolve(&address(text)).await {
            Route::Home(found) => format!("{} {}", found.home, found.source.freshness),
            Route::NoSuchAccount => "no".to_owned(),
            Route::Ambiguous(names) => format!("ambiguous {}", names.len()),
            Route::Unavailable(_) => "unavailable".to_owned(),
            other => other.to_string(),
        }
    }

    /// What is wrong with the map.
    pub(crate) fn problem(&self) -> Option<String> {
        self.map.problem()
    }

    /// Waits until the map says something else.
    pub(crate) async fn until_not(&self, text: &str, answer: &str) {
        let wait = async {
            while self.say(text).await == answer {
                sleep(Duration::from_millis(2)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("{text}: still {answer}; {:?}", self.map.problem());
        }
    }

    /// Waits until the map says so.
    pub(crate) async fn until(&self, text: &str, answer: &str) {
        let mut last = String::new();
        let wait = async {
            loop {
                last = self.say(text).await;
                if last == answer {
                    return;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("{text}: {last}, not {answer}; {:?}", self.map.problem());
        }
    }

    /// Who logs in so, for another look at the session.
    pub(crate) async fn who(&self, login: &str) -> Authenticated {
        super::recheck::who(&self.connector, login).await
    }

    pub(crate) async fn recheck(&self, who: &Authenticated) -> Recheck {
        self.authenticator.recheck(who, Duration::ZERO).await
    }

    pub(crate) async fn stop(self) {
        self.trigger.request(Duration::ZERO);
        self.driver.await.expect("the driver ends");
    }
}

fn host(uid: &str, host: &str) -> String {
    format!(
        "dn: uid={uid},ou=Users,{SUFFIX}\nchangetype: modify\nreplace: description\ndescription: {host}\n"
    )
}

fn delete(uid: &str) -> String {
    format!("dn: uid={uid},ou=Users,{SUFFIX}\nchangetype: delete\n")
}

#[tokio::test]
async fn edits_are_seen_without_a_search() {
    let slapd = Slapd::start();
    slapd.person("anna", "description: h1\nmailLocalAddress: a@localdomain.test\n");
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    assert_eq!(live.say("A+tag@localdomain.test").await, "h1 live");
    assert_eq!(live.say("bert@localdomain.test").await, "no");
    let explained = live.maps.explain(&address("anna@localdomain.test")).await;
    assert!(
        explained.steps[0].searches.is_empty(),
        "no round trip: {explained:?}"
    );
    assert!(explained.steps[0].answer.contains("live"), "{explained:?}");
    assert!(
        explained.steps[0]
            .rule
            .as_deref()
            .is_some_and(|rule| rule.contains("entryUUID")),
        "{explained:?}"
    );

    slapd.modify(&host("anna", "h2"));
    live.until("anna@localdomain.test", "h2 live").await;
    slapd.person("bert", "description: h3\n");
    live.until("bert@localdomain.test", "h3 live").await;
    slapd.person(
        "carl",
        "description: h4\nmailLocalAddress: bert@localdomain.test\n",
    );
    live.until("bert@localdomain.test", "ambiguous 2").await;
    slapd.modify(&delete("carl"));
    live.until("bert@localdomain.test", "h3 live").await;
    // Out of the scope, by a move and by an edit.
    slapd.modify(&format!(
        "dn: uid=bert,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=bert\ndeleteoldrdn: 0\nnewsuperior: ou=Elsewhere,{SUFFIX}\n"
    ));
    live.until("bert@localdomain.test", "no").await;
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: mail\nmail: anne@localdomain.test\n"
    ));
    live.until("anne@localdomain.test", "h2 live").await;
    assert_eq!(live.say("anna@localdomain.test").await, "no");
    assert_eq!(live.map.problem(), None);
    live.stop().await;
}

#[tokio::test]
async fn killed_frozen_and_restarted() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    slapd.kill();
    live.until("anna@localdomain.test", "h1 stale").await;
    assert_eq!(live.say("bert@localdomain.test").await, "unavailable", "never no");
    slapd.restart();
    slapd.modify(&host("anna", "h2"));
    slapd.person("bert", "description: h3\n");
    live.until("anna@localdomain.test", "h2 live").await;
    live.until("bert@localdomain.test", "h3 live").await;

    slapd.signal("STOP");
    live.until("anna@localdomain.test", "h2 stale").await;
    assert_eq!(live.say("carl@localdomain.test").await, "unavailable", "never no");
    slapd.signal("CONT");
    slapd.modify(&delete("bert"));
    live.until("bert@localdomain.test", "no").await;
    live.until("anna@localdomain.test", "h2 live").await;
    live.stop().await;
}

#[tokio::test]
async fn a_front_end_restarted_in_an_outage_knows_the_homes() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    live.stop().await;
    slapd.kill();
    let live = Live::start(config(&[&slapd]), folder.path());
    assert_eq!(live.say("anna@localdomain.test").await, "h1 stale");
    assert_eq!(live.say("bert@localdomain.test").await, "unavailable");
    live.stop().await;
    // While nobody looked: one is gone, one is new. The cookie of the snapshot tells of both.
    slapd.restart();
    slapd.person("bert", "description: h2\n");
    slapd.person("carl", "description: h3\n");
    slapd.modify(&delete("anna"));
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("bert@localdomain.test", "h2 live").await;
    live.until("anna@localdomain.test", "no").await;
    live.stop().await;
    // A damaged snapshot, cookie and all, is not used.
    let file = std::fs::read_dir(folder.path())
        .expect("the folder")
        .next()
        .expect("a file");
    let path = file.expect("a file").path();
    let mut bytes = std::fs::read(&path).expect("the snapshot");
    bytes[80] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    slapd.modify(&delete("bert"));
    let live = Live::start(config(&[&slapd]), folder.path());
    assert_ne!(live.say("carl@localdomain.test").await, "h3 stale");
    live.until("carl@localdomain.test", "h3 live").await;
    assert_eq!(live.say("bert@localdomain.test").await, "no");
    live.stop().await;
}

#[tokio::test]
async fn a_directory_of_an_older_state_changes_nobodys_home() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    let backup = slapd.backup();
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    slapd.modify(&host("anna", "h2"));
    slapd.person("bert", "description: h3\n");
    live.until("anna@localdomain.test", "h2 live").await;
    live.until("bert@localdomain.test", "h3 live").await;
    slapd.restore(&backup);
    live.until("bert@localdomain.test", "h3 stale").await;
    for _ in 0..200 {
        assert_eq!(live.say("anna@localdomain.test").await, "h2 stale");
        assert_eq!(live.say("bert@localdomain.test").await, "h3 stale");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        live.map
            .problem()
            .is_some_and(|problem| problem.contains("behind our cookie")),
        "{:?}",
        live.map.problem()
    );
    // It has caught up: now what it holds is what counts, and all of it is read again.
    slapd.person("carl", "description: h4\n");
    live.until("carl@localdomain.test", "h4 live").await;
    live.until("anna@localdomain.test", "h1 live").await;
    live.until("bert@localdomain.test", "no").await;
    live.stop().await;
}

#[tokio::test]
async fn an_emptied_directory_empties_nothing() {
    let mut slapd = Slapd::start();
    let empty = slapd.backup();
    slapd.person("anna", "description: h1\n");
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("anna@localdomain.test", "h1 live").await;
    // The same tree built anew: another suffix entry, so another directory.
    slapd.rebuild();
    slapd.person("dora", "description: h5\n");
    live.until("dora@localdomain.test", "h5 live").await;
    assert_eq!(live.say("anna@localdomain.test").await, "h1 stale", "held");
    slapd.person("anna", "description: h6\n");
    live.until("anna@localdomain.test", "h6 live").await;
    live.stop().await;
    // The directory of old without its people, and a map that reads all of it.
    let other = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), other.path());
    live.until("anna@localdomain.test", "h6 live").await;
    slapd.restore(&empty);
    for _ in 0..100 {
        assert!(live.say("anna@localdomain.test").await.starts_with("h6"));
        sleep(Duration::from_millis(20)).await;
    }
    live.stop().await;
}

/// While the map fills, behind a relay that holds the stream up, nobody is told that an account does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_entries_and_never_no_while_filling() {
    let mut slapd = Slapd::start();
    let people: String = (0..5000)
        .map(|number| person(&format!("p{number}"), &format!("description: h{}\n", number % 7)) + "\n")
        .collect();
    slapd.load(&people);
    let proxy = Proxy::to(slapd.address()).await;
    let mut settings = config(&[&slapd]);
    settings.uris = vec![proxy.uri()];
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(settings, folder.path());
    let mut number = 0;
    let mut answers = std::collections::BTreeMap::<String, usize>::new();
    loop {
        number = (number + 1237) % 5000;
        let answer = live.say(&format!("p{number}@localdomain.test")).await;
        let (home, freshness) = answer.split_once(' ').unwrap_or((answer.as_str(), ""));
        assert_eq!(home, format!("h{}", number % 7), "{answer} for p{number}");
        *answers.entry(freshness.to_owned()).or_default() += 1;
        if freshness == "live" {
            break;
        }
    }
    assert!(
        answers.contains_key("server"),
        "it was asked while the map filled: {answers:?}"
    );
    for number in 0..5000 {
        assert_eq!(
            live.say(&format!("p{number}@localdomain.test")).await,
            format!("h{} live", number % 7)
        );
    }
    assert_eq!(live.say("p5000@localdomain.test").await, "no");
    // The connections go silent: the keep-alive notices, and "no" is not said any more.
    proxy.go_silent();
    live.until("p1@localdomain.test", "h1 stale").await;
    assert_eq!(live.say("p5000@localdomain.test").await, "unavailable");
    proxy.speak();
    live.until("p1@localdomain.test", "h1 live").await;
    live.stop().await;
}

/// A remembered password passes while the directory is away, unless the feed has told of a change.
#[tokio::test]
async fn the_feed_ends_remembered_passwords() {
    let mut slapd = Slapd::with_password_policy();
    for uid in ["anna", "bert", "carl"] {
        slapd.person(uid, "description: h1\nuserPassword: secret\n");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config(&[&slapd]), folder.path());
    live.until("carl@localdomain.test", "h1 live").await;
    let login = async |uid: &str, password: &str| {
        check(&live.authenticator, &format!("{uid}@localdomain.test"), password).await
    };
    for uid in ["anna", "bert", "carl"] {
        assert_eq!(login(uid, "secret").await, format!("{uid}@localdomain.test"));
    }
    // Anna gets another password, Carl another home.
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: other\n-\nreplace: description\ndescription: h2\n"
    ));
    slapd.modify(&host("carl", "h2"));
    live.until("anna@localdomain.test", "h2 live").await;
    live.until("carl@localdomain.test", "h2 live").await;
    slapd.kill();
    assert_eq!(
        login("anna", "secret").await,
        "unavailable",
        "the feed told of the change"
    );
    assert_eq!(
        login("bert", "secret").await,
        "bert@localdomain.test",
        "nothing happened to it"
    );
    assert_eq!(
        login("carl", "secret").await,
        "carl@localdomain.test",
        "the password did not change"
    );
    slapd.restart();
    let back = async {
        // What is asked meanwhile counts as guesses.
        while ["unavailable", "throttled"].contains(&login("anna", "other").await.as_str()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("the directory is back");
    // Right, and to be changed: an administrator set it.
    assert_eq!(login("anna", "other").await, "expired");
    assert_eq!(login("anna", "secret").await, "wrong credential");
    live.stop().await;
}

#[tokio::test]
async fn a_map_that_polls_never_says_no_by_itself() {
    let slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    let mut settings = config(&[&slapd]);
    settings.persist = false;
    settings.polling_interval = 1;
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(settings, folder.path());
    live.until("anna@localdomain.test", "h1 stale").await;
    assert_eq!(
        live.say("bert@localdomain.test").await,
        "no",
        "the server says so"
    );
    let explained = live.maps.explain(&address("bert@localdomain.test")).await;
    assert!(!explained.steps[0].searches.is_empty(), "{explained:?}");
    slapd.modify(&host("anna", "h2"));
    live.until("anna@localdomain.test", "h2 stale").await;
    slapd.modify(&delete("anna"));
    live.until("anna@localdomain.test", "no").await;
    live.stop().await;
}
