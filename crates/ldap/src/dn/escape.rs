//! Printing a value inside a DN.

use std::fmt::{self, Write};

/// Writes `octets` so that a reader gets exactly them back. RFC 4514 section 2.4.
pub(super) fn value(out: &mut impl Write, octets: &[u8]) -> fmt::Result {
    let last = octets.len().wrapping_sub(1);
    let mut at = 0;
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(out, "\\{character}")?,
                ' ' | '#' if at == 0 => write!(out, "\\{character}")?,
                ' ' if at == last => out.write_str("\\ ")?,
                // Only NUL must be written as hex; the other controls are, so that a DN in a log stays one line.
                c if c.is_ascii_control() => write!(out, "\\{:02x}", u32::from(c))?,
                c => out.write_char(c)?,
            }
            at += character.len_utf8();
        }
        for octet in chunk.invalid() {
            write!(out, "\\{octet:02x}")?;
            at += 1;
        }
    }
    Ok(())
}
