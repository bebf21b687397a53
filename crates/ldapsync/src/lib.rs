//! Crate `ldapsync`.
