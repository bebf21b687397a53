//! Lines of an SMTP session from outside.
#![no_main]

#[path = "../bodies/smtp_command.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
