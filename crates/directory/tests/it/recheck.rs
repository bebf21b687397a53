//! Sessions that are looked at again, and the events that end them.

use super::authentication::{authenticator, check, replace};
use super::slapd::{SUFFIX, Slapd};
use super::{clock, config, connect};
use directory::config::{EnabledConfig, EnabledKind, MapKind, OnNoMatch};
use directory::{
    AccountEventKind, Connector, ConnectorConfig, Heard, LdapAuthenticator, LdapMethod, UserMap,
    UserMapConfig,
};
use model::{Authenticated, Authenticator as _, Clock, EndReason, Recheck, SystemClock};
use net::Shutdown;
use password::VerifyPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_state(slapd: &Slapd) -> ConnectorConfig {
    let mut config = config(&[slapd]);
    config.attributes.enabled = Some(EnabledConfig {
        attribute: "description".to_owned(),
        kind: EnabledKind::Bool,
        mask: 2,
        invert: false,
    });
    config
}

pub(crate) async fn who(connector: &Connector, uid: &str) -> Authenticated {
    let directory::Lookup::Found(account) = connector.lookup_login(uid).await else {
        panic!("{uid} is there");
    };
    Authenticated {
        address: account.address.clone(),
        entry: Some(account.uuid),
    }
}

#[tokio::test]
async fn a_session_is_good_until_the_directory_says_otherwise() {
    for method in [LdapMethod::Password, LdapMethod::Bind] {
        let mut slapd = Slapd::start();
        for uid in ["anna", "bert", "carl"] {
            slapd.person(uid, "userPassword: secret\ndescription: TRUE\n");
        }
        let clock = clock();
        let connector = connect(with_state(&slapd), &clock);
        let mut events = connector.account_events().subscribe();
        let source = authenticator(&connector, method, &clock);
        let mut people = Vec::new();
        for uid in ["anna", "bert", "carl"] {
            assert_eq!(
                check(&source, uid, "secret").await,
                format!("{uid}@localdomain.test")
            );
            people.push(who(&connector, uid).await);
        }
        clock.advance(Duration::from_secs(1));
        let since = clock.monotonic();
        for person in &people {
            assert_eq!(source.recheck(person, since).await, Recheck::Fine);
        }
        replace(&slapd, "anna", "userPassword", "changed");
        replace(&slapd, "bert", "description", "FALSE");
        slapd.modify(&format!("dn: uid=carl,ou=Users,{SUFFIX}\nchangetype: delete\n"));
        clock.advance(Duration::from_secs(60));
        for (person, reason) in people.iter().zip([
            EndReason::PasswordChanged,
            EndReason::Disabled,
            EndReason::Deleted,
        ]) {
            assert_eq!(
                source.recheck(person, since).await,
                Recheck::Ended(reason),
                "{method:?}"
            );
        }
        let Ok(Some(Heard::Event(event))) = timeout(PATIENCE, events.next()).await else {
            panic!("no event");
        };
        assert_eq!(
            (event.kind, Some(event.entry)),
            (AccountEventKind::PasswordChanged, people[0].entry)
        );
        // A session of the new password is not meant.
        clock.advance(Duration::from_secs(1));
        assert_eq!(check(&source, "anna", "changed").await, "anna@localdomain.test");
        assert_eq!(source.recheck(&people[0], clock.monotonic()).await, Recheck::Fine);

        let stranger = Authenticated {
            entry: Some(model::EntryUuid::from_bytes([9; 16])),
            ..people[0].clone()
        };
        assert_eq!(source.recheck(&stranger, since).await, Recheck::NotMine);
        slapd.kill();
        clock.advance(Duration::from_secs(60));
        let answer = source.recheck(&people[0], clock.monotonic()).await;
        assert!(matches!(answer, Recheck::Unavailable(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_login_after_a_change_ends_what_began_before() {
    let slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let source = authenticator(&connector, LdapMethod::Password, &clock);
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
    let anna = who(&connector, "anna").await;
    let since = clock.monotonic();
    replace(&slapd, "anna", "userPassword", "changed");
    clock.advance(Duration::from_secs(1));
    assert_eq!(check(&source, "anna", "changed").await, "anna@localdomain.test");
    assert_eq!(
        source.recheck(&anna, since).await,
        Recheck::Ended(EndReason::PasswordChanged)
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(source.recheck(&anna, clock.monotonic()).await, Recheck::Fine);
}

#[tokio::test]
async fn the_live_map_tells_at_once() {
    let slapd = Slapd::start();
    for uid in ["anna", "bert", "carl", "dora"] {
        slapd.person(
            uid,
            "userPassword: {SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS\ndescription: TRUE\nroomNumber: one.test\n",
        );
    }
    let mut config = with_state(&slapd);
    config.attributes.host = Some("roomNumber".to_owned());
    config.password_upgrade = true;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let connector = Connector::new(config, Arc::clone(&clock)).expect("a connector");
    let pool = VerifyPool::for_this_machine();
    let source = LdapAuthenticator::new(
        Arc::clone(&connector),
        LdapMethod::Password,
        pool,
        Arc::clone(&clock),
    )
    .expect("an authenticator");
    let map = UserMapConfig {
        name: "people".to_owned(),
        kind: MapKind::LdapPassword,
        path: None,
        connector: Some("test".to_owned()),
        on_no_match: OnNoMatch::Reject,
        default_home: None,
        live: true,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let map = UserMap::with_snapshots(
        map,
        Some(Arc::clone(&connector)),
        folder.path().to_owned(),
        Arc::clone(&clock),
    )
    .expect("a live map");
    let (trigger, shutdown) = Shutdown::new();
    let driver = tokio::spawn(map.live_driver().expect("a driver").run(shutdown));
    let filled = async {
        while map.problem().is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, filled).await.expect("the map fills");

    let mut events = connector.account_events().subscribe();
    let mut next = async || match timeout(PATIENCE, events.next()).await {
        Ok(Some(Heard::Event(event))) => event,
        other => panic!("{other:?}"),
    };
    let anna = who(&connector, "anna").await;
    let since = clock.monotonic();
    // Our own rewrite of the same password is no event: the next one is of somebody else.
    assert_eq!(
        check(&source, "anna", "correct horse").await,
        "anna@localdomain.test"
    );
    let rewritten = async {
        while !slapd.values("anna", "userPassword")[0].starts_with("{CRYPT}") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, rewritten).await.expect("it is rewritten");
    let uuid = |uid: &'static str| {
        let connector = Arc::clone(&connector);
        async move { who(&connector, uid).await.entry.expect("a UUID") }
    };
    let (bert, carl, dora) = (uuid("bert").await, uuid("carl").await, uuid("dora").await);
    replace(&slapd, "bert", "description", "FALSE");
    let event = next().await;
    assert_eq!((event.entry, event.kind), (bert, AccountEventKind::Disabled));
    assert_eq!(
        event.address.map(|address| address.to_string()).as_deref(),
        Some("bert@localdomain.test")
    );
    replace(&slapd, "carl", "roomNumber", "two.test");
    let event = next().await;
    let moved = AccountEventKind::Moved {
        to: Some("two.test".to_owned()),
    };
    assert_eq!((event.entry, event.kind), (carl, moved));
    assert_eq!(
        source.recheck(&anna, since).await,
        Recheck::Fine,
        "the map says so, and no server is asked"
    );
    replace(&slapd, "anna", "userPassword", "changed");
    let event = next().await;
    assert_eq!(
        (Some(event.entry), event.kind),
        (anna.entry, AccountEventKind::PasswordChanged)
    );
    assert_eq!(
        source.recheck(&anna, since).await,
        Recheck::Ended(EndReason::PasswordChanged)
    );
    slapd.modify(&format!("dn: uid=dora,ou=Users,{SUFFIX}\nchangetype: delete\n"));
    let event = next().await;
    assert_eq!((event.entry, event.kind), (dora, AccountEventKind::Deleted));
    trigger.request(Duration::ZERO);
    driver.await.expect("the driver ends");
}
