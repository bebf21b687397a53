//! RFC 6154, SPECIAL-USE.

mod s2_attributes;
