//! POP3 on the wire, both sides.
//!
//! Owns commands ([`Command`]), status lines with response codes ([`Response`]) and the capability list
//! ([`Capabilities`]). The dot-stuffed body of a multi-line response is [`crate::dot`]'s.
//!
//! Never decides what to answer: states, locks and texts belong to the server.
//!
//! Follows RFC 1939, RFC 2449 (CAPA, response codes), RFC 2595 section 4 (STLS), RFC 3206 (SYS and AUTH response
//! codes), RFC 5034 (AUTH). APOP is left out: it needs the password in clear text on the server.

mod capabilities;
mod claims;
mod command;
mod response;
#[cfg(test)]
mod tests;

pub use crate::dot::{BareLineEnds, DotDecoder, DotEncoder, Progress};
pub use capabilities::Capabilities;
pub use claims::{ClientClaims, XCLIENT_GREETING};
pub use command::{Command, CommandError};
pub use response::{Response, ResponseCode, ResponseError};
