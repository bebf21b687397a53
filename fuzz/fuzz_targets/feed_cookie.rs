//! Bytes from outside as cookies of the change feed.
#![no_main]

#[path = "../bodies/feed_cookie.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
