//! The file as it was read, key by key, so that a later reading can be compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use toml::{Table, Value};

/// Every key with its value as text. Secrets, and the contents of files that keys name, are kept as digests.
#[derive(Clone, Default)]
pub(crate) struct Source(BTreeMap<KeyPath, String>);

/// `["connector", "corp", "timeout"]`: an item of a list of tables goes by its name or address.
type KeyPath = Vec<String>;

/// Stands for the existence of an item of a list of tables.
const ITEM: &str = "";
/// Stands for the content of the file that the key before it names.
const CONTENT: &str = "(its content)";

/// A difference between two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: KeyPath,
    pub(crate) what: &'static str,
}

impl Difference {
    /// The path as people write it.
    pub(crate) fn key(&self) -> String {
        self.path.join(".")
    }

    /// Whether it lies in the section, or in the key, at `path`.
    pub(crate) fn is_in(&self, path: &[&str]) -> bool {
        starts_with(&self.path, path)
    }
}

impl Source {
    /// Reads a text that is known to be TOML, and the files that it names.
    pub(crate) fn read(text: &str) -> Self {
        let mut source = Self::default();
        if let Ok(table) = toml::from_str::<Table>(text) {
            source.walk(&mut Vec::new(), &Value::Table(table));
        }
        source
    }

    fn walk(&mut self, path: &mut KeyPath, value: &Value) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    path.push(key.clone());
                    self.walk(path, value);
                    path.pop();
                }
            }
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_table) => {
                let mut names: Vec<String> = Vec::with_capacity(items.len());
                for item in items {
                    let name = unused(name_of(item), &names);
                    path.push(name.clone());
                    self.0.insert(path.clone(), ITEM.to_owned());
                    self.walk(path, item);
                    path.pop();
                    names.push(name);
                }
                // The order of connectors and maps means something.
                self.0.insert(path.clone(), names.join(", "));
            }
            leaf => self.leaf(path, leaf),
        }
    }

    fn leaf(&mut self, path: &mut KeyPath, leaf: &Value) {
        let key = path.last().map(String::as_str).unwrap_or_default();
        let is_file =
            key.ends_with("_file") || matches!(key, "certificate" | "key" | "client_cert" | "client_key");
        let is_secret = !is_file
            && !key.ends_with("_env")
            && ["password", "secret", "token"]
                .iter()
                .any(|word| key.contains(word));
        let text = leaf.to_string();
        match leaf.as_str() {
            Some(file) if is_file => {
                let content = digest(&std::fs::read(Path::new(file)).unwrap_or_default());
                path.push(CONTENT.to_owned());
                self.0.insert(path.clone(), content);
                path.pop();
                self.0.insert(path.clone(), text);
            }
            Some(secret) if is_secret => {
                self.0.insert(path.clone(), digest(secret.as_bytes()));
            }
            _ => {
                self.0.insert(path.clone(), text);
            }
        }
    }

    /// Whether the file has this key, at its root.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.0.contains_key([key.to_owned()].as_slice())
    }

    /// What is another in `new`. An item that came or went is named once, without its keys.
    pub(crate) fn differences(&self, new: &Self) -> Vec<Difference> {
        let mut found: Vec<Difference> = Vec::new();
        let paths: BTreeSet<&KeyPath> = self.0.keys().chain(new.0.keys()).collect();
        for path in paths {
            let what = match (self.0.get(path), new.0.get(path)) {
                (before, now) if before == now => continue,
                (None, _) => "added",
                (_, None) => "removed",
                (Some(before), Some(now)) if is_reordered(before, now) || !self.is_list(path) => "changed",
                // Its items tell.
                _ => continue,
            };
            let list_came_or_went = what != "changed" && (self.is_list(path) || new.is_list(path));
            let inside = found.last().is_some_and(|last| {
                let item = self.0.get(&last.path).or_else(|| new.0.get(&last.path));
                item.is_some_and(|text| text == ITEM) && path.starts_with(&last.path)
            });
            if !inside && !list_came_or_went {
                found.push(Difference {
                    path: path.clone(),
                    what,
                });
            }
        }
        found
    }

    fn is_list(&self, path: &KeyPath) -> bool {
        let next = self
            .0
            .range((
                std::ops::Bound::Excluded(path.clone()),
                std::ops::Bound::Unbounded,
            ))
            .next();
        next.is_some_and(|(below, text)| {
            below.len() == path.len() + 1 && below.starts_with(path) && text == ITEM
        })
    }

    /// Whether everything at and below `path` is the same, but for what lies in its part `without`.
    pub(crate) fn same(&self, new: &Self, path: &[&str], without: Option<&str>) -> bool {
        let part = |source: &Self| -> Vec<(KeyPath, String)> {
            let wanted = source.0.iter().filter(|(key, _)| {
                starts_with(key, path)
                    && without.is_none_or(|part| key.get(path.len()).is_none_or(|key| key != part))
            });
            wanted.map(|(key, text)| (key.clone(), text.clone())).collect()
        };
        part(self) == part(new)
    }

    /// The top-level keys and sections.
    pub(crate) fn sections(&self) -> BTreeSet<&str> {
        self.0
            .keys()
            .filter_map(|path| path.first())
            .map(String::as_str)
            .collect()
    }

    /// Takes what lies at and below `path` from another reading.
    pub(crate) fn keep(&mut self, path: &[&str], from: &Self) {
        self.0.retain(|key, _| !starts_with(key, path));
        let kept = from.0.iter().filter(|(key, _)| starts_with(key, path));
        self.0.extend(kept.map(|(key, text)| (key.clone(), text.clone())));
    }
}

fn starts_with(path: &KeyPath, start: &[&str]) -> bool {
    path.len() >= start.len() && path.iter().zip(start).all(|(key, start)| key == start)
}

fn is_reordered(before: &str, now: &str) -> bool {
    let sorted = |text: &str| {
        let mut names: Vec<String> = text.split(", ").map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    sorted(before) == sorted(now)
}

fn name_of(item: &Value) -> String {
    let named = ["name", "address"].iter().find_map(|key| item.get(key)?.as_str());
    named.unwrap_or("item").to_owned()
}

fn unused(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let free = (2..).map(|number| format!("{name} #{number}"));
    free.into_iter()
        .find(|name| !taken.contains(name))
        .unwrap_or(name)
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Without values: the file may hold what nobody else may read.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &str, now: &str) -> Vec<String> {
        let found = Source::read(before).differences(&Source::read(now));
        found
            .iter()
            .map(|one| format!("{} {}", one.key(), one.what))
            .collect()
    }

    const TWO: &str = "[[connector]]\nname = \"a\"\ntimeout = 4\n[[connector]]\nname = \"b\"\n";

    #[test]
    fn differences_by_key() {
        let none: [&str; 0] = [];
        assert_eq!(between(TWO, TWO), none);
        assert_eq!(
            between("data_dir = \"x\"", "data_dir = \"y\""),
            ["data_dir changed"]
        );
        assert_eq!(between("", "[log]\nlevel = \"debug\""), ["log.level added"]);
        assert_eq!(between("[log]\nlevel = \"debug\"", ""), ["log.level removed"]);
        assert_eq!(
            between(TWO, &TWO.replace('4', "5")),
            ["connector.a.timeout changed"]
        );
        let swapped = "[[connector]]\nname = \"b\"\n[[connector]]\nname = \"a\"\ntimeout = 4\n";
        assert_eq!(between(TWO, swapped), ["connector changed"]);
        let one = "[[connector]]\nname = \"a\"\ntimeout = 4\n";
        assert_eq!(between(one, TWO), ["connector.b added"]);
        assert_eq!(between(TWO, one), ["connector.b removed"]);
        assert_eq!(between("", TWO), ["connector.a added", "connector.b added"]);
        assert_eq!(between(TWO, ""), ["connector.a removed", "connector.b removed"]);
        let listeners =
            "[[imap.listener]]\naddress = \"127.0.0.1:0\"\n[[imap.listener]]\naddress = \"127.0.0.1:0\"\n";
        assert_eq!(
            between("[imap]\nx = 1", &format!("[imap]\nx = 1\n{listeners}")).len(),
            2
        );
    }

    #[test]
    fn files_count_by_their_content_and_secrets_are_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        let text = format!("[[connector]]\nname = \"a\"\nbind_password_file = {file:?}\n");
        std::fs::write(&file, "one").expect("written");
        let before = Source::read(&text);
        std::fs::write(&file, "two").expect("written");
        let found = before.differences(&Source::read(&text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key(), "connector.a.bind_password_file.(its content)");
        assert!(found[0].is_in(&["connector", "a"]) && !found[0].is_in(&["connector", "b"]));

        let secret = Source::read("[[connector]]\nname = \"a\"\nbind_password = \"hunter2\"\n");
        assert!(secret.0.values().all(|text| !text.contains("hunter2")));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn sections_are_compared_with_and_without_a_part() {
        let before = Source::read("[imap]\na = 1\n[[imap.listener]]\naddress = \"x\"\n[pop3]\na = 1\n");
        let mut now = Source::read("[imap]\na = 1\n[[imap.listener]]\naddress = \"y\"\n[pop3]\na = 2\n");
        assert!(!before.same(&now, &["imap"], None));
        assert!(before.same(&now, &["imap"], Some("listener")));
        assert!(!before.same(&now, &["pop3"], None));
        now.keep(&["pop3"], &before);
        assert!(before.same(&now, &["pop3"], None));
        assert_eq!(now.sections().into_iter().collect::<Vec<_>>(), ["imap", "pop3"]);
    }
}
