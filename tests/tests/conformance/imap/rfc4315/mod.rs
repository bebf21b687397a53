//! RFC 4315, UIDPLUS.

mod s2_uidplus;
