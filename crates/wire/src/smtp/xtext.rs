//! xtext (RFC 3461 section 4): any text as printable ASCII without `+`, `=` and spaces.

use std::fmt::Write as _;

/// Longer values are refused.
const MAX_VALUE: usize = 255;

pub(super) fn xtext_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            other => drop(write!(out, "+{other:02X}")),
        }
    }
    out
}

/// Control characters are refused, whatever their spelling: the value goes into logs and into header fields.
pub(super) fn xtext_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => {
                let mut nibble = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(nibble()? * 16 + nibble()?).ok()?
            }
            b'!'..=b'~' => byte,
            _ => return None,
        };
        out.push(byte);
    }
    let text = String::from_utf8(out).ok()?;
    (!text.is_empty() && text.len() <= MAX_VALUE && !text.chars().any(char::is_control)).then_some(text)
}
