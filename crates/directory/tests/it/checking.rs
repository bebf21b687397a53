//! `homing directory check`: every fault that it names is found, and only then.

use super::slapd::{SUFFIX, Slapd};
use super::{clock, config};
use directory::check::{CheckOptions, Level, Need, Report, Verdict, check};
use directory::config::ConnectorTls;
use directory::{ConnectorConfig, Host, Lookup};
use model::Secret;
use std::net::TcpListener;

const NEEDED: CheckOptions = CheckOptions {
    hosts: Need::Needed,
    passwords: Need::Needed,
    sample: 100,
};

pub(crate) async fn report(config: &ConnectorConfig) -> Report {
    check(config, &*clock(), NEEDED)
        .await
        .expect("a good configuration")
}

fn text(report: &Report, level: Level, name: &str) -> String {
    let found = report
        .findings
        .iter()
        .filter(|finding| finding.check == name && finding.level == level);
    found.map(|finding| format!("{}\n", finding.text)).collect()
}

fn wrong(report: &Report, name: &str) -> String {
    text(report, Level::Wrong, name)
}

#[tokio::test]
async fn a_good_directory_is_good_and_every_finding_that_is_not_has_a_remedy() {
    let slapd = Slapd::start();
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    let mut config = config(&[&slapd]);
    config.groups.base_dn.clear();
    let report = report(&config).await;
    assert_eq!(report.verdict(), Verdict::Good, "{:#?}", report.findings);
    assert!(text(&report, Level::Good, "cookie").contains("takes it back"));
    assert!(
        text(&report, Level::Note, "scheme").contains("1 clear text"),
        "{:#?}",
        report.findings
    );
    let with_remedy =
        |finding: &directory::check::Finding| finding.level == Level::Good || finding.remedy.is_some();
    assert!(report.findings.iter().all(with_remedy));
}

#[tokio::test]
async fn faulty_entries_are_named() {
    let slapd = Slapd::start();
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    slapd.person(
        "bert",
        "mailLocalAddress: ANNA@localdomain.test\nmailHost: store1.test\n",
    );
    slapd.person("carl", "userPassword: {NOSUCH}abc\n");
    let report = report(&config(&[&slapd])).await;
    assert_eq!(report.verdict(), Verdict::Wrong);
    assert!(wrong(&report, "host").contains("1 entries without a host: uid=carl"));
    let double = wrong(&report, "address");
    assert!(
        double.contains("uid=anna") && double.contains("uid=bert"),
        "{double}"
    );
    assert!(text(&report, Level::Note, "password").contains("1 entries without a password: uid=bert"));
    assert!(wrong(&report, "password").contains("uid=carl"));
    let good = text(&report, Level::Good, "entries");
    assert!(good.contains("3 accounts and 0 groups"), "{good}");
}

#[tokio::test]
async fn a_search_that_stops_at_a_limit_is_wrong() {
    let slapd = Slapd::with_size_limit(2);
    for uid in ["anna", "bert", "carl"] {
        slapd.person(uid, "mailHost: store1.test\nuserPassword: secret\n");
    }
    let mut config = config(&[&slapd]);
    config.bind_dn = Some(format!("uid=anna,ou=Users,{SUFFIX}"));
    config.bind_password = Some(Secret::from("secret"));
    let report = report(&config).await;
    assert!(
        wrong(&report, "limits").contains("sizeLimitExceeded"),
        "{:#?}",
        report.findings
    );
    assert_eq!(report.verdict(), Verdict::Wrong);
}

#[tokio::test]
async fn an_identity_that_sees_no_password_is_told_apart_from_people_without_one() {
    let slapd = Slapd::start();
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    slapd.person("blind", "mailHost: store1.test\nuserPassword: secret\n");
    let mut config = config(&[&slapd]);
    config.bind_dn = Some(format!("uid=blind,ou=Users,{SUFFIX}"));
    config.bind_password = Some(Secret::from("secret"));
    let report = report(&config).await;
    assert_eq!(wrong(&report, "password"), "no entry shows userPassword\n");
}

#[tokio::test]
async fn names_that_the_server_does_not_know() {
    let slapd = Slapd::start();
    let mut config = config(&[&slapd]);
    config.accounts.base_dn = vec![format!("ou=Nowhere,{SUFFIX}")];
    config.accounts.object_class = Some("noSuchClass".to_owned());
    config.attributes.host = Some("noSuchHost".to_owned());
    let report = report(&config).await;
    let schema = wrong(&report, "schema");
    assert!(
        schema.contains("noSuchClass") && schema.contains("attributes.host"),
        "{schema}"
    );
    assert!(wrong(&report, "base").contains("ou=Nowhere"));
    // Our own attributes are missing there; they are not needed.
    assert!(text(&report, Level::Note, "schema").contains("homingQuota"));
}

#[tokio::test]
async fn nobody_answers_and_one_of_two_answers() {
    let slapd = Slapd::start();
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let mut config = config(&[&slapd]);
    config.uris.insert(0, format!("ldap://127.0.0.1:{port}"));
    let one = report(&config).await;
    assert_eq!(one.verdict(), Verdict::Wrong);
    assert!(
        !text(&one, Level::Good, "cookie").is_empty(),
        "the other one was looked into"
    );
    config.uris.pop();
    assert_eq!(report(&config).await.verdict(), Verdict::NoAnswer);
}

#[tokio::test]
async fn a_wrong_password_and_a_certificate_that_nobody_vouches_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let slapd = Slapd::with_certificate(&certificate, &key);
    let mut config = config(&[&slapd]);
    config.bind_password = Some(Secret::from("not it"));
    let refused = report(&config).await;
    assert!(wrong(&refused, "bind").contains("invalidCredentials"));
    assert_eq!(refused.verdict(), Verdict::Wrong);
    config.tls = Some(ConnectorTls::StartTls);
    let untrusted = report(&config).await;
    assert!(
        wrong(&untrusted, "certificate").contains("certificate"),
        "{:#?}",
        untrusted.findings
    );
    assert_eq!(untrusted.verdict(), Verdict::Wrong);
}

#[tokio::test]
async fn another_schema_needs_a_mapping_and_nothing_else() {
    let slapd = Slapd::start();
    slapd.person(
        "anna",
        "departmentNumber: store1.test\nemployeeNumber: a.nna@localdomain.test\nuserPassword: secret\n",
    );
    slapd.person("left", "employeeType: left\n");
    let mut config = config(&[&slapd]);
    config.accounts.filter = Some("(!(employeeType=left))".to_owned());
    config.attributes.host = Some("departmentNumber".to_owned());
    config.attributes.aliases = Some("employeeNumber".to_owned());
    let report = report(&config).await;
    assert_eq!(report.verdict(), Verdict::Good, "{:#?}", report.findings);
    assert!(text(&report, Level::Good, "entries").contains("1 accounts"));
    let lookup = super::connect(config, &clock())
        .lookup_address(&super::address("a.nna@localdomain.test"))
        .await;
    match lookup {
        Lookup::Found(account) => assert_eq!(account.host, Host::One("store1.test".to_owned())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_lockout_budget_is_compared_with_the_policy() {
    let slapd = Slapd::with_policy("pwdMaxFailure: 10\npwdFailureCountInterval: 600\n");
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    let finding = async |budget, window| {
        let mut config = config(&[&slapd]);
        (config.lockout_budget, config.lockout_window) = (budget, window);
        let report = report(&config).await;
        let found = report
            .findings
            .into_iter()
            .find(|finding| finding.check == "lockout");
        found.map(|finding| (finding.level, finding.text))
    };
    for (budget, window, level, said) in [
        (0, 600, Level::Note, "after 10 failed binds"),
        (9, 600, Level::Good, "below the 10"),
        (10, 600, Level::Wrong, "lockout_budget is 10"),
        (9, 300, Level::Wrong, "lockout_window is 300"),
    ] {
        let found = finding(budget, window).await.expect("a finding");
        assert!(
            found.0 == level && found.1.contains(said),
            "{budget} {window}: {found:?}"
        );
    }
    slapd.modify(&format!(
        "dn: cn=policy,{SUFFIX}\nchangetype: modify\nreplace: pwdFailureCountInterval\npwdFailureCountInterval: 0\n"
    ));
    let found = finding(9, 600).await.expect("a finding");
    assert!(
        found.0 == Level::Note && found.1.contains("never forgets"),
        "{found:?}"
    );
    slapd.modify(&format!(
        "dn: cn=policy,{SUFFIX}\nchangetype: modify\nreplace: pwdLockout\npwdLockout: FALSE\n"
    ));
    assert!(
        finding(9, 600)
            .await
            .is_some_and(|found| found.1.contains("locks nobody out"))
    );
    assert_eq!(finding(0, 600).await, None);
}

// A wrong password of the identity that writes shows at the check, not at the first change that gets nowhere.
#[tokio::test]
async fn the_identity_for_writes_is_tried_and_domains_are_counted() {
    let slapd = Slapd::start();
    slapd.person("anna", "mailHost: store1.test\nuserPassword: secret\n");
    let mut config = config(&[&slapd]);
    let (dn, password) = (config.bind_dn.clone(), config.bind_password.clone());
    config.write_bind_dn = dn;
    config.write_bind_password = password;
    let good = report(&config).await;
    assert!(
        text(&good, Level::Good, "write-bind").contains("which writes"),
        "{good:#?}"
    );
    assert_eq!(
        good.domains.get("localdomain.test"),
        Some(&1),
        "{:?}",
        good.domains
    );
    config.write_bind_password = Some(Secret::from("another".to_owned()));
    let bad = report(&config).await;
    assert!(
        wrong(&bad, "write-bind").contains("invalidCredentials"),
        "{bad:#?}"
    );
    assert_eq!(bad.verdict(), Verdict::Wrong);
}

// A server that hangs is no server without TLS: somebody has to try later, and nothing is known.
#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let slapd = Slapd::start();
    let mut config = config(&[&slapd]);
    config.uris = vec![format!("ldaps://127.0.0.1:{port}")];
    config.timeout = 1;
    let report = report(&config).await;
    assert!(
        wrong(&report, "reachable").contains("does not answer"),
        "{report:#?}"
    );
    assert_eq!(report.verdict(), Verdict::NoAnswer);
}
