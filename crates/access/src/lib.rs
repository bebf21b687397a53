//! Crate `access`.
