//! RFC 3030, CHUNKING.

mod s2_bdat;
