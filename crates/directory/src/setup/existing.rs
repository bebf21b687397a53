//! What a running server's `cn=config` holds already.

use super::Suffix;
use ldap::{Dn, Entry};

/// The parts of a running server's configuration that a set-up must not repeat.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Module names without number, folder and ending.
    modules: Vec<String>,
    schemas: Vec<String>,
    suffixes: Vec<Dn>,
    next_database: u32,
    global: Option<Entry>,
}

impl Existing {
    /// Reads the entries of a subtree search below `cn=config`.
    #[must_use]
    pub fn read(entries: &[Entry]) -> Self {
        let mut existing = Self {
            next_database: 1,
            ..Self::default()
        };
        for entry in entries {
            if entry.has_object_class("olcGlobal") {
                existing.global = Some(entry.clone());
            }
            existing
                .modules
                .extend(entry.strings("olcModuleLoad").map(module_name));
            if entry.has_object_class("olcSchemaConfig") {
                existing.schemas.extend(entry.strings("cn").map(unnumbered));
            }
            if let Some(name) = entry.first_str("olcDatabase") {
                if unnumbered(name) == "mdb" {
                    existing.modules.push("back_mdb".to_owned());
                }
                if let Some(number) = number(name) {
                    existing.next_database = existing.next_database.max(number.saturating_add(1));
                }
            }
            existing
                .suffixes
                .extend(entry.strings("olcSuffix").filter_map(|text| Dn::parse(text).ok()));
        }
        existing
    }

    pub(super) fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module == name)
    }

    pub(super) fn has_schema(&self, name: &str) -> bool {
        self.schemas.iter().any(|schema| schema == name)
    }

    pub(super) fn serves(&self, suffix: &Suffix) -> bool {
        Dn::parse(&suffix.to_string()).is_ok_and(|dn| self.suffixes.contains(&dn))
    }

    pub(super) fn next_database(&self) -> u32 {
        self.next_database
    }

    pub(super) fn sets(&self, attribute: &str) -> bool {
        self.global
            .as_ref()
            .is_some_and(|entry| !entry.get(attribute).is_empty())
    }
}

/// `{1}mdb` without its number.
fn unnumbered(text: &str) -> String {
    match text.split_once('}') {
        Some((_, rest)) if text.starts_with('{') => rest.to_owned(),
        _ => text.to_owned(),
    }
}

fn number(text: &str) -> Option<u32> {
    text.strip_prefix('{')?.split_once('}')?.0.parse().ok()
}

/// `{0}/usr/lib/ldap/back_mdb.la` is `back_mdb`.
fn module_name(text: &str) -> String {
    let text = unnumbered(text);
    let file = text.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default().to_owned()
}
