//! Crate `directory`.
