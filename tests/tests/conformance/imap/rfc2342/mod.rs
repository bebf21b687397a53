//! RFC 2342, NAMESPACE.

mod s5_namespace;
