//! RFC 1870, SIZE.

mod s6_declaration;
