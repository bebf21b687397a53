//! Passwords: known by their stamps, copied where configured, queued nowhere.

use super::push::{admin, create, hosted, with};
use super::*;
use directory::{AccountEventKind, Heard};
use serde_json::json;
use store::{AccountChange, StoreConfig};

// `{SSHA}` of "secret", with two salts.
const FIRST: &str = "{SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";
const SECOND: &str = "{SSHA}AhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";
const CLEAR: &str = "a-password-that-nobody-may-find";

fn hash(home: &Home, name: &str) -> Option<Vec<u8>> {
    let account = home.account(name).expect("here");
    account.password_hash().map(|hash| hash.expose().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_copied_and_a_change_ends_sessions() {
    let with_password =
        |text: String| text.replace("sn: Person", &format!("sn: Person\nuserPassword: {FIRST}"));
    let slapd = Slapd::start(&with_password(person("one", "a.test")));
    let config = json!({ "copy_passwords": true });
    let mut a = Home::start_with(&slapd, "a.test", empty_store(), &config);
    let mut events = a.connector.account_events().subscribe();
    a.sync_well().await;
    assert_eq!(hash(&a, "one").as_deref(), Some(FIRST.as_bytes()));
    // What was set here is undone: the directory is the source.
    let id = a.account("one").expect("here").id;
    let edit = AccountChange {
        password_hash: Some(Some(model::Secret::from(
            "{SSHA}BhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ",
        ))),
        ..AccountChange::default()
    };
    a.store
        .update_account(id, None, edit, &admin())
        .await
        .expect("edited");
    a.engine.sync_full().await.expect("runs");
    assert_eq!(hash(&a, "one").as_deref(), Some(FIRST.as_bytes()));
    slapd.modify(&change("one", "replace", "userPassword", SECOND));
    a.until("the new hash", |home| {
        hash(home, "one").as_deref() == Some(SECOND.as_bytes())
    })
    .await;
    let heard = tokio::time::timeout(std::time::Duration::from_secs(10), events.next()).await;
    match heard.expect("in time") {
        Some(Heard::Event(event)) => assert_eq!(event.kind, AccountEventKind::PasswordChanged),
        other => panic!("{other:?}"),
    }
    // An edit of something else is no change of the password, and neither is a restart.
    slapd.modify(&change("one", "replace", "displayName", "Another"));
    a.until("a name", |home| {
        home.account("one").expect("here").display_name.as_deref() == Some("Another")
    })
    .await;
    a.end().await;
    let store = a.store.clone();
    let end = a.journal_end();
    let b = Home::start_with(&slapd, "a.test", store, &config);
    let mut later = b.connector.account_events().subscribe();
    b.engine.sync_full().await.ok();
    b.sync_well().await;
    assert_eq!(b.journal_end(), end);
    for stream in [&mut events, &mut later] {
        let more = tokio::time::timeout(std::time::Duration::from_millis(1), stream.next()).await;
        assert!(!matches!(more, Ok(Some(_))), "{more:?}");
    }
}

// Everything that happens to passwords, and then the bytes of the store.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_store_has_a_password() {
    let slapd = Slapd::start(
        &person("one", "a.test").replace("sn: Person", &format!("sn: Person\nuserPassword: {CLEAR}")),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let config = with("both-ways", &json!({ "conflict_resolution": "ldap-wins" }));
    {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Store::open(folder.path(), &StoreConfig::default(), clock).expect("a store");
        let domain = Domain::parse("localdomain.test").expect("a domain");
        store.create_domain(&domain, &admin()).await.expect("created");
        let mut a = Home::start_with(&slapd, "a.test", store.clone(), &config);
        a.until("linked", |home| home.engine.status().linked == 1).await;
        let id = a.account("one").expect("here").id;
        // A conflict, a write, and another password at the same time.
        let edit = AccountChange {
            display_name: Some(Some("Found-by-the-scan".to_owned())),
            ..AccountChange::default()
        };
        store
            .update_account(id, None, edit, &admin())
            .await
            .expect("edited");
        slapd.modify(
            &(change("one", "replace", "userPassword", &format!("{CLEAR}-2"))
                + &change("one", "replace", "displayName", "Theirs")
                + &change("one", "replace", "userPassword", FIRST)),
        );
        a.sync_well().await;
        a.engine.sync_full().await.expect("runs");
        a.end().await;
        store.close().await.expect("closed");
    }
    let (mut scanned, mut finds) = (0, 0);
    for file in files(folder.path()) {
        let bytes = std::fs::read(&file).expect("reads");
        scanned += bytes.len();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for secret in [CLEAR, FIRST, "WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ"] {
            assert!(!has(secret), "{secret} in {}", file.display());
        }
        finds += usize::from(has("Found-by-the-scan") || has("one@localdomain.test"));
    }
    assert!(
        scanned > 0 && finds > 0,
        "the scan reads what is stored: {scanned} {finds}"
    );
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

// Where nothing is copied the account keeps its own hash, and a change in the directory ends sessions all the same.
#[tokio::test(flavor = "multi_thread")]
async fn without_copies_only_sessions_hear_of_it() {
    let slapd = Slapd::start("");
    let store = hosted().await;
    create(&store, "one").await;
    let a = Home::start_with(
        &slapd,
        "a.test",
        store.clone(),
        &with("local-to-ldap", &json!({})),
    );
    a.until("there", |home| home.engine.status().linked == 1).await;
    slapd.modify(&change("one", "replace", "userPassword", FIRST));
    // First seen, so there is nothing that it differs from.
    let stamped = |home: &Home| {
        let links = home.store.list_associations("people", None, 10).expect("reads");
        links
            .iter()
            .any(|link| link.data.digests.contains_key("password.remote"))
    };
    a.until("noted", stamped).await;
    let mut events = a.connector.account_events().subscribe();
    slapd.modify(&change("one", "replace", "userPassword", SECOND));
    let heard = tokio::time::timeout(std::time::Duration::from_secs(10), events.next()).await;
    match heard.expect("in time") {
        Some(Heard::Event(event)) => assert_eq!(event.kind, AccountEventKind::PasswordChanged),
        other => panic!("{other:?}"),
    }
    assert_eq!(hash(&a, "one"), None);
}
