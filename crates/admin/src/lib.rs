//! Crate `admin`.
