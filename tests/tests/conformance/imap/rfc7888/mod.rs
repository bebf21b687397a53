//! RFC 7888, LITERAL+ and LITERAL-.

mod s4_literals;
