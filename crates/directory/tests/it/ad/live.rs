//! The live map on Active Directory, with an ordinary account.

use super::{as_reader, person};
use crate::live::Live;
use directory::ConnectorConfig;
use model::{Clock as _, EndReason, Recheck, SystemClock};
use std::time::Duration;
use testkit::Samba;
use tokio::time::sleep;

fn host(samba: &Samba, name: &str, host: &str) -> String {
    format!(
        "dn: {}\nchangetype: modify\nreplace: description\ndescription: {host}\n",
        samba.user_dn(name)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_are_seen_and_deletions_are_counted() {
    let mut samba = Samba::start("").expect("a domain controller");
    let more =
        "description: h1\nproxyAddresses: SMTP:anna@example.test\nproxyAddresses: smtp:a@example.test\n";
    samba.add(&person(&samba, "anna", more)).expect("anna");
    samba
        .add(&person(&samba, "bert", "description: h1\n"))
        .expect("bert");
    let folder = tempfile::tempdir().expect("a folder");
    let config = ConnectorConfig {
        polling_interval: 1,
        audit_interval: 2,
        ..as_reader(&samba)
    };
    let live = Live::start(config.clone(), folder.path());
    live.until("anna@example.test", "h1 live").await;
    live.until("A+tag@example.test", "h1 live").await;
    live.until("nobody@example.test", "no").await;
    samba.modify(&host(&samba, "anna", "h2")).expect("a move");
    live.until("a@example.test", "h2 live").await;
    samba
        .add(&person(&samba, "carl", "description: h3\n"))
        .expect("carl");
    live.until("carl@example.test", "h3 live").await;
    // The end of an account is no change: the map knows it beforehand, and the clock does the rest.
    let ends = SystemClock::new().now().as_secs() + 3;
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modify\nreplace: accountExpires\naccountExpires: {}\n-\n\
             replace: description\ndescription: h5\n",
            samba.user_dn("carl"),
            (ends + 11_644_473_600) * 10_000_000
        ))
        .expect("an end");
    live.until("carl@example.test", "h5 live").await;
    let carl = live.who("carl").await;
    while live.recheck(&carl).await == Recheck::Fine {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(live.recheck(&carl).await, Recheck::Ended(EndReason::Disabled));
    assert!(SystemClock::new().now().as_secs() >= ends);
    assert_eq!(
        live.say("carl@example.test").await,
        "h5 live",
        "mail still goes home"
    );
    // An ordinary account is not told of this; the count finds it.
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    live.until("bert@example.test", "no").await;
    samba.kill().expect("killed");
    live.until("anna@example.test", "h2 stale").await;
    live.stop().await;
    // A front end that starts while the directory is away.
    let live = Live::start(config, folder.path());
    live.until("carl@example.test", "h5 stale").await;
    samba.restart().expect("a restart");
    samba.modify(&host(&samba, "carl", "h4")).expect("a move");
    live.until("carl@example.test", "h4 live").await;
    live.stop().await;
}
