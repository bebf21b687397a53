//! `copy_passwords`: who may log in while the directory is away, and was not remembered.

use super::{Options, Site, expect};
use anyhow::{Context, Result};
use serde_json::{Value, json};

#[test]
fn a_copied_password_passes_while_the_directory_is_away() -> Result<()> {
    let mut site = Site::start(Options {
        auth: "[\"ldap-password\", \"local\"]",
        connector: "copy_passwords = true",
        ..Options::default()
    })?;
    let login = |site: &Site, uid: &str, password: &str| -> Value {
        let how = json!({ "mechanism": "PLAIN", "login": site.mail(uid), "password": password });
        site.attempt(site.home_doors, "imap", "implicit", how)
    };
    expect(&[
        (login(&site, "carol", "correct horse"), "in"),
        (login(&site, "carol", "wrong"), "refused"),
    ])?;
    site.slapd.stop()?;
    // Nothing is remembered from before.
    site.home.stop()?;
    site.home.restart()?;
    expect(&[
        (login(&site, "carol", "correct horse"), "in"),
        // An outage is no time to refuse anybody.
        (login(&site, "carol", "wrong"), "later"),
        // Clear text is never copied.
        (login(&site, "alice", "alice-secret"), "later"),
    ])
    .with_context(|| site.home.log_tail())?;
    Ok(())
}
