//! LMTP.

mod rfc2033;
