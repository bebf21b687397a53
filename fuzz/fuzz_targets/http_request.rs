//! Bytes from outside as what a client sends to the HTTP proxy.
#![no_main]

#[path = "../bodies/http_request.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
