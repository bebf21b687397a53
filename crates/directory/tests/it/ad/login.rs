//! Logins by a bind: the reasons that the domain controller gives, and the state that an entry shows.

use super::{PASSWORD, config, connector, person};
use crate::authentication::{authenticator, check};
use crate::{clock, connect};
use directory::{AccountState, LdapMethod, Lookup};
use testkit::Samba;

/// 2012, in 100 ns since 1601.
const LONG_AGO: &str = "129700000000000000";

#[tokio::test]
async fn every_reason_is_told_apart() {
    let samba = Samba::start("").expect("a domain controller");
    for (name, more) in [
        ("anna", ""),
        ("off", ""),
        ("expired", &format!("accountExpires: {LONG_AGO}\n")),
        ("mustchange", "pwdLastSet: 0\n"),
        ("locked", ""),
    ] {
        samba.add(&person(&samba, name, more)).expect(name);
    }
    let set = |dn: &str, attribute: &str, value: &str| {
        samba
            .modify(&format!(
                "dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
            ))
            .expect("a change");
    };
    set(&samba.user_dn("off"), "userAccountControl", "514");
    let clock = clock();
    let connector = connect(config(&samba), &clock);
    let auth = authenticator(&connector, LdapMethod::Bind, &clock);
    for login in ["anna@example.test", "anna", "ANNA@Example.Test"] {
        assert_eq!(
            check(&auth, login, PASSWORD).await,
            "anna@example.test",
            "{login}"
        );
    }
    let wrong = check(&auth, "anna", "not it").await;
    assert_eq!(check(&auth, "nobody@example.test", PASSWORD).await, "no entry");
    let answers = ["off", "expired", "mustchange"].map(|name| (name, wrong.clone()));
    for (name, wrong) in answers {
        assert_ne!(
            check(&auth, name, PASSWORD).await,
            wrong,
            "{name} has the right password"
        );
    }
    set(&samba.suffix, "lockoutThreshold", "2");
    // Elsewhere than here, where guesses are throttled.
    for _ in 0..3 {
        let guess = ldap_bind(&samba, &samba.user_dn("locked"), "not it");
        assert!(guess.is_err());
    }
    assert_ne!(check(&auth, "locked", PASSWORD).await, wrong);
    let state = async |name: &str| match connector.lookup_login(name).await {
        Lookup::Found(found) => found.state,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(state("anna").await, AccountState::Active);
    assert_eq!(state("off").await, AccountState::Disabled);
    assert_eq!(state("expired").await, AccountState::Expired);
    assert_eq!(state("mustchange").await, AccountState::Expired);
    assert_eq!(state("locked").await, AccountState::Locked);
}

fn ldap_bind(samba: &Samba, dn: &str, password: &str) -> Result<String, String> {
    let uri = samba.ldapi_uri();
    let args = [
        "-x", "-H", &uri, "-D", dn, "-w", password, "-b", "", "-s", "base", "1.1",
    ];
    testkit::run_with_input("ldapsearch", &args, b"").map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_remembered_password_does_not_outlive_the_account() {
    let samba = Samba::start("").expect("a domain controller");
    samba.add(&person(&samba, "anna", "")).expect("anna");
    let clock = clock();
    let connector = connect(config(&samba), &clock);
    let auth = authenticator(&connector, LdapMethod::Bind, &clock);
    assert_eq!(check(&auth, "anna", PASSWORD).await, "anna@example.test");
    samba
        .modify(&format!(
            "dn: {}\nchangetype: modify\nreplace: accountExpires\naccountExpires: {LONG_AGO}\n",
            samba.user_dn("anna")
        ))
        .expect("a change");
    assert_ne!(check(&auth, "anna", PASSWORD).await, "anna@example.test");
}

#[tokio::test]
async fn reading_passwords_is_refused_for_it_cannot_work() {
    let samba = Samba::start("").expect("a domain controller");
    let made = directory::LdapAuthenticator::new(
        connector(config(&samba)),
        LdapMethod::Password,
        password::VerifyPool::for_this_machine(),
        clock(),
    );
    assert!(made.is_err());
}
