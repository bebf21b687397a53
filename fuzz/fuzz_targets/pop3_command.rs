//! Lines of a POP3 session from outside.
#![no_main]

#[path = "../bodies/pop3_command.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
