//! RFC 2971, ID.

mod s3_id;
