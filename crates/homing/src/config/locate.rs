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
}
