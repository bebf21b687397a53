//! Bytes from outside as a distinguished name.
#![no_main]

#[path = "../bodies/ldap_dn.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
