//! A client of ManageSieve behind a guard.
#![no_main]

#[path = "../bodies/managesieve_guard.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
