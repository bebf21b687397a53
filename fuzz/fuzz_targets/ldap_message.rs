//! Bytes from outside as an LDAP message.
#![no_main]

#[path = "../bodies/ldap_message.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
