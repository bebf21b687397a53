//! Crate `password`.
