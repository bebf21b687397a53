//! The law of the levels: which crate may depend on which.

use crate::metadata::Metadata;
use anyhow::Result;
use std::path::Path;

/// The table of ARCHITECTURE.md. Only normal dependencies count; tests may look where they like, but for
/// the product crates, which must not see `testkit`'s users.
const MAY_DEPEND_ON: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("wire", &["model"]),
    ("password", &["model"]),
    ("net", &["model"]),
    ("ldap", &["model", "net"]),
    ("directory", &["model", "ldap", "net", "password"]),
    ("store", &["model", "password"]),
    ("frontend", &["model", "wire", "net", "directory"]),
    ("mta", &["model", "wire", "net", "store", "directory"]),
    ("access", &["model", "wire", "net", "store", "directory"]),
    ("ldapsync", &["model", "ldap", "directory", "store"]),
    (
        "admin",
        &[
            "model",
            "net",
            "password",
            "directory",
            "store",
            "mta",
            "access",
            "ldapsync",
            "frontend",
        ],
    ),
    (
        "homing",
        &[
            "model",
            "wire",
            "password",
            "net",
            "ldap",
            "directory",
            "store",
            "frontend",
            "mta",
            "access",
            "ldapsync",
            "admin",
        ],
    ),
    ("testkit", &[]),
    ("system-tests", &["testkit"]),
    (
        "benches",
        &["testkit", "model", "net", "password", "ldap", "directory"],
    ),
    ("xtask", &[]),
];

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let metadata = Metadata::read(root)?;
    let mut problems = Vec::new();
    for package in metadata.members() {
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!(
                "{}: a crate that the level table does not know",
                package.name
            ));
            continue;
        };
        let ours = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some());
        for dependency in ours.filter(|dependency| dependency.kind.as_deref() != Some("dev")) {
            if !allowed.contains(&dependency.name.as_str()) {
                problems.push(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
    }
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    for (name, allowed) in MAY_DEPEND_ON {
        let listed = if allowed.is_empty() {
            "-".to_owned()
        } else {
            allowed.join(", ")
        };
        let row = format!("| `{name}` | {listed} |");
        if !architecture.contains(&row) {
            problems.push(format!("ARCHITECTURE.md does not have the row {row}"));
        }
    }
    Ok(problems)
}
