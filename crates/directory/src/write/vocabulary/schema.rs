//! The classes and attributes that a server knows (RFC 4512 section 4.2).

use ldap::Entry;
use std::collections::HashSet;

/// Names in lower case. A server whose schema cannot be read is taken to know everything: it will say so itself
/// when it does not.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    classes: HashSet<String>,
    attributes: HashSet<String>,
}

impl Schema {
    /// A schema that has everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the subschema entry.
    pub(crate) fn read(subschema: &Entry) -> Self {
        Self {
            classes: names(subschema, "objectClasses"),
            attributes: names(subschema, "attributeTypes"),
        }
    }

    /// Whether the server knows this class.
    #[must_use]
    pub fn has_class(&self, name: &str) -> bool {
        self.classes.is_empty() || self.classes.contains(&name.to_ascii_lowercase())
    }

    /// Whether the server knows this attribute.
    #[must_use]
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes.is_empty() || self.attributes.contains(&name.to_ascii_lowercase())
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.classes.is_empty() && !self.attributes.is_empty()
    }
}

/// All names in definitions such as `( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )`, in lower case.
fn names(entry: &Entry, attribute: &str) -> HashSet<String> {
    let definitions = entry.strings(attribute);
    definitions.flat_map(names_of).collect()
}

fn names_of(definition: &str) -> Vec<String> {
    let Some((_, rest)) = definition.split_once(" NAME ") else {
        return Vec::new();
    };
    let rest = rest.trim_start();
    let quoted = match rest.strip_prefix('(') {
        Some(list) => list.split(')').next().unwrap_or_default(),
        None => {
            let end = rest.match_indices('\'').nth(1).map_or(0, |(at, _)| at + 1);
            rest.get(..end).unwrap_or_default()
        }
    };
    quoted
        .split('\'')
        .skip(1)
        .step_by(2)
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::names_of;

    #[test]
    fn names_of_definitions() {
        for (definition, names) in [
            (
                "( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'a ) b' SUP name )",
                vec!["cn", "commonname"],
            ),
            ("( 0.9.2342 NAME 'mail' DESC 'it''s' )", vec!["mail"]),
            ("( 1.2.3 DESC 'nameless' )", vec![]),
            ("( 1.2.3 NAME", vec![]),
            ("( 1.2.3 NAME 'open )", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(names_of(definition), names, "{definition}");
        }
    }
}
