//! `docs/proof-*.md` say which tests hold each promise. Every name there must be a test, or the table is a wish.

use crate::source::{Source, files};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let files = files(root)?;
    let tests: BTreeSet<&str> = files
        .iter()
        .filter(|file| {
            Path::new(&file.path)
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
        .flat_map(|file| tests(&file.text))
        .collect();
    Ok(files
        .iter()
        .filter(|file| file.path.starts_with("docs/proof-"))
        .flat_map(|file| problems(file, &tests))
        .collect())
}

fn problems(table: &Source, tests: &BTreeSet<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in table.text.lines().enumerate() {
        let place = format!("{}:{}", table.path, index + 1);
        let Some(row) = line.strip_prefix("| ") else {
            continue;
        };
        let Some((_, proof)) = row.split_once(" | ") else {
            problems.push(format!("{place}: a row is | promise | tests |"));
            continue;
        };
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !proof.starts_with("tests") && !proof.starts_with("-") {
            problems.push(format!("{place}: nothing holds this promise"));
        }
        for name in named
            .iter()
            .filter(|name| is_function(name) && !tests.contains(**name))
        {
            problems.push(format!("{place}: there is no test {name}"));
        }
    }
    problems
}

/// Whether it is the name of a function, and not a command.
fn is_function(name: &str) -> bool {
    name.contains('_')
        && name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// The names of the functions under a test attribute, and of those that a list of scenarios makes tests of.
fn tests(text: &str) -> Vec<&str> {
    let (mut names, mut marked, mut listed) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("scenarios!(") {
            listed = true;
        } else if listed {
            listed = !line.starts_with(')');
            let name = line.trim_end_matches(',').rsplit("::").next();
            names.extend(name.filter(|_| listed));
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && marked
        {
            let end = rest.find(['(', '<']).unwrap_or(rest.len());
            names.push(rest.get(..end).unwrap_or_default());
            marked = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_test_is_found() {
        let text = "#[tokio::test(start_paused = true)]\nasync fn it_holds() {}\nfn it_helps() {}\n\
                    scenarios!(\n    a::it_is_listed,\n);\nfn it_is_no_test() {}\n";
        let known = tests(text).into_iter().collect();
        let table = |row: &str| Source {
            path: "docs/proof-x.md".to_owned(),
            text: row.to_owned(),
        };
        assert_eq!(problems(&table("| a | `it_holds` |"), &known).len(), 0);
        assert_eq!(problems(&table("| a | `benches run sync` |"), &known).len(), 0);
        assert_eq!(problems(&table("| a | `it_is_listed` |"), &known).len(), 0);
        assert_eq!(problems(&table("| a | `it_is_no_test` |"), &known).len(), 1);
        assert_eq!(problems(&table("| a | `it_helps` |"), &known).len(), 1);
        assert_eq!(problems(&table("| a | nobody |"), &known).len(), 1);
    }
}
