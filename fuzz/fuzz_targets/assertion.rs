//! Bytes from outside as the assertion of a front end.
#![no_main]

#[path = "../bodies/assertion.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
