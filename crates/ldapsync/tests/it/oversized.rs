//! An entry larger than `max_entry` stands in quarantine, and everybody else is synchronised.

use super::slapd::Slapd;
use super::{Home, change, dn, empty_store, person};

/// Beyond 1 MiB, as base64.
fn recording() -> String {
    format!("audio:: {}\n", "YWFh".repeat(400_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_large_entry_stops_nobody_else() {
    let large = person("large", "a.test").trim_end().to_owned() + "\n" + &recording() + "\n";
    let slapd = Slapd::start(&(person("before", "a.test") + &large + &person("behind", "a.test")));
    let mut config = Home::config(&slapd, &serde_json::json!({}));
    // The least that may be set.
    config.max_entry = 1;
    config.attributes.given_name = Some("audio".to_owned());
    let a = Home::run(config, "a.test", empty_store());
    let status = a.sync_well().await;
    assert!(a.can_log_in("before") && a.can_log_in("behind"), "{status:?}");
    assert!(a.account("large").is_none());
    let [row] = status.quarantine.as_slice() else {
        panic!("{status:?}")
    };
    assert!(
        row.reason.contains(&dn("large")) && row.reason.contains("more than max_entry allows"),
        "{}",
        row.reason
    );

    // An account that is here already stays as it is, and later changes of others arrive.
    slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nadd: audio\n{}\n",
        dn("before"),
        recording()
    ));
    slapd.modify(&change("behind", "replace", "mail", "renamed@localdomain.test"));
    let status = a.sync_well().await;
    assert_eq!(status.quarantine.len(), 2, "{status:?}");
    assert!(a.can_log_in("before") && a.can_log_in("renamed"), "{status:?}");

    // Small again, they come in by themselves.
    for name in ["before", "large"] {
        slapd.modify(&format!(
            "dn: {}\nchangetype: modify\ndelete: audio\n\n",
            dn(name)
        ));
    }
    let status = a.sync_well().await;
    assert!(status.quarantine.is_empty(), "{status:?}");
    assert!(a.can_log_in("before") && a.can_log_in("large"));
}
