//! The SMTP proxy in front of the homes: mail from other servers, routed per recipient.
//!
//! Owns the receiving session (`session`), the recipients and legs of one transaction (`transaction`), the
//! dialogue with one home (`leg`), the message on its way (`message`, `delivery`), and the rule that makes one
//! reply of several (`verdict`).
//!
//! Never owns a message: 250 is said only when a back end has durably taken every accepted recipient. Never
//! takes mail for a domain that is not listed, whatever a map says.
//!
//! Follows RFC 5321, RFC 2033 (LMTP towards homes), RFC 1870, RFC 2034, RFC 2920, RFC 3207, RFC 6152, and
//! Postfix's XCLIENT and XFORWARD.

mod delivery;
mod leg;
mod message;
mod reply;
mod session;
mod transaction;
mod verdict;

pub use session::{SmtpProxy, serve};
