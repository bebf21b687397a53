//! The SMTP and LMTP proxies in front of the homes: mail from other servers, routed per recipient.
//!
//! Owns the receiving session (`proxy`, `session`, `client`, `intake`, and `dialect` for LMTP), the recipients and legs of one transaction
//! (`transaction`, `routing`), the dialogue with one home (`leg`) and what a message asks of it (`needs`), the
//! message on its way (`message`, `delivery`), the rule that makes one reply of several (`verdict`), and the
//! notification for homes that send none (`relayed`), and the numbers (`tally`).
//!
//! Never owns a message: 250 is said only when a back end has durably taken every accepted recipient. Never
//! takes mail for a domain that is not listed, whatever a map says.
//!
//! Follows RFC 5321, RFC 2033 (LMTP, both sides), RFC 1870, RFC 2034, RFC 2920, RFC 3030, RFC 3207, RFC 3461,
//! RFC 6152, RFC 6531, RFC 8689, RFC 9422, and Postfix's XCLIENT and XFORWARD.

mod circles;
mod client;
mod delivery;
mod dialect;
mod intake;
mod leg;
mod message;
mod needs;
mod offer;
mod proxy;
mod relayed;
mod reply;
mod routing;
mod session;
mod tally;
mod transaction;
mod verdict;

pub use offer::{BareLineEndPolicy, OfferedExtension};
pub use proxy::SmtpProxy;
pub use session::serve;
