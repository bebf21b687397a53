//! The same entry edited on both sides: three resolutions, two scopes.

use super::push::{admin, create, hosted, set, with};
use super::*;
use serde_json::json;
use store::{AccountChange, Loser};

/// What both sides have at the end: display name and quota. Here the name and the quota were edited, there the name
/// alone.
const MATRIX: [(&str, &str, &str, u64, usize); 6] = [
    ("attribute", "local-wins", "Ours", 7000, 1),
    ("attribute", "ldap-wins", "Theirs", 7000, 1),
    ("attribute", "no-change", "Person one", 7000, 1),
    // The whole object of the loser goes back.
    ("entry", "local-wins", "Ours", 7000, 1),
    ("entry", "ldap-wins", "Theirs", 0, 2),
    ("entry", "no-change", "Person one", 0, 2),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix() {
    for (scope, resolution, name, quota, lost) in MATRIX {
        let what = format!("{scope} {resolution}");
        let mut slapd = Slapd::start("");
        let store = hosted().await;
        let one = create(&store, "one").await;
        let more = json!({ "conflict_scope": scope, "conflict_resolution": resolution });
        let config = with("both-ways", &more);
        let mut a = Home::start_with(&slapd, "a.test", store.clone(), &config);
        a.until("it is there", |home| home.engine.status().linked == 1)
            .await;
        a.end().await;
        let edit = AccountChange {
            display_name: Some(Some("Ours".to_owned())),
            quota: Some(Some(model::ByteSize(7000))),
            ..AccountChange::default()
        };
        store
            .update_account(one, None, edit, &admin())
            .await
            .expect("edited");
        slapd.modify(&change("one", "replace", "displayName", "Theirs"));
        let a = Home::start_with(&slapd, "a.test", store.clone(), &config);
        a.until(&what, |home| {
            let account = home.account("one").expect("here");
            let there = slapd.values("(uid=one)", "homingQuota").expect("there");
            let there: u64 = there.first().map_or(0, |text| text.parse().expect("a number"));
            account.display_name.as_deref() == Some(name)
                && slapd.values("(uid=one)", "displayName") == set(&[name])
                && account.quota.map_or(0, |quota| quota.0) == quota
                && there == quota
        })
        .await;
        let rows = store.list_conflicts("people", None, 10).expect("reads");
        assert_eq!(rows.len(), lost, "{what}: {rows:?}");
        assert!(rows.iter().all(|row| row.rule == resolution), "{what}: {rows:?}");
        let named = rows.iter().find(|row| row.id.field == "display_name");
        let loser = match resolution {
            "local-wins" => Loser::Remote,
            "ldap-wins" => Loser::Local,
            _ => Loser::Both,
        };
        assert_eq!(named.map(|row| row.loser), Some(loser), "{what}: {rows:?}");
        // It stays so.
        let csn = slapd.csn("(uid=one)");
        a.engine.sync_full().await.expect("runs");
        assert_eq!(slapd.csn("(uid=one)"), csn, "{what}");
        slapd.stop();
    }
}
