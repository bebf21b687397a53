//! Conformance: what the RFCs demand, seen from the wire only, filed by protocol, RFC and section.
//!
//! Each test runs twice: against the product, and against a peer (Dovecot for IMAP, POP3 and LMTP, Postfix for
//! SMTP), so that it proves itself. `CONFORMANCE_SUBJECT=homing` or `CONFORMANCE_SUBJECT=peer` leaves the other
//! one out. Where an RFC gives a choice, every choice passes.

#![allow(clippy::indexing_slicing)] // A wrong index fails the test, as it should.

#[macro_use]
mod subject;

mod imap;
mod lmtp;
mod pop3;
mod smtp;
