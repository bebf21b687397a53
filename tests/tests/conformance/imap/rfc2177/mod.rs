//! RFC 2177, IDLE.

mod s3_idle;
