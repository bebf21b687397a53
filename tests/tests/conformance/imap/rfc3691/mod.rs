//! RFC 3691, UNSELECT.

mod s2_unselect;
