//! The live map on Active Directory, with an ordinary account.

use super::{as_reader, person};
use crate::live::Live;
use directory::ConnectorConfig;
use testkit::Samba;

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
    // An ordinary account is not told of this; the count finds it.
    samba.delete(&samba.user_dn("bert")).expect("a deletion");
    live.until("bert@example.test", "no").await;
    samba.kill().expect("killed");
    live.until("anna@example.test", "h2 stale").await;
    live.stop().await;
    // A front end that starts while the directory is away.
    let live = Live::start(config, folder.path());
    live.until("carl@example.test", "h3 stale").await;
    samba.restart().expect("a restart");
    samba.modify(&host(&samba, "carl", "h4")).expect("a move");
    live.until("carl@example.test", "h4 live").await;
    live.stop().await;
}
