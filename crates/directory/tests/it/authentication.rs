//! Both methods of checking a password.

use super::slapd::{SUFFIX, Slapd};
use super::{clock, config, connect};
use directory::{Connector, LdapAuthenticator, LdapMethod};
use model::{
    AuthOutcome, AuthRequest, Authenticator as _, Credential, ManualClock, Peer, Protocol, Secret, TlsState,
    TraceId,
};
use password::VerifyPool;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const METHODS: [LdapMethod; 2] = [LdapMethod::Password, LdapMethod::Bind];

pub(crate) fn authenticator(
    connector: &Arc<Connector>,
    method: LdapMethod,
    clock: &Arc<ManualClock>,
) -> Arc<LdapAuthenticator> {
    LdapAuthenticator::new(
        connector.clone(),
        method,
        VerifyPool::for_this_machine(),
        clock.clone(),
    )
    .expect("an authenticator")
}

pub(crate) async fn check(authenticator: &LdapAuthenticator, login: &str, password: &str) -> String {
    check_from(authenticator, "192.0.2.1", login, password).await
}

pub(crate) async fn check_from(
    authenticator: &LdapAuthenticator,
    client: &str,
    login: &str,
    password: &str,
) -> String {
    let client = SocketAddr::new(client.parse().expect("an address"), 40_000);
    let request = AuthRequest {
        login: login.to_owned(),
        authzid: None,
        credential: Credential::Password(Secret::from(password)),
        protocol: Protocol::Imap,
        peer: Peer {
            client,
            local: client,
            tls: TlsState::Encrypted,
            trace: TraceId::new(1),
        },
    };
    match authenticator.check(&request).await {
        AuthOutcome::Accepted(who) => who.address.to_string(),
        AuthOutcome::Rejected(reason) => reason.to_string(),
        AuthOutcome::NoEntry => "no entry".to_owned(),
        AuthOutcome::Throttled(_) => "throttled".to_owned(),
        AuthOutcome::Unavailable(_) => "unavailable".to_owned(),
    }
}

#[tokio::test]
async fn right_wrong_empty_missing() {
    let slapd = Slapd::start();
    slapd.person("clear", "userPassword: secret\n");
    slapd.person("hashed", "userPassword: {SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS\n");
    slapd.person(
        "several",
        "userPassword: {SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS\nuserPassword: secret\n",
    );
    slapd.person("nothing", "");
    slapd.person("two1", "mailLocalAddress: x\nuserPassword: secret\n");
    slapd.modify(&format!(
        "dn: uid=two1,ou=Users,{SUFFIX}\nchangetype: modify\nadd: mail\nmail: clear2@localdomain.test\n"
    ));
    slapd.person("clear2", "userPassword: secret\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    for method in METHODS {
        let source = authenticator(&connector, method, &clock);
        for (login, password, expected) in [
            ("clear@localdomain.test", "secret", "clear@localdomain.test"),
            ("CLEAR", "secret", "clear@localdomain.test"),
            ("clear", "Secret", "wrong credential"),
            ("clear", "", "empty password"),
            ("hashed", "correct horse", "hashed@localdomain.test"),
            (
                "hashed",
                "{SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS",
                "wrong credential",
            ),
            ("several", "secret", "several@localdomain.test"),
            ("several", "correct horse", "several@localdomain.test"),
            ("nobody", "secret", "no entry"),
            ("clear@elsewhere.test", "secret", "no entry"),
            ("*", "secret", "no entry"),
            ("clear2@localdomain.test", "secret", "unavailable"),
        ] {
            assert_eq!(
                check(&source, login, password).await,
                expected,
                "{method:?} {login} {password}"
            );
        }
        let nothing = check(&source, "nothing", "secret").await;
        match method {
            LdapMethod::Password => assert_eq!(nothing, "the entry has no password"),
            // slapd says no more than invalidCredentials.
            LdapMethod::Bind => {
                assert!(["wrong credential", "the entry has no password"].contains(&&*nothing))
            }
        }
    }
}

#[tokio::test]
async fn an_identity_without_the_right_to_read_passwords_is_an_outage() {
    let slapd = Slapd::start();
    slapd.person("blind", "userPassword: service\n");
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let mut blind = config(&[&slapd]);
    blind.bind_dn = Some(format!("uid=blind,ou=Users,{SUFFIX}"));
    blind.bind_password = Some("service".into());
    let connector = connect(blind, &clock);
    let source = authenticator(&connector, LdapMethod::Password, &clock);
    assert_eq!(check(&source, "anna", "secret").await, "unavailable");
    let source = authenticator(&connector, LdapMethod::Bind, &clock);
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
}

#[tokio::test]
async fn a_changed_password_and_an_outage() {
    for method in METHODS {
        let mut slapd = Slapd::start();
        slapd.person("anna", "userPassword: secret\n");
        slapd.person("bert", "userPassword: secret\n");
        let clock = clock();
        let connector = connect(config(&[&slapd]), &clock);
        let source = authenticator(&connector, method, &clock);
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        slapd.modify(&format!(
            "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: changed\n"
        ));
        clock.advance(Duration::from_secs(61));
        assert_eq!(
            check(&source, "anna", "secret").await,
            "wrong credential",
            "{method:?}"
        );
        assert_eq!(check(&source, "anna", "changed").await, "anna@localdomain.test");

        slapd.kill();
        for (login, password, expected) in [
            ("anna", "changed", "anna@localdomain.test"),
            ("anna", "secret", "unavailable"),
            ("anna", "guess", "unavailable"),
            ("anna", "", "empty password"),
            ("bert", "secret", "unavailable"),
            ("nobody", "secret", "unavailable"),
        ] {
            assert_eq!(
                check(&source, login, password).await,
                expected,
                "{method:?} {login} {password}"
            );
        }
        clock.advance(Duration::from_secs(25 * 3600));
        assert_eq!(
            check(&source, "anna", "changed").await,
            "unavailable",
            "{method:?}: a day is over"
        );
        slapd.restart();
        clock.advance(Duration::from_secs(60));
        assert_eq!(check(&source, "anna", "changed").await, "anna@localdomain.test");
        assert_eq!(check(&source, "bert", "secret").await, "bert@localdomain.test");
    }
}

#[tokio::test]
async fn an_outage_is_no_time_for_guessing() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let source = authenticator(&connector, LdapMethod::Bind, &clock);
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
    slapd.kill();
    for guess in 0..20 {
        let answer = check(&source, "anna", &format!("guess {guess}")).await;
        assert_eq!(answer, "unavailable");
    }
    assert_eq!(
        check(&source, "anna", "secret").await,
        "unavailable",
        "the twenty-first guess is not looked at"
    );
    clock.advance(Duration::from_secs(120));
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let source = authenticator(&connector, LdapMethod::Bind, &clock);
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
    let mut refused = 0;
    for guess in 0..20 {
        if check(&source, "anna", &format!("guess {guess}")).await == "throttled" {
            refused += 1;
        }
    }
    assert!(refused > 0, "twenty guesses in a moment were all answered");
    assert_eq!(
        check(&source, "anna", "secret").await,
        "anna@localdomain.test",
        "a cached credential passes"
    );
    clock.advance(Duration::from_secs(120));
    assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
}

#[tokio::test]
async fn the_state_of_the_account_counts_also_for_cached_credentials() {
    for method in METHODS {
        let mut slapd = Slapd::with_password_policy();
        slapd.person("anna", "userPassword: secret\ndescription: TRUE\n");
        slapd.person("bert", "userPassword: secret\ndescription: TRUE\n");
        let clock = clock();
        let mut enabled = config(&[&slapd]);
        enabled.attributes.enabled = Some(directory::config::EnabledConfig {
            attribute: "description".to_owned(),
            kind: directory::config::EnabledKind::Bool,
            mask: 2,
            invert: false,
        });
        let connector = connect(enabled, &clock);
        let source = authenticator(&connector, method, &clock);
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        replace(&slapd, "anna", "description", "FALSE");
        assert_eq!(check(&source, "anna", "secret").await, "disabled", "{method:?}");
        replace(&slapd, "anna", "description", "TRUE");
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        replace(&slapd, "anna", "pwdReset", "TRUE");
        assert_eq!(check(&source, "anna", "secret").await, "expired", "{method:?}");
        assert_eq!(
            check(&source, "anna", "wrong").await,
            "wrong credential",
            "only the owner hears of it"
        );
        replace(&slapd, "anna", "pwdReset", "FALSE");
        replace(&slapd, "anna", "pwdAccountLockedTime", "000001010000Z");
        assert_ne!(
            check(&source, "anna", "secret").await,
            "anna@localdomain.test",
            "{method:?}: locked"
        );

        // What was seen before the outage holds during it.
        assert_eq!(check(&source, "bert", "secret").await, "bert@localdomain.test");
        replace(&slapd, "bert", "description", "FALSE");
        assert_eq!(check(&source, "bert", "secret").await, "disabled");
        slapd.kill();
        assert_eq!(check(&source, "bert", "secret").await, "unavailable");
    }
}

pub(crate) fn replace(slapd: &Slapd, uid: &str, attribute: &str, value: &str) {
    slapd.modify(&format!(
        "dn: uid={uid},ou=Users,{SUFFIX}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
    ));
}
