//! `docs/rfcs.tsv` says which RFCs are followed; the code says where. They must agree.

use crate::source::files;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let table = std::fs::read_to_string(root.join("docs/rfcs.tsv")).context("docs/rfcs.tsv")?;
    let (listed, mut problems) = read_table(&table);
    let cited = cited(root)?;
    for (number, path) in &cited {
        if !listed.contains_key(number) {
            problems.push(format!(
                "{path} cites RFC {number}, which docs/rfcs.tsv does not list"
            ));
        }
    }
    for (number, status) in &listed {
        if status != "no" && !cited.contains_key(number) {
            problems.push(format!(
                "docs/rfcs.tsv says RFC {number} is followed ({status}), but no code cites it"
            ));
        }
    }
    Ok(problems)
}

/// Number and status of each row `number TAB title TAB yes|partial|no TAB note`.
fn read_table(table: &str) -> (BTreeMap<u32, String>, Vec<String>) {
    let (mut rows, mut problems, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    for (index, line) in table.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let place = format!("docs/rfcs.tsv:{}", index + 1);
        match fields.as_slice() {
            [number, _title, status @ ("yes" | "partial" | "no"), _note] => match number.parse() {
                Ok(number) if seen.insert(number) => {
                    rows.insert(number, (*status).to_owned());
                }
                Ok(number) => problems.push(format!("{place}: RFC {number} stands here twice")),
                Err(_) => problems.push(format!("{place}: {number:?} is not an RFC's number")),
            },
            _ => problems.push(format!("{place}: a row is number, title, yes|partial|no, note")),
        }
    }
    (rows, problems)
}

/// Each RFC that product code cites, and the first file that does.
fn cited(root: &Path) -> Result<BTreeMap<u32, String>> {
    let mut cited = BTreeMap::new();
    for file in files(root)?.iter().filter(|file| file.is_product()) {
        for part in file.text.split("RFC ").skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse() {
                cited.entry(number).or_insert_with(|| file.path.clone());
            }
        }
    }
    Ok(cited)
}
