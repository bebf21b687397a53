//! `homing directory check` on Active Directory.

use super::{HOST, as_reader, config, person};
use crate::checking::report;
use directory::check::{Level, Report, Verdict};
use testkit::Samba;

fn text(report: &Report, level: Level, name: &str) -> String {
    let found = report
        .findings
        .iter()
        .filter(|finding| finding.check == name && finding.level == level);
    found.map(|finding| format!("{}\n", finding.text)).collect()
}

#[tokio::test]
async fn rights_hosts_and_the_make_of_the_server_are_told() {
    let samba = Samba::start("").expect("a domain controller");
    samba
        .add(&person(&samba, "anna", &format!("{HOST}: store1.test\n")))
        .expect("anna");
    let mut with_rights = config(&samba);
    with_rights.ca_file = Some(samba.certificate().certificate.clone());
    with_rights.uris = vec![samba.tls_uri()];
    let good = report(&with_rights).await;
    assert_ne!(good.verdict(), Verdict::NoAnswer);
    assert!(
        text(&good, Level::Good, "changes").contains("deletions are told"),
        "{good:#?}"
    );
    assert!(text(&good, Level::Good, "tls").contains("certificate verified"));
    assert!(text(&good, Level::Good, "version").contains("Active Directory"));
    assert_eq!(text(&good, Level::Wrong, "host"), "", "{good:#?}");
    let ordinary = report(&as_reader(&samba)).await;
    assert!(
        text(&ordinary, Level::Note, "changes").contains("ordinary account"),
        "{ordinary:#?}"
    );
    samba.add(&person(&samba, "nohome", "")).expect("nohome");
    let faulty = report(&with_rights).await;
    assert!(
        text(&faulty, Level::Wrong, "host").contains("CN=nohome"),
        "{faulty:#?}"
    );
    let mut other = with_rights.clone();
    other.server_type = directory::config::ServerType::Openldap;
    let other = report(&other).await;
    assert!(
        text(&other, Level::Wrong, "version").contains("Active Directory"),
        "{other:#?}"
    );
}
