//! A weak hash in the directory is replaced when its owner logs in, and nobody notices.

use super::{HORSE, Options, Site, expect};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use serde_json::json;
use system_tests::steps::eventually;
use testkit::ImapClient;

/// The values of an attribute; LDIF has those of a password in base64 (RFC 2849).
fn passwords(site: &Site, uid: &str) -> Result<Vec<String>> {
    let found = site
        .slapd
        .search(&site.people.dn(uid), "(objectClass=*)", &["userPassword"])?;
    let values = found
        .lines()
        .filter_map(|line| line.strip_prefix("userPassword:: "));
    values
        .map(|value| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value)?;
            Ok(String::from_utf8(bytes)?)
        })
        .collect()
}

#[test]
fn a_login_replaces_a_weak_hash_once() -> Result<()> {
    let site = Site::start(Options {
        connector: "password_upgrade = true",
        ..Options::default()
    })?;
    let login = |uid: &str, password: &str| {
        let how = json!({ "mechanism": "PLAIN", "login": site.mail(uid), "password": password });
        site.attempt(site.home_doors, "imap", "implicit", how)
    };
    let mut open = ImapClient::connect(site.home_doors.plain.imap)?;
    (|| {
        for (uid, password) in [("carol", "correct horse"), ("alice", "alice-secret")] {
            let before = passwords(&site, uid)?;
            expect(&[(login(uid, "wrong"), "refused")])?;
            ensure!(
                passwords(&site, uid)? == before,
                "a wrong password has changed the right one"
            );
            ensure!(open.login(&site.mail(uid), password)?.starts_with("OK"), "{uid}");
            eventually("a strong hash is in the directory", || {
                let now = passwords(&site, uid)?;
                Ok(now.len() == 1 && now[0].starts_with("{CRYPT}$6$"))
            })?;
            expect(&[(login(uid, password), "in"), (login(uid, "wrong"), "refused")])?;
            // The password is the same, so the session goes on.
            open.ok("NOOP")?;
            open = ImapClient::connect(site.home_doors.plain.imap)?;
        }
        ensure!(passwords(&site, "carol")? != [HORSE]);
        let kept = passwords(&site, "carol")?;
        expect(&[(login("carol", "correct horse"), "in")])?;
        ensure!(passwords(&site, "carol")? == kept, "a strong hash is left alone");
        Ok(())
    })()
    .with_context(|| site.home.log_tail())
}
