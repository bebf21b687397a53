//! A ManageSieve session from outside, from either side.
#![no_main]

#[path = "../bodies/managesieve.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
