//! Responses of an IMAP server from outside.
#![no_main]

#[path = "../bodies/imap_response.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
