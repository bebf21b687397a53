//! Commands of an IMAP client from outside.
#![no_main]

#[path = "../bodies/imap_command.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
