//! The wall clock is set, forward and back, by years: what waits or expires goes by the clock that never jumps.

use super::authentication::{authenticator, check, check_from};
use super::slapd::Slapd;
use super::{address, clock, config, connect};
use directory::config::{MapKind, OnNoMatch};
use directory::{LdapMethod, Lookup, Route, UserMap, UserMapConfig, UserMaps};
use model::{Clock as _, ManualClock, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const METHODS: [LdapMethod; 2] = [LdapMethod::Password, LdapMethod::Bind];
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Sets the clock ahead, back to before it all began, and right again; calls `look` each time.
async fn jump(clock: &ManualClock, mut look: impl AsyncFnMut(&str)) {
    let now = clock.now();
    for (name, wall) in [
        ("ahead", now.after(YEARS)),
        ("back", Timestamp::from_millis(1)),
        ("right", now),
    ] {
        clock.set_wall(wall);
        look(name).await;
    }
}

#[tokio::test]
async fn right_passwords_stay_right_and_wrong_ones_wrong() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let mut config = config(&[&slapd]);
    config.timeout = 1;
    let connector = connect(config, &clock);
    for method in METHODS {
        let source = authenticator(&connector, method, &clock);
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        jump(&clock, async |name| {
            assert_eq!(
                check(&source, "anna", "secret").await,
                "anna@localdomain.test",
                "{name}"
            );
            assert_eq!(
                check(&source, "anna", "Secret").await,
                "wrong credential",
                "{name}"
            );
            clock.advance(Duration::from_secs(120));
            assert_eq!(
                check(&source, "anna", "secret").await,
                "anna@localdomain.test",
                "{name}, past the cache"
            );
        })
        .await;
        // In an outage the remembered password serves for as long as it should, not for ever and not for less.
        slapd.kill();
        jump(&clock, async |name| {
            clock.advance(Duration::from_secs(3600));
            assert_eq!(
                check(&source, "anna", "secret").await,
                "anna@localdomain.test",
                "{name}, an hour of outage"
            );
            assert_eq!(check(&source, "anna", "Secret").await, "unavailable", "{name}");
        })
        .await;
        clock.set_wall(Timestamp::from_millis(1));
        clock.advance(Duration::from_secs(2 * 86_400));
        assert_eq!(
            check(&source, "anna", "secret").await,
            "unavailable",
            "two days are too long"
        );
        slapd.restart();
        clock.advance(Duration::from_secs(60));
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
    }
}

#[tokio::test]
async fn a_throttled_client_waits_no_longer_and_no_shorter() {
    let slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    for method in METHODS {
        let source = authenticator(&connector, method, &clock);
        let mut guesses = 0;
        while check_from(&source, "198.51.100.7", "anna", &format!("wrong{guesses}")).await
            == "wrong credential"
        {
            guesses += 1;
            assert!(guesses < 1000, "guessing is never throttled");
        }
        jump(&clock, async |name| {
            let answer = check_from(&source, "198.51.100.7", "anna", "wrong again").await;
            assert_eq!(
                answer, "throttled",
                "{name}: the wall clock does not help a guesser"
            );
            assert_eq!(
                check_from(&source, "203.0.113.9", "anna", "secret").await,
                "anna@localdomain.test",
                "{name}: nor does it lock out the owner"
            );
        })
        .await;
        clock.set_wall(Timestamp::from_millis(1));
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(
            check_from(&source, "198.51.100.7", "anna", "secret").await,
            "anna@localdomain.test"
        );
    }
}

#[tokio::test]
async fn maps_and_servers_are_asked_again_in_time() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    let clock = clock();
    let mut config = config(&[&slapd]);
    config.attributes.host = Some("description".to_owned());
    let connector = connect(config, &clock);
    let map = UserMapConfig {
        name: "people".to_owned(),
        kind: MapKind::LdapBind,
        path: None,
        connector: Some("test".to_owned()),
        on_no_match: OnNoMatch::Reject,
        default_home: None,
        live: false,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    };
    let map = UserMap::new(map, Some(Arc::clone(&connector)), clock.clone()).expect("a map");
    let maps = UserMaps::new(vec![map]);
    let say = async |text: &str| match maps.resolve(&address(text)).await {
        Route::Home(found) => format!("{} {}", found.home, found.source.freshness),
        Route::Unavailable(_) => "unavailable".to_owned(),
        other => other.to_string(),
    };
    assert_eq!(say("anna@localdomain.test").await, "h1 server");
    assert_eq!(say("bert@localdomain.test").await, "no such account");
    slapd.person("bert", "description: h2\n");
    jump(&clock, async |name| {
        assert_eq!(say("anna@localdomain.test").await, "h1 cache", "{name}");
        assert_eq!(say("bert@localdomain.test").await, "no such account", "{name}");
    })
    .await;
    clock.set_wall(Timestamp::from_millis(1));
    clock.advance(Duration::from_secs(31));
    assert_eq!(
        say("bert@localdomain.test").await,
        "h2 server",
        "a no is not kept for ever"
    );
    clock.advance(Duration::from_secs(300));
    assert_eq!(say("anna@localdomain.test").await, "h1 server");
    // A server that failed is tried again when its time has come, whatever the wall clock says.
    slapd.kill();
    let lookup = connector.lookup_address(&address("anna@localdomain.test")).await;
    assert!(matches!(lookup, Lookup::Unavailable(_)), "{lookup:?}");
    slapd.restart();
    clock.set_wall(Timestamp::from_millis(1));
    clock.advance(Duration::from_secs(60));
    let lookup = connector.lookup_address(&address("anna@localdomain.test")).await;
    assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
}
