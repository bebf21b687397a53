//! RFC 4731, ESEARCH.

mod s3_1_results;
