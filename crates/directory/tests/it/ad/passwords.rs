//! Logins, guesses and changed passwords against Active Directory.

use super::{PASSWORD, config, person};
use crate::authentication::{authenticator, check, check_from};
use crate::{clock, connect};
use directory::config::PasswordChangeMode;
use directory::export::Disabled;
use directory::{ChangedBy, Connector, ConnectorConfig, LdapMethod, Lookup, PasswordChangeError};
use model::Secret;
use std::time::Duration;
use testkit::Samba;

/// Over TLS: Active Directory takes no new password otherwise.
pub(super) fn encrypted(samba: &Samba) -> ConnectorConfig {
    ConnectorConfig {
        uris: vec![samba.tls_uri()],
        ca_file: Some(samba.certificate().certificate.clone()),
        ..config(samba)
    }
}

fn replace(samba: &Samba, dn: &str, attribute: &str, value: &str) {
    samba
        .modify(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
        ))
        .expect("a change");
}

async fn change(connector: &Connector, by: ChangedBy<'_>, new: &str) -> Result<(), PasswordChangeError> {
    let Lookup::Found(account) = connector.lookup_login("anna").await else {
        panic!("anna is there");
    };
    connector.change_password(&account, by, &Secret::from(new)).await
}

#[tokio::test]
async fn states_and_changes() {
    let samba = Samba::start("").expect("Samba");
    for name in ["anna", "off", "must", "over"] {
        samba.add(&person(&samba, name, "")).expect("a person");
    }
    for (limit, value) in [("minPwdLength", "8"), ("minPwdAge", "0")] {
        replace(&samba, &samba.suffix, limit, value);
    }
    replace(&samba, &samba.user_dn("off"), "userAccountControl", "514");
    replace(&samba, &samba.user_dn("must"), "pwdLastSet", "0");
    replace(
        &samba,
        &samba.user_dn("over"),
        "accountExpires",
        "132000000000000000",
    );
    let clock = clock();
    let mut writing = encrypted(&samba);
    writing.password_change = Some(PasswordChangeMode::WriteIdentity);
    let connector = connect(writing, &clock);
    let source = authenticator(&connector, LdapMethod::Bind, &clock);
    for (login, password, answer) in [
        ("anna", PASSWORD, "anna@example.test"),
        ("anna", "wrong", "wrong credential"),
        ("off", PASSWORD, "disabled"),
        ("must", PASSWORD, "expired"),
        ("must", "wrong", "wrong credential"),
        ("over", PASSWORD, "expired"),
        ("nobody", PASSWORD, "no entry"),
    ] {
        assert_eq!(
            check(&source, login, password).await,
            answer,
            "{login} {password}"
        );
    }
    let old = Secret::from(PASSWORD);
    let wrong = Secret::from("not the old one");
    let result = change(&connector, ChangedBy::User { old: &wrong }, "Quite an0ther").await;
    assert_eq!(result, Err(PasswordChangeError::WrongPassword));
    let result = change(&connector, ChangedBy::User { old: &old }, "x").await;
    assert!(
        matches!(result, Err(PasswordChangeError::Refused(_))),
        "{result:?}"
    );
    change(&connector, ChangedBy::User { old: &old }, "Quite an0ther")
        .await
        .expect("it is taken");
    assert_eq!(check(&source, "anna", "Quite an0ther").await, "anna@example.test");
    change(
        &connector,
        ChangedBy::Administrator { here: Disabled::No },
        "Set by h4nd",
    )
    .await
    .expect("the writer may");
    clock.advance(Duration::from_secs(61));
    assert_eq!(check(&source, "anna", "Set by h4nd").await, "anna@example.test");
}

#[tokio::test]
async fn guessers_lock_nobody_in_the_domain() {
    let samba = Samba::start("").expect("Samba");
    samba.add(&person(&samba, "anna", "")).expect("a person");
    replace(&samba, &samba.suffix, "lockoutThreshold", "5");
    let clock = clock();
    let mut careful = config(&samba);
    careful.lockout_budget = 4;
    let source = authenticator(&connect(careful, &clock), LdapMethod::Bind, &clock);
    let home = "198.51.100.1";
    assert_eq!(
        check_from(&source, home, "anna", PASSWORD).await,
        "anna@example.test"
    );
    for round in 0..10 {
        clock.advance(Duration::from_secs(61));
        check_from(
            &source,
            &format!("203.0.113.{round}"),
            "anna",
            &format!("guess {round}"),
        )
        .await;
        check_from(&source, home, "anna", "of the old telephone").await;
    }
    let shown = samba
        .search(
            &samba.user_dn("anna"),
            "(objectClass=*)",
            &["lockoutTime", "badPwdCount"],
        )
        .expect("anna");
    assert!(!shown.contains("lockoutTime: 1"), "{shown}");
    assert!(
        !shown.contains("badPwdCount: 0"),
        "nothing was asked at all: {shown}"
    );
    assert_eq!(
        check_from(&source, home, "anna", PASSWORD).await,
        "anna@example.test"
    );
}
