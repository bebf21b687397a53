//! RFC 2920, PIPELINING.

mod s3_pipelining;
