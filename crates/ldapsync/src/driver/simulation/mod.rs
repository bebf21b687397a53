//! The engine, the driver and a memory store against a directory that does everything wrong: from a seed, on
//! a clock that only the test moves.

mod arrivals;
mod beside;
mod fake;
mod hidden;
mod holders;
mod proof;
mod scenarios;
mod told;

use super::sessions::Sessions;
use super::worker::Worker;
use super::{Beside, Remotes, SyncEngine};
use crate::engine::Wake;
use directory::{AccountEventKind, ConnectorConfig, EntryKind};
use fake::{Directory, FakeSource, Faults, Person, Random, Shared};
use model::{AccountId, Address, Clock, Domain, EntryUuid, ManualClock, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{AccountChange, AccountState, LocalId, Member, NewAccount, Origin, Store, Touched};
use tokio::sync::Notify;

struct World {
    directory: Shared,
    store: Store,
    clock: Arc<ManualClock>,
    crash: Arc<Notify>,
    engine: Arc<SyncEngine>,
    random: Random,
    next: u64,
    /// Which entry an account belongs to, once and for all.
    owners: BTreeMap<AccountId, EntryUuid>,
    postmaster: u64,
    /// What sessions were told.
    ended: Arc<Mutex<Vec<(EntryUuid, AccountEventKind)>>>,
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// A directory that always says who has an address.
fn always_told(lookup: &super::AddressLookup) -> super::HolderLookup {
    let lookup = Arc::clone(lookup);
    Arc::new(move |wanted| {
        let answer = lookup(wanted);
        Box::pin(async move { Ok(answer.await) })
    })
}

fn admin() -> Origin {
    Origin::Admin("test".to_owned())
}

pub(super) fn config(guard: u64, clustered: bool) -> ConnectorConfig {
    serde_json::from_value(serde_json::json!({
        "name": "people",
        "uris": ["ldap://127.0.0.1:1"],
        "server_type": "openldap",
        "accounts": { "base_dn": ["ou=people,dc=test"] },
        "groups": { "base_dn": ["ou=groups,dc=test"] },
        "domains": ["example.test"],
        "clustered": clustered,
        "ask_first": false,
        "absent": "clear",
        "guard": { "limit": guard, "floor": guard, "percent": 5 },
    }))
    .expect("a connector")
}

impl World {
    async fn new(seed: u64, config: ConnectorConfig) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        let store = Store::simulated(Arc::clone(&clock) as Arc<dyn Clock>).expect("a store");
        store
            .create_domain(&Domain::parse("example.test").expect("a domain"), &admin())
            .await
            .expect("created");
        let directory = Arc::new(Mutex::new(Directory::new(seed)));
        let crash = Arc::new(Notify::new());
        let (feed, members, lookups) = (
            Arc::clone(&directory),
            Arc::clone(&directory),
            Arc::clone(&directory),
        );
        let signal = Arc::clone(&crash);
        let ended = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&ended);
        let holder: super::AddressLookup = Arc::new(move |wanted| {
            let found = fake::lookup(&lookups, &wanted);
            Box::pin(async move { found })
        });
        let remotes = Remotes {
            source: Arc::new(move || {
                Box::new(FakeSource {
                    directory: Arc::clone(&feed),
                    crash: Arc::clone(&signal),
                })
            }),
            members: Arc::new(move |dns| {
                let found = members.lock().resolve(&dns);
                Box::pin(async move { Ok(found) })
            }),
            address: Arc::clone(&holder),
            holder: always_told(&holder),
            passwords: Arc::new(|_, _| directory::PasswordSeen::default()),
            sessions: Sessions {
                changed: Arc::new(|_| {}),
                ended: Arc::new(move |uuid, _, kind| told.lock().push((uuid, kind))),
            },
            outlet: None,
        };
        let engine = SyncEngine::with_remotes(
            config,
            remotes,
            store.clone(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            ("A.test.", &[]),
            &Beside::default(),
        );
        let mut box_account = NewAccount::new(address("postmaster@example.test"));
        box_account.display_name = Some("Service box".to_owned());
        let id = store
            .create_account(box_account, &admin())
            .await
            .expect("created");
        let postmaster = store.account(id).expect("reads").expect("there").version;
        let random = Random(seed | 1);
        Self {
            directory,
            store,
            clock,
            crash,
            engine,
            random,
            next: 0,
            owners: BTreeMap::new(),
            postmaster,
            ended,
        }
    }

    /// A round, perhaps with a process that dies in it. True when it came to its end.
    async fn round(&mut self, wake: Wake) -> bool {
        let mut worker = Worker::load(&self.engine).await.expect("the store reads");
        tokio::select! {
            () = worker.round(wake) => self.engine.status().error.is_none(),
            () = self.crash.notified() => false,
        }
    }

    /// What comes over the feed that the worker has open, until nothing more comes; false when the process died.
    async fn hear(&self, worker: &mut Worker<'_>) -> bool {
        loop {
            let event = tokio::select! {
                biased;
                event = worker.next_event() => event,
                () = quiet() => return true,
            };
            tokio::select! {
                () = worker.live(event) => {}
                () = self.crash.notified() => return false,
            }
        }
    }

    /// Rounds without faults until nothing is left to do.
    async fn settle(&mut self, wake: Wake) {
        self.directory.lock().faults = Faults::default();
        for _ in 0..3 {
            self.clock.advance(Duration::from_secs(7200));
            let mut ended = self.round(wake).await;
            if !ended && self.engine.status().error.is_none() {
                // A death that an earlier poll had coming.
                ended = self.round(wake).await;
            }
            assert!(ended, "{:?}", self.engine.status().error);
        }
    }

    fn new_person(&mut self) -> Person {
        self.next += 1;
        let number = self.next;
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.random.below(u64::MAX).to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        Person {
            uuid: EntryUuid::from_bytes(bytes),
            dn: format!("uid=p{number},ou=people,dc=test"),
            kind: EntryKind::Account,
            address: address(&format!("p{number}@example.test")),
            aliases: Vec::new(),
            host: Some(
                ["a.test", "A.TEST.", "b.test"][usize::try_from(self.random.below(3)).expect("small")].into(),
            ),
            name: format!("Person {number}"),
            enabled: None,
            members: Vec::new(),
            in_scope: true,
            broken: false,
            csn: 0,
        }
    }

    fn somebody(&mut self, kind: EntryKind) -> Option<Person> {
        let directory = self.directory.lock();
        let some: Vec<Person> = directory
            .entries
            .values()
            .filter(|person| person.kind == kind)
            .cloned()
            .collect();
        drop(directory);
        if some.is_empty() {
            return None;
        }
        let at = usize::try_from(self.random.below(some.len() as u64)).expect("small");
        some.into_iter().nth(at)
    }

    /// One edit in the directory.
    fn edit_directory(&mut self) {
        let kind = if self.random.chance(20) {
            EntryKind::Group
        } else {
            EntryKind::Account
        };
        let chosen = self.somebody(kind);
        let roll = self.random.below(100);
        let Some(mut person) = chosen.filter(|_| roll >= 30) else {
            let mut person = self.new_person();
            if kind == EntryKind::Group {
                person.kind = kind;
                person.dn = format!("cn=g{},ou=groups,dc=test", self.next);
                person.address = address(&format!("g{}@example.test", self.next));
                person.host = None;
                for _ in 0..3 {
                    person
                        .members
                        .extend(self.somebody(EntryKind::Account).map(|member| member.dn));
                }
                person.members.dedup();
            }
            self.directory.lock().put(person);
            return;
        };
        self.next += 1;
        let number = self.next;
        match roll {
            30..42 => person.address = address(&format!("renamed{number}@example.test")),
            42..50 => person.name = format!("Name {number}"),
            50..56 => {
                person.enabled = [None, Some(true), Some(false)][usize::try_from(number % 3).expect("small")]
            }
            56..64 => person.aliases = vec![address(&format!("alias{number}@example.test"))],
            64..70 => person.in_scope = !person.in_scope,
            70..76 => person.broken = !person.broken,
            76..84 if kind == EntryKind::Account => {
                person.host = [
                    Some("a.test".to_owned()),
                    Some("b.test".to_owned()),
                    Some("c.test".to_owned()),
                    None,
                ][usize::try_from(number % 4).expect("small")]
                .clone();
            }
            84..88 => person.dn = format!("uid=moved{number},ou=people,dc=test"),
            88..92 if kind == EntryKind::Group => {
                person.members = self
                    .somebody(EntryKind::Account)
                    .map(|member| member.dn)
                    .into_iter()
                    .collect();
            }
            92..96 => {
                // Deleted and made again under the same name: another person.
                self.directory.lock().delete(person.uuid);
                person.uuid = self.new_person().uuid;
            }
            _ => {
                self.directory.lock().delete(person.uuid);
                return;
            }
        }
        self.directory.lock().put(person);
    }

    /// Somebody edits a synchronised account by hand: drift.
    async fn edit_locally(&mut self) {
        let accounts = self.store.list_accounts(None, 256).expect("reads");
        let linked: Vec<_> = accounts
            .iter()
            .filter(|account| self.owners.contains_key(&account.id))
            .collect();
        if linked.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(linked.len() as u64)).expect("small");
        let change = AccountChange {
            display_name: Some(Some("edited by hand".to_owned())),
            enabled: self.random.chance(50).then_some(false),
            ..AccountChange::default()
        };
        self.store
            .update_account(linked[at].id, None, change, &admin())
            .await
            .expect("edited");
    }

    fn random_faults(&mut self) -> Faults {
        let after = Some(usize::try_from(self.random.below(6)).expect("small"));
        Faults {
            shuffle: self.random.chance(50),
            duplicate: self.random.chance(30),
            false_deletes: self.random.chance(20),
            lose_one: self.random.chance(10),
            no_look_ups: self.random.chance(15),
            fail_after: after.filter(|_| self.random.chance(15)),
            crash_after: after.filter(|_| self.random.chance(25)),
        }
    }

    /// What holds at every moment, whatever went wrong.
    fn check_always(&mut self) {
        let mut linked = BTreeSet::new();
        for account in self.store.list_accounts(None, 256).expect("reads") {
            let link = self
                .store
                .association("people", LocalId::Account(account.id))
                .expect("reads");
            if account.address.local_part() == "postmaster" {
                assert_eq!(
                    (account.version, link),
                    (self.postmaster, None),
                    "never associated, never touched"
                );
                continue;
            }
            let link = link.expect("every other account came from the directory");
            assert!(linked.insert(link.remote), "one entry, one account");
            let owner = *self.owners.entry(account.id).or_insert(link.remote);
            assert_eq!(
                owner, link.remote,
                "an account never changes its owner, nor inherits mail"
            );
        }
    }

    /// What holds once everything was seen.
    fn check_settled(&self) {
        let directory = self.directory.lock();
        for person in directory
            .entries
            .values()
            .filter(|person| !person.broken && person.in_scope)
        {
            let here = person
                .host
                .as_deref()
                .is_some_and(|host| host.eq_ignore_ascii_case("a.test") || host == "A.TEST.");
            let link = self
                .store
                .association_by_uuid("people", person.uuid)
                .expect("reads");
            match (person.kind, link.map(|link| link.local)) {
                (EntryKind::Account, Some(LocalId::Account(id))) => {
                    let account = self.store.account(id).expect("reads").expect("there");
                    if here {
                        assert_eq!(
                            (&account.address, &account.aliases),
                            (&person.address, &person.aliases)
                        );
                        assert_eq!(account.display_name.as_deref(), Some(person.name.as_str()));
                        match &account.state {
                            AccountState::Active => {}
                            AccountState::AwaitingMail { .. } => {
                                assert!(
                                    directory.ever_elsewhere.contains(&person.uuid),
                                    "nothing to wait for"
                                );
                            }
                            other => panic!("{}: {other:?}", person.address),
                        }
                        // An account that was switched off by hand and never had the switch in the directory
                        // is not ours to switch on; the simulation's edits are repaired otherwise.
                        if let Some(enabled) = person.enabled {
                            assert_eq!(account.enabled, enabled, "{}", person.address);
                        }
                    } else {
                        assert!(!account.can_log_in(), "{} lives elsewhere", person.address);
                    }
                }
                // Who moved away keeps his addresses until his account is released, so a namesake has to wait.
                (EntryKind::Account, None) => {
                    assert!(!here || self.is_blocked(person), "{} is missing", person.address);
                }
                (EntryKind::Group, Some(LocalId::Group(id))) => {
                    let group = self.store.group(id).expect("reads").expect("there");
                    let of = |member: &Member| match member {
                        Member::Remote { uuid, address } => (*uuid, address.clone()),
                        Member::Local(address) => panic!("{address}"),
                    };
                    // Whose entry cannot be used now stays a member.
                    let usable = |(uuid, _): &(EntryUuid, Address)| {
                        directory.entries.get(uuid).is_none_or(|person| !person.broken)
                    };
                    let have: BTreeSet<_> = group.members.iter().map(of).filter(usable).collect();
                    let resolved = directory.resolve(&person.members).members.into_iter();
                    let want: BTreeSet<_> = resolved
                        .filter_map(|(uuid, address)| Some((uuid, address?)))
                        .collect();
                    assert_eq!(have, want, "{}", person.address);
                }
                (EntryKind::Group, None) => panic!("{} is missing", person.address),
                other => panic!("{other:?}"),
            }
        }
        for account in self.store.list_accounts(None, 256).expect("reads") {
            let link = self
                .store
                .association("people", LocalId::Account(account.id))
                .expect("reads");
            let gone = link.is_some_and(|link| {
                directory
                    .entries
                    .get(&link.remote)
                    .is_none_or(|person| !person.in_scope)
            });
            assert!(
                !gone || !account.can_log_in(),
                "{} should be off",
                account.address
            );
        }
    }

    fn is_blocked(&self, person: &Person) -> bool {
        let wanted: BTreeSet<String> = std::iter::once(&person.address)
            .chain(&person.aliases)
            .map(Address::key)
            .collect();
        let accounts = self.store.list_accounts(None, 256).expect("reads");
        let moved = accounts
            .iter()
            .filter(|account| matches!(account.state, AccountState::MovedAway { .. }));
        moved
            .flat_map(|account| account.addresses())
            .any(|address| wanted.contains(&address.key()))
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

/// Long enough for every other task of this runtime to have had its say.
async fn quiet() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What a run has to cope with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Every change is named at some time: the cookie alone must lead to the same end, whatever crashed.
    Feed,
    /// Events are lost and people edit accounts by hand: a comparison of everything must find it.
    Nothing,
}

async fn run(seed: u64, trust: Trust) {
    let mut world = World::new(seed, config(1_000_000, true)).await;
    world.directory.lock().persist = !seed.is_multiple_of(3);
    let engine = Arc::clone(&world.engine);
    let mut worker = Worker::load(&engine).await.expect("the store reads");
    for _ in 0..30 {
        for _ in 0..world.random.below(5) {
            world.edit_directory();
        }
        if trust == Trust::Nothing && world.random.chance(15) {
            world.edit_locally().await;
        }
        if world.random.chance(10) {
            let csn = world.directory.lock().csn;
            world.directory.lock().log_from = csn;
        }
        if world.random.chance(10)
            && let Some(person) = world.somebody(EntryKind::Account)
        {
            world.engine.on_demand(&person.address).await;
        }
        let mut faults = world.random_faults();
        faults.lose_one &= trust == Trust::Nothing;
        world.directory.lock().faults = faults;
        world.clock.advance(Duration::from_secs(31));
        let died = tokio::select! {
            () = worker.round(Wake::Now) => false,
            () = world.crash.notified() => true,
        };
        let mut alive = !died;
        // The search stays open over some edits, and is lost now and then.
        for _ in 0..world.random.below(4) {
            for _ in 0..world.random.below(4) {
                world.edit_directory();
            }
            if world.random.chance(15) {
                world.directory.lock().hang_up();
            }
            alive = alive && world.hear(&mut worker).await;
            world.check_always();
        }
        if !alive || world.random.chance(10) {
            worker = Worker::load(&engine).await.expect("the store reads");
        }
        world.check_always();
    }
    world
        .settle(if trust == Trust::Feed {
            Wake::Now
        } else {
            Wake::Full
        })
        .await;
    world.check_always();
    world.check_settled();
    // A comparison finds nothing that the feed did not lead to, but for references to entries that left
    // without ever having been in sight.
    let before = world.journal_end();
    assert!(world.round(Wake::Full).await);
    let late = world.store.journal_after(before, 256).expect("reads");
    assert!(
        late.iter().all(|row| row.touched == Touched::ASSOCIATION),
        "{late:?}"
    );
    let before = world.journal_end();
    assert!(world.round(Wake::Full).await);
    assert_eq!(world.journal_end(), before, "a second look writes nothing");
}

async fn all_seeds(trust: Trust) {
    for seed in 1..=60 {
        // A failing seed is in the output; add it to the tests as one of its own.
        println!("seed {seed}");
        run(seed, trust).await;
    }
}

#[tokio::test]
async fn the_feed_alone_leads_to_the_same_end() {
    all_seeds(Trust::Feed).await;
}

#[tokio::test]
async fn a_full_comparison_finds_what_was_lost() {
    all_seeds(Trust::Nothing).await;
}
