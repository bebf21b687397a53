//! The reference pages are generated from the doc comments of the code; the ones in the tree must be fresh.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Each page and the argument of `homing reference` that prints it.
const PAGES: [(&str, &str); 2] = [
    ("docs/reference/config.md", "config"),
    ("docs/reference/cli.md", "cli"),
];

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (path, page) in pages(root)? {
        if std::fs::read_to_string(root.join(path)).unwrap_or_default() != page {
            problems.push(format!("{path} is stale: run cargo xtask docs --write"));
        }
    }
    Ok(problems)
}

pub(crate) fn write(root: &Path) -> Result<()> {
    std::fs::create_dir_all(root.join("docs/reference"))?;
    for (path, page) in pages(root)? {
        std::fs::write(root.join(path), page).with_context(|| path.to_owned())?;
    }
    Ok(())
}

fn pages(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let mut pages = vec![("docs/reference/rfcs.md", rfc_page(root)?)];
    for (path, name) in PAGES {
        pages.push((path, reference(root, name)?));
    }
    Ok(pages)
}

/// What the binary says of itself.
fn reference(root: &Path, name: &str) -> Result<String> {
    // A test run has the binary already; building it again would wait for the build that runs the tests.
    let mut command = match std::env::var_os("HOMING_BIN") {
        Some(binary) => Command::new(binary),
        None => {
            let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command.args(["run", "--quiet", "--package", "homing", "--bin", "homing", "--"]);
            command
        }
    };
    let output = command
        .args(["reference", name])
        .current_dir(root)
        .output()
        .context("cannot run homing")?;
    ensure!(
        output.status.success(),
        "homing reference {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("the page is not UTF-8")
}

/// `docs/rfcs.tsv` as a page.
fn rfc_page(root: &Path) -> Result<String> {
    let table = std::fs::read_to_string(root.join("docs/rfcs.tsv")).context("docs/rfcs.tsv")?;
    let mut page = String::from(
        "# RFCs\n\nGenerated from `docs/rfcs.tsv`; a test checks that the code cites what this page claims.\n\n\
         | RFC | title | followed | note |\n| --- | --- | --- | --- |\n",
    );
    for line in table.lines().skip(1) {
        page.push_str(&format!(
            "| {} |\n",
            line.split('\t').collect::<Vec<_>>().join(" | ")
        ));
    }
    Ok(page)
}
