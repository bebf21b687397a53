//! The base tree and the identities as LDIF (RFC 2849).

use super::{IdentityHashes, Suffix, identity_dns};
use std::fmt::Write as _;

/// The base tree: the suffix, the organization below a domain suffix, `ou=Groups` and `ou=Users`.
pub(super) fn base(suffix: &Suffix) -> String {
    let mut out = String::new();
    let top = suffix.first_value();
    match suffix.domain() {
        Some(domain) => {
            record(
                &mut out,
                &suffix.to_string(),
                &["top", "organization", "dcObject"],
                &[("o", &domain), ("dc", top)],
            );
            record(
                &mut out,
                &organization(suffix),
                &["top", "organization"],
                &[("o", top)],
            );
        }
        None => record(
            &mut out,
            &suffix.to_string(),
            &["top", "organization"],
            &[("o", top)],
        ),
    }
    for unit in ["Groups", "Users"] {
        let dn = format!("ou={unit},{}", organization(suffix));
        record(&mut out, &dn, &["top", "organizationalUnit"], &[("ou", unit)]);
    }
    out
}

/// The entry that Users and Groups stand below. An `o` suffix is the organization itself.
fn organization(suffix: &Suffix) -> String {
    match suffix.domain() {
        Some(_) => format!("o={},{suffix}", suffix.first_value()),
        None => suffix.to_string(),
    }
}

/// The identities that read and write. The rootdn has its password in slapd.conf and needs no entry.
pub(super) fn identities(suffix: &Suffix, hashes: &IdentityHashes) -> String {
    let mut out = String::new();
    let [_, read, write] = identity_dns(suffix);
    for (dn, cn, hash, description) in [
        (
            read,
            "homing-read",
            &hashes.read,
            "Homing reads the directory as this identity",
        ),
        (
            write,
            "homing-write",
            &hashes.write,
            "Homing writes accounts and groups as this identity",
        ),
    ] {
        record(
            &mut out,
            &dn,
            &["top", "organizationalRole", "simpleSecurityObject"],
            &[("cn", cn), ("description", description), ("userPassword", hash)],
        );
    }
    out
}

/// One LDIF record. Every value here is printable ASCII without a leading space or colon (see
/// [`Suffix`] and the check of hashes), so none needs base64.
fn record(out: &mut String, dn: &str, classes: &[&str], attributes: &[(&str, &str)]) {
    if !out.is_empty() {
        out.push('\n');
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "dn: {dn}");
    for class in classes {
        let _ = writeln!(out, "objectClass: {class}");
    }
    for (name, value) in attributes {
        let _ = writeln!(out, "{name}: {value}");
    }
}
