//! Guesses at the front end, before a directory that locks accounts.

use super::{Options, Site, expect, python};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::run_with_input;

const FAILURES: u32 = 11;

#[test]
fn a_guesser_locks_nobody_out() -> Result<()> {
    let options = Options {
        auth: "[\"ldap-bind\"]",
        connector: "lockout_budget = 10\nlockout_window = 3600",
        lockout: Some(FAILURES),
        ..Options::default()
    };
    let site = Site::start(options)?;
    let (front, doors) = site.front(options, "kind = \"ldap-bind\"")?;
    let attempt = |source: &str, password: &str| {
        let how = json!({
            "mechanism": "LOGIN COMMAND", "login": site.mail("alice"), "password": password, "source": source,
        });
        site.attempt(doors, "imap", "plain", how)
    };
    let (owner, stranger) = ("127.50.0.1", "127.60.0.1");
    (|| {
        expect(&[(attempt(owner, "alice-secret"), "in")])?;
        let guesses: Vec<Value> = (0..60)
            .map(|number| {
                attempt(
                    &format!("127.{}.0.1", 10 + number % 5),
                    &format!("guess {number}"),
                )
            })
            .collect();
        for told in python(&guesses)? {
            ensure!(
                told["outcome"] == "refused" || told["outcome"] == "later",
                "{told}"
            );
        }
        let entry = site
            .slapd
            .search(&site.people.dn("alice"), "(objectClass=*)", &["+"])?;
        let failures = entry.matches("pwdFailureTime: ").count();
        ensure!(
            failures > 0,
            "the guesses have never come to the directory:\n{entry}"
        );
        ensure!(failures < FAILURES as usize, "{entry}");
        ensure!(!entry.contains("pwdAccountLockedTime"), "{entry}");
        // From elsewhere the right password may have to wait, and is never called wrong.
        let told = python(&[attempt(stranger, "alice-secret")])?;
        ensure!(
            told[0]["outcome"] == "in" || told[0]["outcome"] == "later",
            "{told:?}"
        );
        expect(&[(attempt(owner, "alice-secret"), "in")])?;
        // And the directory's other users, who come by themselves, are not locked out either.
        let file = site
            .scratch
            .write("alice.pw", "alice-secret")?
            .display()
            .to_string();
        let args = [
            "-x",
            "-H",
            &site.slapd.uri(),
            "-D",
            &site.people.dn("alice"),
            "-y",
            &file,
        ]
        .map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_with_input("ldapwhoami", &args, b"").map(drop)
    })()
    .with_context(|| format!("{}\n{}", site.home.log_tail(), front.log_tail()))
}

/// The same directory without the budget locks the account: the test above is about something.
#[test]
fn without_a_budget_the_directory_would_lock_the_account() -> Result<()> {
    let options = Options {
        auth: "[\"ldap-bind\"]",
        lockout: Some(FAILURES),
        ..Options::default()
    };
    let site = Site::start(options)?;
    let guesses: Vec<Value> = (0..60)
        .map(|number| {
            let how = json!({
                "mechanism": "LOGIN COMMAND", "login": site.mail("alice"), "password": format!("guess {number}"),
                "source": format!("127.{}.0.1", 10 + number % 5),
            });
            site.attempt(site.home_doors, "imap", "plain", how)
        })
        .collect();
    python(&guesses)?;
    let entry = site
        .slapd
        .search(&site.people.dn("alice"), "(objectClass=*)", &["+"])?;
    ensure!(entry.contains("pwdAccountLockedTime"), "{entry}");
    Ok(())
}
