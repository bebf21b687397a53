//! Lines of a SASL exchange from outside.
#![no_main]

#[path = "../bodies/sasl.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
