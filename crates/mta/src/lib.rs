//! Mail transfer: taking messages over SMTP and LMTP, and putting them into mailboxes.
//!
//! Owns the receiving servers ([`smtp::serve`]), the judgement of a recipient in session ([`recipient`]) and
//! local delivery ([`deliver`]). The queue, sending and submission come with later versions; until then mail
//! for other servers is refused, and never taken.
//!
//! Never says 250 to the data before the message is durable for every recipient it was said for, and never
//! says "no such user" when it could not find out.
//!
//! Follows RFC 5321, RFC 2033 (LMTP), RFC 3463 (enhanced status codes), RFC 3207 (STARTTLS), RFC 2920
//! (PIPELINING), RFC 1870 (SIZE), RFC 3030 (CHUNKING), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 8689
//! (REQUIRETLS), RFC 9422 (LIMITS).

mod config;
mod deliver;
mod receiver;
mod recipient;
pub mod smtp;

pub use config::{BareLineEndPolicy, DisabledDelivery, LmtpConfig, SmtpConfig};
pub use receiver::{Dialect, Receiver, ReceiverParts};
