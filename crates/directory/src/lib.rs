//! Crate `directory`.
pub mod setup;
