//! Passwords that are rewritten, changed, locked away by policy, and guessed at.

use super::authentication::{authenticator, check, check_from};
use super::slapd::{SUFFIX, Slapd};
use super::{clock, config, connect};
use directory::config::{PasswordChangeMode, PasswordScheme};
use directory::export::Disabled;
use directory::{
    AccountEventKind, ChangedBy, Connector, ConnectorConfig, Heard, LdapMethod, Lookup, PasswordChangeError,
};
use model::Secret;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

/// The service identity that may write passwords and is not the rootdn, so that policies apply to it.
fn by_writer(slapd: &Slapd) -> ConnectorConfig {
    slapd.person("writer", "userPassword: writer's own\n");
    let mut config = config(&[slapd]);
    config.write_bind_dn = Some(format!("uid=writer,ou=Users,{SUFFIX}"));
    config.write_bind_password = Some(Secret::from("writer's own"));
    config
}

#[tokio::test]
async fn every_format_logs_in_and_a_locked_value_does_not() {
    let slapd = Slapd::start();
    for (uid, value) in [
        ("des", "{CRYPT}abhfCpXqd4GrI"),
        ("bsdi", "{CRYPT}_J9..rasmDiLRGIlI80c"),
        ("md5crypt", "{CRYPT}$1$saltsalt$NuzA7WTAelpl95xgBGWN60"),
        (
            "sha512",
            "{CRYPT}$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
        ),
        (
            "argon2",
            "{ARGON2}$argon2i$v=19$m=64,t=2,p=1$nVzI7zoa6Lw72Tig58zpkw$hAMGGwPiMrQtFPBvpoq/9ymViIjJcSc+wRyUd2uNdsc",
        ),
        ("locked", "{CRYPT}!"),
        ("starred", "{CRYPT}*"),
    ] {
        slapd.person(uid, &format!("userPassword: {value}\n"));
    }
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let source = authenticator(&connector, LdapMethod::Password, &clock);
    for uid in ["des", "bsdi", "md5crypt", "sha512", "argon2"] {
        let expected = format!("{uid}@localdomain.test");
        assert_eq!(check(&source, uid, "correct horse").await, expected);
        assert_eq!(check(&source, uid, "wrong").await, "wrong credential", "{uid}");
    }
    for uid in ["locked", "starred"] {
        assert_eq!(
            check(&source, uid, "correct horse").await,
            "wrong credential",
            "{uid}"
        );
    }
}

#[tokio::test]
async fn literal_base64_and_sasl() {
    let slapd = Slapd::start();
    // printf secret | base64, and the same of an {SSHA} value; written as text, so that slapd holds base64.
    slapd.person("clear", "userPassword: c2VjcmV0\n");
    slapd.person("sasl", "userPassword: {SASL}sasl@localdomain.test\n");
    slapd.person(
        "both",
        "userPassword: {SASL}both@localdomain.test\nuserPassword: secret\n",
    );
    let clock = clock();
    let mut encoded = config(&[&slapd]);
    encoded.attributes.password_encoding = directory::config::PasswordEncoding::Base64;
    let source = authenticator(&connect(encoded, &clock), LdapMethod::Password, &clock);
    assert_eq!(check(&source, "clear", "secret").await, "clear@localdomain.test");
    assert_eq!(check(&source, "clear", "c2VjcmV0").await, "wrong credential");
    let source = authenticator(&connect(config(&[&slapd]), &clock), LdapMethod::Password, &clock);
    assert_eq!(
        check(&source, "clear", "c2VjcmV0").await,
        "clear@localdomain.test"
    );
    // Only slapd knows who answers for {SASL}: here nobody, so the bind fails, and it takes the other value.
    assert_eq!(check(&source, "sasl", "secret").await, "wrong credential");
    assert_eq!(check(&source, "both", "secret").await, "both@localdomain.test");
}

#[tokio::test]
async fn a_weak_password_is_rewritten_and_nothing_ends() {
    for scheme in [PasswordScheme::Sha512Crypt, PasswordScheme::Argon2] {
        // A policy that makes users change what an administrator has set: a rewrite must not look like that.
        let slapd = Slapd::with_password_policy();
        slapd.person("anna", "userPassword: {SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS\n");
        slapd.person("des", "userPassword: {CRYPT}abhfCpXqd4GrI\n");
        slapd.person("short", "userPassword: {CRYPT}ab8Smhzf5D4wA\n");
        let mut upgrading = by_writer(&slapd);
        (upgrading.password_upgrade, upgrading.password_scheme) = (true, scheme);
        let clock = clock();
        let connector = connect(upgrading, &clock);
        let mut events = connector.account_events().subscribe();
        let source = authenticator(&connector, LdapMethod::Password, &clock);
        assert_eq!(check(&source, "anna", "wrong").await, "wrong credential");
        assert!(slapd.values("anna", "userPassword")[0].starts_with("{SSHA}"));
        assert_eq!(
            check(&source, "anna", "correct horse").await,
            "anna@localdomain.test"
        );
        let strong = match scheme {
            PasswordScheme::Sha512Crypt => "{CRYPT}$6$",
            PasswordScheme::Argon2 => "{ARGON2}$argon2id$",
        };
        until("it is rewritten", async || {
            let values = slapd.values("anna", "userPassword");
            values.len() == 1 && values[0].starts_with(strong)
        })
        .await;
        clock.advance(Duration::from_secs(61));
        assert_eq!(check(&source, "anna", "wrong").await, "wrong credential");
        assert_eq!(
            check(&source, "anna", "correct horse").await,
            "anna@localdomain.test"
        );
        if scheme == PasswordScheme::Sha512Crypt {
            assert!(slapd.takes("anna", "correct horse"), "slapd reads what we wrote");
        }
        // DES knows eight characters: another device may send another end of the same password.
        for form in ["correct horse", "correct "] {
            assert_eq!(check(&source, "des", form).await, "des@localdomain.test");
            clock.advance(Duration::from_secs(61));
        }
        assert_eq!(check(&source, "short", "p").await, "short@localdomain.test");
        until("a short one is rewritten", async || {
            slapd.values("short", "userPassword")[0].starts_with(strong)
        })
        .await;
        assert_eq!(slapd.values("des", "userPassword"), ["{CRYPT}abhfCpXqd4GrI"]);
        let heard = timeout(Duration::ZERO, events.next()).await;
        assert!(heard.is_err(), "the password is the same: {heard:?}");
    }
}

#[tokio::test]
async fn a_rewrite_that_is_refused_fails_no_login() {
    let slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    slapd.person("reader", "userPassword: reader\n");
    let mut upgrading = config(&[&slapd]);
    upgrading.password_upgrade = true;
    upgrading.write_bind_dn = Some(format!("uid=reader,ou=Users,{SUFFIX}"));
    upgrading.write_bind_password = Some(Secret::from("reader"));
    let clock = clock();
    let source = authenticator(&connect(upgrading, &clock), LdapMethod::Password, &clock);
    for _ in 0..3 {
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        clock.advance(Duration::from_secs(700));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(slapd.values("anna", "userPassword"), ["secret"]);
}

#[tokio::test]
async fn a_lock_ends_when_the_directory_says_so() {
    let slapd = Slapd::with_policy("pwdMaxFailure: 3\npwdLockoutDuration: 3\npwdFailureCountInterval: 600\n");
    slapd.person("anna", "userPassword: secret\n");
    slapd.person(
        "bert",
        "userPassword: secret\npwdAccountLockedTime: 000001010000Z\n",
    );
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    for method in [LdapMethod::Password, LdapMethod::Bind] {
        let source = authenticator(&connector, method, &clock);
        for _ in 0..3 {
            assert!(!slapd.takes("anna", "guess"));
        }
        assert_eq!(slapd.values("anna", "pwdAccountLockedTime").len(), 1);
        assert_eq!(
            check(&source, "anna", "wrong").await,
            match method {
                LdapMethod::Password => "wrong credential",
                LdapMethod::Bind => "locked",
            }
        );
        assert_eq!(check(&source, "anna", "secret").await, "locked", "{method:?}");
        until("the lock is over", async || {
            clock.advance(Duration::from_secs(120));
            check(&source, "anna", "secret").await == "anna@localdomain.test"
        })
        .await;
        assert!(slapd.values("anna", "pwdAccountLockedTime").is_empty());
        assert_eq!(
            check(&source, "bert", "secret").await,
            "locked",
            "an administrator's lock stays"
        );
    }
}

/// Guesses at anna's password from everywhere for a quarter of an hour, her own network included.
async fn guess(
    connector: &Arc<Connector>,
    clock: &Arc<model::ManualClock>,
) -> Arc<directory::LdapAuthenticator> {
    let source = authenticator(connector, LdapMethod::Bind, clock);
    assert_eq!(
        check_from(&source, "198.51.100.1", "anna", "secret").await,
        "anna@localdomain.test"
    );
    for round in 0..15 {
        clock.advance(Duration::from_secs(61));
        for network in 0..8 {
            let client = format!("203.0.{network}.{round}");
            let guess = format!("guess {round} {network}");
            let answer = check_from(&source, &client, "anna", &guess).await;
            assert!(
                ["wrong credential", "unavailable", "locked"].contains(&&*answer),
                "{answer}"
            );
        }
        // Her old telephone, which has not heard of the new password.
        check_from(&source, "198.51.100.1", "anna", "old one").await;
    }
    source
}

#[tokio::test]
async fn guessers_lock_nobody_in_the_directory_and_the_owner_gets_in() {
    const POLICY: &str = "pwdMaxFailure: 5\npwdFailureCountInterval: 1800\n";
    let slapd = Slapd::with_policy(POLICY);
    slapd.person("anna", "userPassword: secret\n");
    let mut careful = config(&[&slapd]);
    careful.lockout_budget = 4;
    let clock = clock();
    let connector = connect(careful, &clock);
    let source = guess(&connector, &clock).await;
    assert!(
        slapd.values("anna", "pwdAccountLockedTime").is_empty(),
        "locked in the directory"
    );
    assert!(
        !slapd.values("anna", "pwdFailureTime").is_empty(),
        "nothing was asked at all"
    );
    assert_eq!(
        check_from(&source, "203.0.99.1", "anna", "another guess").await,
        "unavailable",
        "a guess more than the guessers' share"
    );
    assert_eq!(
        check_from(&source, "198.51.100.1", "anna", "secret").await,
        "anna@localdomain.test",
        "the owner at home"
    );

    // Without the limit the same guesses do lock the account.
    let slapd = Slapd::with_policy(POLICY);
    slapd.person("anna", "userPassword: secret\n");
    let connector = connect(config(&[&slapd]), &clock);
    guess(&connector, &clock).await;
    assert_eq!(slapd.values("anna", "pwdAccountLockedTime").len(), 1);
}

async fn change(connector: &Connector, by: ChangedBy<'_>, new: &str) -> Result<(), PasswordChangeError> {
    let Lookup::Found(account) = connector.lookup_login("anna").await else {
        panic!("anna is there");
    };
    connector.change_password(&account, by, &Secret::from(new)).await
}

fn refused(result: Result<(), PasswordChangeError>) -> String {
    match result {
        Err(PasswordChangeError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_user_changes_the_password() {
    for mode in [PasswordChangeMode::AsUser, PasswordChangeMode::WriteIdentity] {
        let mut slapd = Slapd::start();
        slapd.person("anna", "userPassword: secret\n");
        let mut writing = by_writer(&slapd);
        writing.password_change = Some(mode);
        let clock = clock();
        let connector = connect(writing, &clock);
        let source = authenticator(&connector, LdapMethod::Bind, &clock);
        let mut events = connector.account_events().subscribe();
        let old = Secret::from("secret");
        assert_eq!(check(&source, "anna", "secret").await, "anna@localdomain.test");
        let by = ChangedBy::User { old: &old };
        change(&connector, by, "quite another")
            .await
            .expect("it is taken");
        let Ok(Some(Heard::Event(event))) = timeout(PATIENCE, events.next()).await else {
            panic!("no event");
        };
        assert_eq!(event.kind, AccountEventKind::PasswordChanged);
        assert_eq!(
            check(&source, "anna", "secret").await,
            "wrong credential",
            "the cache has forgotten the old one"
        );
        assert_eq!(
            check(&source, "anna", "quite another").await,
            "anna@localdomain.test"
        );
        assert!(slapd.takes("anna", "quite another"));
        // The old password is not the password any more.
        assert!(change(&connector, by, "a third").await.is_err(), "{mode:?}");
        let by_admin = change(
            &connector,
            ChangedBy::Administrator { here: Disabled::No },
            "set by hand",
        )
        .await;
        match mode {
            PasswordChangeMode::WriteIdentity => {
                by_admin.expect("the writer may");
                assert!(slapd.takes("anna", "set by hand"));
            }
            _ => assert!(matches!(by_admin, Err(PasswordChangeError::NotAllowed(_)))),
        }
        slapd.kill();
        let Lookup::Unavailable(_) = connector.lookup_login("anna").await else {
            panic!("slapd is gone");
        };
    }
}

#[tokio::test]
async fn the_directorys_policy_has_the_last_word() {
    let slapd = Slapd::with_policy("pwdCheckQuality: 2\npwdMinLength: 8\npwdInHistory: 3\n");
    slapd.person("anna", "userPassword: first secret\n");
    let mut as_user = config(&[&slapd]);
    as_user.password_change = Some(PasswordChangeMode::AsUser);
    let clock = clock();
    let connector = connect(as_user.clone(), &clock);
    let first = Secret::from("first secret");
    let text = refused(change(&connector, ChangedBy::User { old: &first }, "short").await);
    assert!(text.contains("too short"), "{text}");
    change(&connector, ChangedBy::User { old: &first }, "second secret")
        .await
        .expect("good");
    let second = Secret::from("second secret");
    let text = refused(change(&connector, ChangedBy::User { old: &second }, "first secret").await);
    assert!(text.contains("used before"), "{text}");
    slapd.modify(&format!(
        "dn: cn=policy,{SUFFIX}\nchangetype: modify\nreplace: pwdMinAge\npwdMinAge: 3600\n"
    ));
    let text = refused(change(&connector, ChangedBy::User { old: &second }, "third secret").await);
    assert!(text.contains("lately"), "{text}");
    slapd.modify(&format!(
        "dn: cn=policy,{SUFFIX}\nchangetype: modify\nreplace: pwdAllowUserChange\npwdAllowUserChange: FALSE\n"
    ));
    let result = change(&connector, ChangedBy::User { old: &second }, "third secret").await;
    assert!(
        matches!(result, Err(PasswordChangeError::NotAllowed(_))),
        "{result:?}"
    );

    as_user.password_change = None;
    let off = connect(as_user, &clock);
    let result = change(&off, ChangedBy::User { old: &second }, "third secret").await;
    let Err(PasswordChangeError::NotAllowed(text)) = result else {
        panic!("one-way sync writes nothing: {result:?}");
    };
    assert!(text.contains("password_change"), "{text}");
    assert!(slapd.takes("anna", "second secret"));
}

#[tokio::test]
async fn a_directory_that_is_away_is_try_later() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "userPassword: secret\n");
    let mut as_user = config(&[&slapd]);
    as_user.password_change = Some(PasswordChangeMode::AsUser);
    let connector = connect(as_user, &clock());
    let Lookup::Found(account) = connector.lookup_login("anna").await else {
        panic!("anna is there");
    };
    slapd.kill();
    let old = Secret::from("secret");
    let by = ChangedBy::User { old: &old };
    let result = connector
        .change_password(&account, by, &Secret::from("new"))
        .await;
    assert!(
        matches!(result, Err(PasswordChangeError::Unavailable(_))),
        "{result:?}"
    );
}
