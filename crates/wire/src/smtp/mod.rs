//! SMTP and LMTP on the wire, both sides.
//!
//! Owns commands ([`Command`]), replies with enhanced status codes ([`Reply`], [`ReplyReader`]), service
//! extensions and the EHLO reply ([`Capabilities`]), the data ([`DotDecoder`], [`DotEncoder`]), what a front
//! end tells about its client ([`ClientClaims`]), and the Received field ([`Received`]).
//!
//! Never decides what to answer: legal order, policy and reply texts belong to the servers.
//!
//! Follows RFC 5321, RFC 2033 (LMTP), RFC 1870 (SIZE), RFC 2034 and RFC 3463 (enhanced status codes),
//! RFC 2920 (PIPELINING), RFC 3030 (CHUNKING, BINARYMIME), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH),
//! RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS), RFC 9422 (LIMITS), and Postfix's
//! XCLIENT_README and XFORWARD_README.

mod claims;
mod command;
mod dsn;
mod extensions;
mod parameters;
mod path;
mod received;
mod reply;
#[cfg(test)]
mod tests;
mod xtext;

pub use crate::dot::{BareLineEnds, ChunkDecoder, DotDecoder, DotEncoder, Progress};
pub use claims::{ClaimVerb, ClientClaims};
pub use command::{Command, CommandError};
pub use dsn::{EnvelopeId, Notify, OriginalRecipient, Return};
pub use extensions::{Capabilities, Extensions, Limits};
pub use parameters::{Body, MailParameters, RcptParameters};
pub use path::{ForwardPath, PathError};
pub use received::{Received, Transmission, hop_count, rfc5322_date};
pub use reply::{EnhancedCode, Reply, ReplyError, ReplyReader, Severity};
