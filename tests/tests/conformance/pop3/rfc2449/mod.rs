//! RFC 2449, CAPA.

mod s5_capa;
