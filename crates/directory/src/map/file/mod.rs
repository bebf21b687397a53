//! `local-file`: a table of addresses and homes, read from a file and reloaded when the file changes.
//!
//! Owns the file's format ([`Table`]) and its reloading ([`FileMap`]). A file with an error is refused as a
//! whole, with the number of each bad line, and the table read before stays in force.

mod reload;
mod table;
#[cfg(test)]
mod tests;

pub(super) use reload::FileMap;
pub use table::{LineError, Table, Target};
