//! Dot-stuffed data from outside.
#![no_main]

#[path = "../bodies/smtp_data.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
