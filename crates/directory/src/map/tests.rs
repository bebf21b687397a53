//! The walk over an ordered list of maps.

use super::ldap_map::{Decision, Known, decide_account};
use super::*;
use crate::account::{AccountState, DirectoryAccount, Host};
use model::{EntryUuid, ManualClock};

fn map(text: &str, on_no_match: OnNoMatch, default_home: Option<&str>) -> (tempfile::TempDir, Arc<UserMap>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("map");
    std::fs::write(&path, text).expect("write");
    let config = UserMapConfig {
        name: text.chars().take(3).collect(),
        kind: MapKind::LocalFile,
        path: Some(path),
        connector: None,
        on_no_match,
        default_home: default_home.map(str::to_owned),
        live: false,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    };
    let map = UserMap::new(config, None, Arc::new(ManualClock::default())).expect("a map");
    (folder, map)
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

#[tokio::test]
async fn the_list_is_walked_in_order() {
    let (_one, first) = map("a@x.test h1\nr@x.test reject\n", OnNoMatch::Next, None);
    let (_two, second) = map(
        "b@x.test h2\na@x.test never\n",
        OnNoMatch::Default,
        Some("rest.test"),
    );
    let maps = UserMaps::new(vec![first.clone(), second]);
    let home = async |text| match maps.resolve(&address(text)).await {
        Route::Home(found) => format!("{} {}", found.home, found.source.freshness),
        other => other.to_string(),
    };
    assert_eq!(home("a@x.test").await, "h1 file");
    assert_eq!(home("b@x.test").await, "h2 file");
    assert_eq!(home("c@x.test").await, "rest.test default");
    assert_eq!(home("r@x.test").await, "rejected by a rule");
    assert!(matches!(maps.resolve_login("A@X.test").await, Route::Home(_)));
    assert_eq!(maps.resolve_login("bare").await, Route::NoSuchAccount);
    let only = UserMaps::new(vec![first]);
    assert_eq!(only.resolve(&address("c@x.test")).await, Route::NoSuchAccount);
    let explained = maps.explain(&address("b@x.test")).await;
    assert_eq!(explained.steps.len(), 2);
    assert_eq!(explained.steps[0].answer, "no match; the next map is asked");
    assert_eq!(explained.steps[1].rule.as_deref(), Some("b@x.test"));
}

#[test]
fn an_entry_routes_only_with_exactly_one_good_host() {
    let account = |host: Host| DirectoryAccount {
        dn: "uid=a,dc=test".to_owned(),
        uuid: EntryUuid::from_bytes([7; 16]),
        kind: EntryKind::Account,
        address: address("a@x.test"),
        aliases: Vec::new(),
        catch_all: Vec::new(),
        host,
        state: AccountState::Active,
        state_until: None,
        display_name: None,
        given_name: None,
        surname: None,
        quota: None,
        members: Vec::new(),
        entry_csn: None,
    };
    let kind = EntryKind::Account;
    assert_eq!(
        decide_account(account(Host::None)),
        Decision::Say(Route::NoHome { kind })
    );
    assert_eq!(
        decide_account(account(Host::One("not a host".to_owned()))),
        Decision::Say(Route::NoHome { kind })
    );
    let two = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(
        decide_account(account(Host::Several(two.clone()))),
        Decision::Say(Route::Ambiguous(two))
    );
    assert!(matches!(
        decide_account(account(Host::One("Store1.Test.".to_owned()))),
        Decision::Known(Known::Home { home, .. }) if home.host() == "store1.test"
    ));
}
