//! RFC 2033, LMTP.

mod s4_protocol;
