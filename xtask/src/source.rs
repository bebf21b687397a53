//! The files of the tree, as git sees them.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// A text file of the tree.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every text file that git tracks, or would if it were added.
pub(crate) fn files(root: &Path) -> Result<Vec<Source>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut files = Vec::new();
    for path in names.split('\0').filter(|path| !path.is_empty()) {
        // What is deleted but still in the index, and what is not text, is of no interest.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            files.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

impl Source {
    /// Rust of a product crate, tests apart.
    pub(crate) fn is_product(&self) -> bool {
        self.path.starts_with("crates/") && self.path.contains("/src/") && self.path.ends_with(".rs")
    }
}
