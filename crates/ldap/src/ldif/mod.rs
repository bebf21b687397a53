//! LDIF: entries and changes as text.
//!
//! Owns [`LdifReader`], which yields one [`Record`] at a time and holds no more than one, and the writing
//! functions [`write_entry`] and [`write_change`].
//!
//! Never opens a file that a record names: a `:<` value is an error, since whoever wrote the LDIF could
//! otherwise read any file of the one who loads it.
//!
//! Follows RFC 2849, and RFC 4525 section 3 (`increment`).

mod lines;
mod read;
mod write;

pub use read::LdifReader;
pub use write::{write_change, write_entry};

use crate::message::{Add, Modify, ModifyDn};
use crate::{Control, Entry};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An entry, without `changetype`.
    Entry(Entry),
    /// A change to make.
    Change(ChangeRecord),
}

/// A change record: what to do, and the controls to send along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The request controls.
    pub controls: Vec<Control>,
    /// What to do, to which entry.
    pub operation: Operation,
}

/// What a change record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Adds an entry.
    Add(Add),
    /// Deletes the entry with this DN.
    Delete(String),
    /// Modifies an entry.
    Modify(Modify),
    /// Renames or moves an entry.
    ModifyDn(ModifyDn),
}

impl Operation {
    /// The DN of the entry.
    #[must_use]
    pub fn dn(&self) -> &str {
        match self {
            Self::Add(Add { dn, .. })
            | Self::Delete(dn)
            | Self::Modify(Modify { dn, .. })
            | Self::ModifyDn(ModifyDn { dn, .. }) => dn,
        }
    }
}

/// Where and why a text is not LDIF.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LdifError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong there.
    #[source]
    pub problem: Problem,
}

/// What can be wrong in LDIF.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The input cannot be read.
    #[error("{0}")]
    Io(#[source] std::io::Error),
    /// A record, with its comments, is longer than the limit.
    #[error("the record is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A line that starts with a space has no line before it in its record.
    #[error("a line that starts with a space goes on with the line before, and there is none")]
    Continuation,
    /// Not `attribute: value`.
    #[error("a line is an attribute, a colon and a value")]
    NoAttribute,
    /// Only version 1 exists.
    #[error("only \"version: 1\" is known")]
    Version,
    /// Another line stands where this one must.
    #[error("\"{0}\" must stand here")]
    Expected(&'static str),
    /// What follows `::` is not base64.
    #[error("what follows \"::\" is not base64")]
    Base64,
    /// A value that must be text is not UTF-8.
    #[error("this value must be UTF-8")]
    NotUtf8,
    /// A `:<` value.
    #[error("values from a URL (\":<\") are not read; put the value itself here, in base64 after \"::\"")]
    Url,
    /// Not a change type.
    #[error("a changetype is add, delete, modify, modrdn or moddn")]
    ChangeType,
    /// A line too many in a record.
    #[error("the record ends before this line")]
    Trailing,
    /// A modification whose values belong to another attribute.
    #[error("this value belongs to another attribute than the modification names")]
    OtherAttribute,
}

impl Problem {
    fn at(self, line: u64) -> LdifError {
        LdifError { line, problem: self }
    }
}

#[cfg(test)]
mod tests;
