//! Crate `ldap`.
