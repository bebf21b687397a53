//! Bytes from outside as a search filter.
#![no_main]

#[path = "../bodies/ldap_filter.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
