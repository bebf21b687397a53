//! Style as a test: what a reader should be able to rely on in every file.

use crate::source::{Source, files};
use anyhow::Result;
use std::path::Path;

/// Files that may hold unsafe code, one per need.
const UNSAFE_ALLOWED: [&str; 0] = [];
/// A file longer than this has become two things.
const MAX_LINES: usize = 800;
/// A head comment says what a part is, not how it works.
const MAX_HEAD_LINES: usize = 25;

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let files = files(root)?;
    let mut problems = Vec::new();
    for file in &files {
        if file.path.ends_with(".rs") {
            rust(file, &mut problems);
        }
        words(file, &mut problems);
    }
    Ok(problems)
}

fn rust(file: &Source, problems: &mut Vec<String>) {
    let path = &file.path;
    let lines = file.text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{path}: {lines} lines; {MAX_LINES} is the limit"));
    }
    let head = file
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    // A fuzz target is one macro call; its file name says it.
    if head == 0 && !path.starts_with("fuzz/") {
        problems.push(format!("{path}: does not open with a //! comment"));
    }
    if head > MAX_HEAD_LINES {
        problems.push(format!(
            "{path}: the head comment has {head} lines; {MAX_HEAD_LINES} is the limit"
        ));
    }
    for (number, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let place = format!("{path}:{}", number + 1);
        if code.contains(&["allow(unsafe", "_code)"].concat()) && !UNSAFE_ALLOWED.contains(&path.as_str()) {
            problems.push(format!(
                "{place}: unsafe code is allowed only in the files that tidy lists"
            ));
        }
        for word in [
            ["todo", "!("].concat(),
            ["unimplemented", "!("].concat(),
            ["#[ign", "ore"].concat(),
        ] {
            // A test that starts itself again as the process to be killed has to stand aside itself.
            let stands_aside = code.contains("the child of the next test");
            if code.contains(&word) && !stands_aside {
                problems.push(format!("{place}: {word} is not finished work"));
            }
        }
        if file.is_product() && line.contains(&["FIX", "ME"].concat()) {
            problems.push(format!("{place}: mend it or write it down where people look"));
        }
    }
}

/// Things of a workplace do not belong in the project.
fn words(file: &Source, problems: &mut Vec<String>) {
    if file.path == "Cargo.lock" || file.path.starts_with("tests/data/") {
        return;
    }
    for (number, line) in file.text.lines().enumerate() {
        for word in [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()] {
            if line.contains(&word) {
                problems.push(format!(
                    "{}:{}: a path of one machine: {word}",
                    file.path,
                    number + 1
                ));
            }
        }
        if line.contains('\t') && file.path.ends_with(".rs") {
            problems.push(format!("{}:{}: a tab", file.path, number + 1));
        }
    }
}
