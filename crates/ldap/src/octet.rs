//! What the text forms of DNs and filters share: one decoded octet of a value, and hex digits.

/// One octet of a decoded value, and how it was written. Templates look for slots among unescaped octets only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Octet {
    pub(crate) value: u8,
    pub(crate) escaped: bool,
    /// Where it stands in the text.
    pub(crate) at: usize,
}

/// The value of an ASCII hex digit.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
