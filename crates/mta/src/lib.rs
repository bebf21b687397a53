//! Crate `mta`.
