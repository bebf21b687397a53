//! The engine against a real slapd: two back ends, one directory, everything that people do to one.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)] // A failed step must end the test.

mod ad;
mod applied;
mod backup;
mod conflicts;
mod crashes;
mod facts;
mod follow;
mod forgetful;
mod lists;
mod members;
mod moves;
mod oversized;
mod passwords;
mod push;
mod relay;
mod renamed;
mod ring;
mod slapd;
mod swaps;

use directory::{Connector, ConnectorConfig};
use ldapsync::{Beside, State, SyncEngine, SyncStatus};
use model::{Address, Clock, Domain, OnDemandOutcome, SystemClock};
use slapd::{BASE, Slapd};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use store::{Account, AccountState, Member, Origin, Recipient, Store};
use tokio_util::sync::CancellationToken;

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// A back end: a store and an engine that runs.
struct Home {
    store: Store,
    engine: Arc<SyncEngine>,
    connector: Arc<Connector>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Home {
    fn config(slapd: &Slapd, more: &serde_json::Value) -> ConnectorConfig {
        let mut config = serde_json::json!({
            "name": "people",
            "uris": [slapd.url()],
            "server_type": "openldap",
            "bind_dn": "cn=homing-read,dc=localdomain,dc=test",
            "bind_password": "secret",
            "accounts": { "base_dn": [format!("ou=Users,{BASE}")] },
            "groups": { "base_dn": [format!("ou=Groups,{BASE}")] },
            "domains": ["localdomain.test"],
            "clustered": true,
            "polling_interval": 3600,
            "ask_first": false,
        });
        for (key, value) in more.as_object().expect("keys and values") {
            config[key] = value.clone();
        }
        serde_json::from_value(config).expect("a connector")
    }

    fn start(slapd: &Slapd, name: &str, store: Store) -> Self {
        Self::start_with(slapd, name, store, &serde_json::json!({}))
    }

    fn start_with(slapd: &Slapd, name: &str, store: Store, more: &serde_json::Value) -> Self {
        Self::run(Self::config(slapd, more), name, store)
    }

    fn run(config: ConnectorConfig, name: &str, store: Store) -> Self {
        Self::run_beside(config, name, store, &Beside::default())
    }

    fn run_beside(config: ConnectorConfig, name: &str, store: Store, beside: &Beside) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let connector = Connector::new(config, Arc::clone(&clock)).expect("a connector");
        let engine = SyncEngine::new(Arc::clone(&connector), store.clone(), clock, name, &[], beside);
        let stop = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&engine).run(stop.clone()));
        Self {
            store,
            engine,
            connector,
            stop,
            running,
        }
    }

    /// The process dies.
    async fn kill(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    fn new(slapd: &Slapd, name: &str) -> Self {
        Self::start(slapd, name, empty_store())
    }

    /// Stops the engine in order.
    async fn end(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.expect("ends");
    }

    fn has_group(&self, name: &str) -> bool {
        let found = self
            .store
            .group_by_address(&address(&format!("{name}@localdomain.test")));
        found.expect("reads").is_some()
    }

    /// Waits until something holds, without asking for a round: what the open feed brings.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        // Long, for a machine that is slow and busy; nothing waits for it where all is well.
        for _ in 0..12_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?}", self.engine.status());
    }

    async fn sync(&self) -> SyncStatus {
        // `run` may not have taken its inbox yet.
        loop {
            match self.engine.sync_now().await {
                Ok(status) => return status,
                Err(ldapsync::SyncError::NotRunning) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn sync_well(&self) -> SyncStatus {
        let status = self.sync().await;
        assert_eq!(status.error, None, "{status:?}");
        status
    }

    /// The connector leaves a server that failed alone for a moment, so the first rounds after an outage may
    /// still fail.
    async fn sync_after_an_outage(&self) -> SyncStatus {
        for _ in 0..600 {
            let status = self.sync().await;
            if status.error.is_none() || status.state == State::Fault {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{:?}", self.engine.status());
    }

    /// The server is back and is not believed.
    async fn sync_after_an_outage_fails(&self) -> SyncStatus {
        for _ in 0..600 {
            let status = self.sync().await;
            if status
                .error
                .as_ref()
                .is_some_and(|error| error.contains("is behind"))
            {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{:?}", self.engine.status());
    }

    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.store
            .account_by_address(&address(&format!("{name}@localdomain.test")))
            .expect("reads")
    }

    fn can_log_in(&self, name: &str) -> bool {
        self.account(name).is_some_and(|account| account.can_log_in())
    }

    fn members(&self, name: &str) -> BTreeSet<String> {
        let group = self
            .store
            .group_by_address(&address(&format!("{name}@localdomain.test")))
            .expect("reads");
        let group = group.unwrap_or_else(|| panic!("{name} is missing"));
        let local_part = |member: &Member| member.address().local_part().to_owned();
        group.members.iter().map(local_part).collect()
    }

    fn journal_end(&self) -> u64 {
        let mut end = 0;
        loop {
            let page = self.store.journal_after(end, 256).expect("reads");
            let Some(last) = page.last() else { return end };
            end = last.seq;
        }
    }
}

fn empty_store() -> Store {
    Store::in_memory(Arc::new(SystemClock::new())).expect("a store")
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn dn(name: &str) -> String {
    format!("uid={name},ou=Users,{BASE}")
}

fn person(name: &str, home: &str) -> String {
    format!(
        "dn: {}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\nobjectClass: homingAccount\n\
         uid: {name}\ncn: {name}\nsn: Person\ndisplayName: Person {name}\nmail: {name}@localdomain.test\n\
         mailLocalAddress: {name}.alias@localdomain.test\nmailHost: {home}\n\n",
        dn(name)
    )
}

fn group(name: &str, members: &[&str]) -> String {
    let mut text = format!(
        "dn: cn={name},ou=Groups,{BASE}\nobjectClass: groupOfNames\nobjectClass: homingGroup\ncn: {name}\n\
         mail: {name}@localdomain.test\n"
    );
    for member in members {
        let _ = writeln!(text, "member: {}", dn(member));
    }
    text.push('\n');
    text
}

/// 300 people in turns on two homes, and ten groups over both.
fn people() -> String {
    let mut ldif: String = (0..300)
        .map(|number| {
            person(
                &format!("p{number}"),
                if number % 2 == 0 { "a.test" } else { "B.test." },
            )
        })
        .collect();
    for number in 0..10 {
        let members: Vec<String> = (0..5).map(|step| format!("p{}", number * 5 + step)).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        ldif.push_str(&group(&format!("g{number}"), &members));
    }
    ldif
}

fn change(name: &str, what: &str, attribute: &str, value: &str) -> String {
    format!(
        "dn: {}\nchangetype: modify\n{what}: {attribute}\n{attribute}: {value}\n\n",
        dn(name)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_homes_follow_one_directory() {
    let slapd = Slapd::start(&people());
    let (a, b) = (Home::new(&slapd, "a.test"), Home::new(&slapd, "b.test"));
    for home in [&a, &b] {
        let status = home.sync_well().await;
        assert_eq!((status.counts.created, status.linked), (160, 160), "{status:?}");
        assert!(status.quarantine.is_empty(), "{status:?}");
    }
    assert!(a.can_log_in("p0") && !b.can_log_in("p0") && b.can_log_in("p1"));
    assert_eq!(
        a.account("p0.alias")
            .expect("by its alias")
            .display_name
            .as_deref(),
        Some("Person p0")
    );
    let five = BTreeSet::from(["p0", "p1", "p2", "p3", "p4"].map(str::to_owned));
    assert_eq!((a.members("g0"), b.members("g0")), (five.clone(), five));
    // Nothing changed: nothing is written, also after a comparison of everything.
    let end = a.journal_end();
    a.sync_well().await;
    a.engine.sync_full().await.expect("runs");
    assert_eq!(a.journal_end(), end);

    let p0 = a.account("p0").expect("here").id;
    let p8 = a.account("p8").expect("here").id;
    let p10 = a.account("p10").expect("here").id;
    // People come, change, and go.
    slapd.modify(&person("new", "a.test").replace(
        "objectClass: inetOrgPerson\n",
        "changetype: add\nobjectClass: inetOrgPerson\n",
    ));
    slapd.modify(&change("p0", "replace", "mail", "renamed@localdomain.test"));
    slapd.modify(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=p0x\ndeleteoldrdn: 1\n\n",
        dn("p0")
    ));
    slapd.modify(&change("p2", "add", "homingEnabled", "FALSE"));
    slapd.modify(&change("p4", "add", "homingQuota", "1048576"));
    slapd.modify(&change(
        "p6",
        "replace",
        "mailLocalAddress",
        "second@localdomain.test",
    ));
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("p8")));
    slapd.modify(&change("p10", "replace", "mailHost", "b.test"));
    for home in [&a, &b] {
        let status = home.sync_well().await;
        assert!(
            status.quarantine.is_empty() && !status.guard.tripped,
            "{status:?}"
        );
    }
    assert!(a.can_log_in("new"));
    let renamed = a.account("renamed").expect("renamed");
    assert_eq!(
        (renamed.id, a.account("p0")),
        (p0, None),
        "a rename keeps the mail"
    );
    assert!(!a.can_log_in("p2"));
    assert_eq!(
        a.account("p4").expect("here").quota.map(|quota| quota.0),
        Some(1_048_576)
    );
    assert!(a.account("second").is_some() && a.account("p6.alias").is_none());
    let deleted = a.store.account(p8).expect("reads").expect("the mail is kept");
    assert!(matches!(deleted.state, AccountState::SoftDeleted { .. }));
    let moved = a.store.account(p10).expect("reads").expect("the mail is kept");
    assert_eq!(
        moved.state,
        AccountState::MovedAway {
            to: "b.test".to_owned()
        }
    );
    let arrived = b.account("p10").expect("its new home knows it");
    assert_eq!(
        arrived.state,
        AccountState::AwaitingMail {
            from: "a.test".to_owned()
        }
    );
    // The deleted one left its group, which slapd rewrites without telling anybody, and some time later; the renamed
    // one stayed, as soon as that is done.
    let fewer = BTreeSet::from(["p5", "p6", "p7", "p9"].map(str::to_owned));
    a.until("one less", |home| home.members("g1") == fewer).await;
    for home in [&a, &b] {
        let want = BTreeSet::from(["renamed", "p1", "p2", "p3", "p4"].map(str::to_owned));
        home.until("the renamed one", |home| home.members("g0") == want)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_lost_cookies_and_an_empty_directory() {
    let mut slapd = Slapd::start(&people());
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;

    // The directory is away: the state says so, and nothing else happens.
    slapd.stop();
    let status = a.sync().await;
    assert_eq!((status.state, status.linked), (State::Waiting, 160), "{status:?}");
    assert!(a.can_log_in("p0"));
    let unknown = address("nobody@localdomain.test");
    assert_eq!(a.engine.on_demand(&unknown).await, OnDemandOutcome::Unavailable);

    // Back, with an empty session log, and one deletion that the log therefore does not name.
    slapd.restart();
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("p0")));
    slapd.stop();
    slapd.restart();
    a.sync_after_an_outage().await;
    assert!(a.account("p0").is_none());
    assert_eq!(a.engine.on_demand(&unknown).await, OnDemandOutcome::NoSuchName);

    // A garbage cookie in the store is noticed, not sent.
    a.stop.cancel();
    let mut state = a.store.connector_state("people").expect("reads");
    state.cookie = Some(bytes::Bytes::from_static(b"rid=001,csn=garbage"));
    a.store
        .put_connector_state("people", &state)
        .await
        .expect("stored");
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("p2")));
    let a = Home::start(&slapd, "a.test", a.store.clone());
    let status = a.sync_well().await;
    assert!(a.account("p2").is_none() && a.can_log_in("p4"), "{status:?}");

    // The directory is replaced by one that holds nobody.
    slapd.stop();
    slapd.wipe();
    slapd.restart();
    let status = a.sync_after_an_outage().await;
    assert_eq!(status.state, State::Fault, "{status:?}");
    let living = a.store.list_accounts(None, 256).expect("reads");
    assert_eq!(
        living.iter().filter(|account| account.can_log_in()).count(),
        148,
        "nobody was removed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_counts_only_below_an_entry_that_can_be_read() {
    let branch = format!("dn: ou=team,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: team\n\n");
    let below = person("below", "a.test").replace("uid=below,", "uid=below,ou=team,");
    let slapd = Slapd::start(&(branch.clone() + &below + &person("beside", "a.test")));
    // Polled, so that both deletions are seen at once.
    let a = Home::start_with(
        &slapd,
        "a.test",
        empty_store(),
        &serde_json::json!({ "persist": false }),
    );
    a.sync_well().await;
    assert!(a.can_log_in("below"));
    for name in ["uid=below,ou=team", "ou=team"] {
        slapd.modify(&format!("dn: {name},ou=Users,{BASE}\nchangetype: delete\n\n"));
    }
    let status = a.sync_well().await;
    assert!(a.can_log_in("below"), "{status:?}");
    let [row] = status.quarantine.as_slice() else {
        panic!("{status:?}")
    };
    let names =
        format!("uid=below,ou=team,ou=Users,{BASE}: the entry is not there, but ou=team,ou=Users,{BASE}");
    assert!(row.reason.starts_with(&names), "{}", row.reason);
    slapd.add(&branch);
    a.engine.sync_full().await.expect("runs");
    assert!(a.account("below").is_none() && a.can_log_in("beside"));
    assert!(a.engine.status().quarantine.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_fetched_before_it_is_refused() {
    let slapd = Slapd::start(&person("early", "a.test"));
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    // Added after the poll, asked for before the next one.
    let late = person("late", "a.test") + &person("other", "b.test") + &group("team", &["late", "other"]);
    slapd.add(&late);
    let ask = async |name: &str| {
        a.engine
            .on_demand(&address(&format!("{name}@localdomain.test")))
            .await
    };
    assert_eq!(ask("late").await, OnDemandOutcome::Synced);
    assert!(a.can_log_in("late"));
    assert_eq!(ask("other").await, OnDemandOutcome::NoSuchName);
    assert_eq!(ask("team").await, OnDemandOutcome::Synced);
    match a
        .store
        .resolve_recipient(&address("team@localdomain.test"))
        .expect("resolves")
    {
        Recipient::Group(team) => {
            assert_eq!(
                (team.accounts.len(), team.elsewhere),
                (1, vec![address("other@localdomain.test")])
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        a.engine.on_demand(&address("x@unknown.test")).await,
        OnDemandOutcome::NotConnected
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_were_never_associated_are_left_alone() {
    let slapd = Slapd::start(&(person("joins", "a.test") + &person("stays", "b.test")));
    let store = Store::in_memory(Arc::new(SystemClock::new())).expect("a store");
    let admin = Origin::Admin("test".to_owned());
    store
        .create_domain(&Domain::parse("localdomain.test").expect("a domain"), &admin)
        .await
        .expect("created");
    let create = async |name: &str| {
        let new = store::NewAccount::new(address(&format!("{name}@localdomain.test")));
        store.create_account(new, &admin).await.expect("created")
    };
    let (joins, service) = (create("joins").await, create("postmaster").await);
    let version = |id| store.account(id).expect("reads").expect("there").version;
    let before = version(service);
    let a = Home::start(&slapd, "a.test", store.clone());
    let plan = a.engine.plan().await.expect("a plan");
    a.sync_well().await;
    assert_eq!(
        a.account("joins").expect("here").id,
        joins,
        "found by its address"
    );
    assert_eq!(version(service), before);
    assert!(
        plan.unlinked.contains(&"postmaster@localdomain.test".to_owned()) || plan.changes == 0,
        "{plan:?}"
    );
    let settled = a.engine.plan().await.expect("a plan");
    assert_eq!(
        (settled.changes, settled.unlinked.as_slice()),
        (0, ["postmaster@localdomain.test".to_owned()].as_slice())
    );
}
