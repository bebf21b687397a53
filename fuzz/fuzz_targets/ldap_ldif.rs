//! Bytes from outside as LDIF.
#![no_main]

#[path = "../bodies/ldap_ldif.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
