//! ManageSieve on the wire, both sides, up to the login.
//!
//! Owns what is said before a session is logged in: commands ([`Command`]), status responses and lines of strings
//! ([`Response`]), the capability list ([`Capabilities`]). Lines and literals are put together by
//! [`crate::imap::Assembler`], whose literals look the same.
//!
//! After that it knows only what may not be said any more ([`Guard`]). Never changes a script, and never decides what to answer.
//!
//! Follows RFC 5804 sections 1.2 to 2.4, 2.13 and 2.14.1, and Dovecot's XCLIENT.

mod capabilities;
mod command;
mod guard;
mod response;
mod scan;
#[cfg(test)]
mod tests;

pub use crate::imap::{Assembler, Breach, CommandTooLarge, LiteralKind, Next};
pub use crate::pop3::ClientClaims;
pub use capabilities::{Capabilities, XCLIENT};
pub use command::{Command, CommandError, parse_string, write_client_string};
pub use guard::Guard;
pub use response::{Code, Response, ResponseError, Status, Word, write_server_string};
