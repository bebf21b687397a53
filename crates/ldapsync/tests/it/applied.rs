//! A plan that an administrator carries out although the guard holds a part of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_has_done_is_held_no_longer() {
    let people: String = ["one", "two", "three"]
        .map(|name| person(name, "a.test"))
        .concat();
    let slapd = Slapd::start(&people);
    let guard = serde_json::json!({ "guard": { "limit": 1, "floor": 0, "percent": 1 } });
    let a = Home::start_with(&slapd, "a.test", empty_store(), &guard);
    a.sync_well().await;
    for name in ["one", "two"] {
        slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn(name)));
    }
    a.until("the guard to hold both", |home| {
        home.engine.status().guard.held == 2
    })
    .await;
    assert!(a.can_log_in("one") && a.can_log_in("two"), "held");
    let plan = a.engine.plan().await.expect("a plan");
    let status = a.engine.apply(&plan.hash).await.expect("carried out");
    assert!(!a.can_log_in("one") && !a.can_log_in("two"), "done");
    assert_eq!(status.guard.held, 0, "{status:?}");
    assert!(!status.guard.tripped && status.guard.hash.is_none(), "{status:?}");
    assert!(status.quarantine.is_empty(), "{status:?}");
    let rows = a.store.list_quarantine("people", 10).expect("rows");
    assert!(rows.is_empty(), "kept over a restart");
}
