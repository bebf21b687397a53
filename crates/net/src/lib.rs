//! Crate `net`.
