//! Every dependency must have a permissive licence, and some must not be there at all.

use crate::metadata::Metadata;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What a licence expression may offer.
const PERMISSIVE: [&str; 11] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "BSL-1.0",
    "Zlib",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// A second TLS stack, or a C library in the way.
const BANNED: [&str; 3] = ["ring", "openssl-sys", "native-tls"];

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (label, licence) in used(root)? {
        let name = label.split(' ').next().unwrap_or_default();
        if BANNED.contains(&name) {
            problems.push(format!("{label} is banned"));
        }
        if licence.is_empty() {
            problems.push(format!("{label} names no licence"));
        } else if !is_permissive(&licence) {
            problems.push(format!("{label}: the licence {licence:?} is not permissive"));
        }
    }
    problems.extend(unexplained(root)?);
    Ok(problems)
}

/// Each external crate that one of ours names has its reason in the note.
fn unexplained(root: &Path) -> Result<Vec<String>> {
    let note = std::fs::read_to_string(root.join("docs/design/0002-dependencies.md"))?;
    let rows = note
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let explained: BTreeSet<&str> = rows.flat_map(|row| row.split(", ")).collect();
    let metadata = Metadata::read(root)?;
    let named = metadata.members().flat_map(|package| &package.dependencies);
    let external: BTreeSet<&str> = named
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.as_str())
        .collect();
    let missing = external.into_iter().filter(|name| !explained.contains(name));
    Ok(missing
        .map(|name| format!("docs/design/0002-dependencies.md does not say what {name} is for"))
        .collect())
}

/// Name, version and licence of every package that is built. `cargo metadata` also lists optional ones that
/// nobody asks for; the tree does not.
fn used(root: &Path) -> Result<BTreeSet<(String, String)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            "all",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .current_dir(root)
        .output()
        .context("cannot run cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'));
    Ok(rows
        .map(|(label, licence)| (label.to_owned(), licence.to_owned()))
        .collect())
}

/// Reads an SPDX expression: every term of `AND` must hold, one of `OR` suffices.
fn is_permissive(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let tokens: Vec<String> = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let mut rest = tokens.as_slice();
    either(&mut rest)
}

fn either(rest: &mut &[String]) -> bool {
    let mut holds = both(rest);
    while take(rest, "OR") {
        holds |= both(rest);
    }
    holds
}

fn both(rest: &mut &[String]) -> bool {
    let mut holds = term(rest);
    while take(rest, "AND") {
        holds &= term(rest);
    }
    holds
}

fn term(rest: &mut &[String]) -> bool {
    if take(rest, "(") {
        let holds = either(rest);
        return take(rest, ")") && holds;
    }
    let Some((name, after)) = rest.split_first() else {
        return false;
    };
    *rest = after;
    // An exception only ever permits more.
    if take(rest, "WITH") {
        *rest = rest.get(1..).unwrap_or_default();
    }
    PERMISSIVE.contains(&name.as_str())
}

fn take(rest: &mut &[String], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first == word => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_permissive;

    #[test]
    fn expressions() {
        for (expression, permissive) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("ISC AND (Apache-2.0 OR ISC)", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("", false),
        ] {
            assert_eq!(is_permissive(expression), permissive, "{expression}");
        }
    }
}
