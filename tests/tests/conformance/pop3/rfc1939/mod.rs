//! RFC 1939, POP3.

mod s3_basic_operation;
mod s4_authorization;
mod s5_transaction;
mod s6_update;
mod s7_optional;
