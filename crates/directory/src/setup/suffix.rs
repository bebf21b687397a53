//! The naming context of a new directory.

use std::fmt;

/// Why a text cannot be the suffix of a new directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a suffix for a new directory: {reason}; write for example dc=example,dc=test or o=Example"
)]
pub struct SuffixError {
    text: String,
    reason: &'static str,
}

/// A naming context made of `dc` parts, or of one `o` part with an optional `c`. Only letters, digits,
/// `-`, `_`, `.` and inner spaces are allowed in a value, so that it needs no escaping in slapd.conf or LDIF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix {
    /// Attribute type in lower case, value as written.
    parts: Vec<(String, String)>,
}

impl Suffix {
    /// Reads `dc=example,dc=test`.
    pub fn parse(text: &str) -> Result<Self, SuffixError> {
        let wrong = |reason| SuffixError {
            text: text.to_owned(),
            reason,
        };
        let mut parts = Vec::new();
        for part in text.split(',') {
            let (kind, value) = part.split_once('=').ok_or_else(|| wrong("a part has no \"=\""))?;
            let (kind, value) = (kind.trim().to_ascii_lowercase(), value.trim());
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
            if value.is_empty() || !value.chars().all(fits) {
                return Err(wrong(
                    "a value is empty or has a character that would need escaping",
                ));
            }
            parts.push((kind, value.to_owned()));
        }
        let kinds: Vec<&str> = parts.iter().map(|(kind, _)| kind.as_str()).collect();
        let all_dc = kinds.iter().all(|kind| *kind == "dc");
        if all_dc || matches!(kinds.as_slice(), ["o"] | ["o", "c"]) {
            Ok(Self { parts })
        } else {
            Err(wrong("it must consist of dc parts, or of o and perhaps c"))
        }
    }

    /// The first value: `localdomain` of `dc=localdomain,dc=test`.
    pub(super) fn first_value(&self) -> &str {
        self.parts.first().map_or("", |(_, value)| value)
    }

    /// The domain name that the `dc` parts spell (RFC 2247 section 3), or none for an `o` suffix.
    pub(super) fn domain(&self) -> Option<String> {
        let first = self.parts.first()?;
        let values: Vec<&str> = self.parts.iter().map(|(_, value)| value.as_str()).collect();
        (first.0 == "dc").then(|| values.join("."))
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, value)) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{kind}={value}")?;
        }
        Ok(())
    }
}
