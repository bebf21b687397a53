//! RFC 4959, SASL-IR.

mod s3_initial_response;
