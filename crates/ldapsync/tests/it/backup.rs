//! A directory that is set back to a backup: an administrator says that it is to be believed, once.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_believed_after_a_restart_too() {
    let mut slapd = Slapd::start(&(person("one", "a.test") + &person("two", "a.test")));
    // Every removal waits for an approval, so that links keep what they know of the time after the backup.
    let guard = serde_json::json!({ "guard": { "limit": 1, "floor": 0, "percent": 1 } });
    let mut a = Home::start_with(&slapd, "a.test", empty_store(), &guard);
    a.sync_well().await;
    slapd.modify(&change("two", "replace", "displayName", "Before"));
    slapd.back_up();
    slapd.add(&person("late", "a.test"));
    // The values that count end as they were; the version does not.
    for name in ["Other", "Person one"] {
        slapd.modify(&change("one", "replace", "displayName", name));
    }
    a.sync_after_an_outage().await;
    a.until("late", |home| home.can_log_in("late")).await;
    slapd.restore();
    let status = a.sync_after_an_outage_fails().await;
    assert!(
        status
            .error
            .is_some_and(|error| error.contains("sync run --full"))
    );
    let status = a.engine.sync_full().await.expect("runs");
    assert_eq!((status.error, status.guard.held), (None, 1));
    assert!(a.can_log_in("late"), "held");
    // Nobody has written since. The next process believes what this one was told to.
    a.end().await;
    let a = Home::start_with(&slapd, "a.test", a.store.clone(), &guard);
    let status = a.sync_well().await;
    assert_eq!((status.guard.held, status.linked), (1, 3), "{status:?}");
    // A server that lags behind what was seen since is still noticed.
    slapd.back_up();
    slapd.modify(&change("one", "replace", "displayName", "New"));
    a.sync_after_an_outage().await;
    a.until("the new name", |home| {
        home.account("one").expect("here").display_name.as_deref() == Some("New")
    })
    .await;
    slapd.restore();
    a.sync_after_an_outage_fails().await;
}
