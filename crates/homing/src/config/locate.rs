//! Finds the place of a key in a TOML file by its dotted path.

use std::ops::Range;
use toml_edit::{Document, Item};

/// The bytes of the item at `path` (`smtp.listener.0.address`), or of its nearest ancestor that the file has.
pub(crate) fn span_of(text: &str, path: &str) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut item: &Item = document.as_item();
    let mut best = None;
    for step in path.split('.') {
        let next = match step.parse::<usize>() {
            Ok(index) => item.get(index),
            Err(_) => item.get(step),
        };
        let Some(next) = next else {
            // An item of an array of tables has no span of its own as an Item; the table has.
            if let (Ok(index), Some(tables)) = (step.parse::<usize>(), item.as_array_of_tables()) {
                best = tables.get(index).and_then(toml_edit::Table::span).or(best);
            }
            break;
        };
        best = key_span(item, step).or_else(|| next.span()).or(best);
        item = next;
    }
    best
}

/// The dotted path of the deepest key whose line or value holds the byte `at`.
pub(crate) fn path_at(text: &str, at: usize) -> String {
    let Ok(document) = Document::parse(text) else {
        return String::new();
    };
    let mut path = Vec::new();
    descend(document.as_item(), at, &mut path);
    path.join(".")
}

fn descend(item: &Item, at: usize, path: &mut Vec<String>) {
    if let Some(table) = item.as_table_like() {
        for (name, child) in table.iter() {
            let on_key = key_span(item, name).is_some_and(|span| span.contains(&at));
            if on_key || holds(child, at) {
                path.push(name.to_owned());
                return descend(child, at, path);
            }
        }
    }
    if let Some(tables) = item.as_array_of_tables() {
        // A table's own span is only its header, so the last one that begins before the place holds it.
        let begins = |table: &&toml_edit::Table| table.span().is_some_and(|span| span.start <= at);
        let last = tables
            .iter()
            .enumerate()
            .filter(|(_, table)| begins(table))
            .last();
        if let Some((index, _)) = last {
            path.push(index.to_string());
            let table = tables.get(index).cloned().map(Item::Table);
            if let Some(table) = table {
                descend(&table, at, path);
            }
        }
    }
    if let Some(array) = item.as_array() {
        let found = array
            .iter()
            .position(|value| value.span().is_some_and(|span| span.contains(&at)));
        if let Some((index, value)) = found.and_then(|index| Some((index, array.get(index)?))) {
            path.push(index.to_string());
            descend(&Item::Value(value.clone()), at, path);
        }
    }
}

/// Whether the byte lies in the item. Tables with a header of their own hold what follows it.
fn holds(item: &Item, at: usize) -> bool {
    match item {
        Item::Value(value) => value.span().is_some_and(|span| span.contains(&at)),
        Item::Table(table) => {
            let own = table.span().is_some_and(|span| span.contains(&at));
            own || table.iter().any(|(name, child)| {
                table
                    .key(name)
                    .and_then(|key| key.span())
                    .is_some_and(|span| span.contains(&at))
                    || holds(child, at)
            })
        }
        Item::ArrayOfTables(tables) => tables.iter().any(|table| holds(&Item::Table(table.clone()), at)),
        Item::None => false,
    }
}

/// The span of the key itself, which is what a reader looks for.
fn key_span(parent: &Item, key: &str) -> Option<Range<usize>> {
    parent.as_table_like()?.key(key)?.span()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_tables_and_falls_back() {
        let text = "data_dir = \"x\"\n[smtp]\nmax = 1\n[[smtp.listener]]\naddress = \"a\"\n[[smtp.listener]]\naddress = \"b\"\n";
        let at = |path: &str| span_of(text, path).and_then(|span| text.get(span));
        assert_eq!(at("data_dir"), Some("data_dir"));
        assert_eq!(at("smtp.max"), Some("max"));
        let second = span_of(text, "smtp.listener.1.address").expect("found");
        assert_eq!(
            text.get(second.start..).map(|rest| rest.contains("\"a\"")),
            Some(false)
        );
        assert!(span_of(text, "smtp.absent").is_some());
        assert_eq!(span_of(text, "nothing"), None);
    }

    #[test]
    fn names_the_key_at_a_place() {
        let text = "a = 1\n[imap]\nx = \"y\"\nlist = [{ address = \"b\" }]\n[[smtp.listener]]\naddress = 5\n[[smtp.listener]]\naddress = 6\n";
        for (place, path) in [
            ("1\n", "a"),
            ("\"y\"", "imap.x"),
            ("\"b\"", "imap.list.0.address"),
            ("address = \"b\"", "imap.list.0.address"),
            ("5\n", "smtp.listener.0.address"),
            ("address = 6", "smtp.listener.1.address"),
        ] {
            assert_eq!(
                path_at(text, text.find(place).expect("in the text")),
                path,
                "{place}"
            );
        }
    }
}
