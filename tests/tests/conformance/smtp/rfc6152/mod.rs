//! RFC 6152, 8BITMIME.

mod s2_8bitmime;
