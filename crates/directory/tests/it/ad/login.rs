//! Logins by a bind: the reasons that the domain controller gives, and the state that an entry shows.

use super::{PASSWORD, config, connector, person};
use crate::authentication::{authenticator, check};
use crate::{clock, connect};
use directory::{AccountState, LdapMethod, Lookup};
use model::{Authenticator as _, Clock as _, EndReason, Recheck};
use std::time::Duration;
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
    assert_eq!(check(&auth, "anna", "not it").await, "wrong credential");
    assert_eq!(check(&auth, "nobody@example.test", PASSWORD).await, "no entry");
    set(&samba.suffix, "lockoutThreshold", "2");
    // Elsewhere than here, where guesses are throttled.
    for _ in 0..3 {
        let guess = ldap_bind(&samba, &samba.user_dn("locked"), "not it");
        assert!(guess.is_err());
    }
    // What the domain controller says, and what becomes of it.
    for (name, password, data, reason) in [
        ("anna", "not it", "52e", "wrong credential"),
        ("off", PASSWORD, "533", "disabled"),
        ("expired", PASSWORD, "701", "expired"),
        ("mustchange", PASSWORD, "773", "expired"),
        ("locked", PASSWORD, "775", "locked"),
    ] {
        let answer = ldap_bind(&samba, &samba.user_dn(name), password).expect_err("no bind");
        assert!(answer.contains(&format!("data {data},")), "{name}: {answer}");
        assert_eq!(check(&auth, name, password).await, reason, "{name}");
    }
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

/// Nothing is reported when the day comes that `accountExpires` names: the clock decides.
#[tokio::test]
async fn an_account_ends_at_its_time() {
    let mut samba = Samba::start("").expect("a domain controller");
    let clock = clock();
    let ends = clock.now().as_secs() + 3600;
    let more = format!("accountExpires: {}\n", (ends + 11_644_473_600) * 10_000_000);
    samba.add(&person(&samba, "anna", &more)).expect("anna");
    samba.add(&person(&samba, "bert", "")).expect("bert");
    let connector = connect(config(&samba), &clock);
    let auth = authenticator(&connector, LdapMethod::Bind, &clock);
    let mut people = Vec::new();
    for name in ["anna", "bert"] {
        assert_eq!(check(&auth, name, PASSWORD).await, format!("{name}@example.test"));
        people.push(crate::recheck::who(&connector, name).await);
    }
    let since = clock.monotonic();
    clock.advance(Duration::from_secs(3500));
    for person in &people {
        assert_eq!(auth.recheck(person, since).await, Recheck::Fine);
    }
    clock.advance(Duration::from_secs(100));
    assert_eq!(
        auth.recheck(&people[0], since).await,
        Recheck::Ended(EndReason::Disabled)
    );
    assert_eq!(auth.recheck(&people[1], since).await, Recheck::Fine);
    // While the domain controller is away, a remembered password is good for as long as the account is.
    samba.kill().expect("killed");
    assert_eq!(check(&auth, "anna", PASSWORD).await, "unavailable");
    assert_eq!(check(&auth, "bert", PASSWORD).await, "bert@example.test");
}
