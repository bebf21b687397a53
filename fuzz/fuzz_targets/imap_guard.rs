//! A client of IMAP behind a guard.
#![no_main]

#[path = "../bodies/imap_guard.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
