//! IMAP4rev1 (RFC 3501) as values: commands and responses, encode and decode, both sides.
//!
//! Owns the grammar, the modified UTF-7 of mailbox names, literals (synchronising and not), sequence sets,
//! dates, and how ENVELOPE and BODYSTRUCTURE look on the wire. A server assembles a command with
//! [`Assembler`], asks [`Append::head`] at each literal, and parses with [`Command::parse`]; it answers with
//! the functions of [`write`](mod@write) and [`StatusLine`]. A client writes with [`Command::to_bytes`] and
//! parses with [`Response::parse`], which understands what a proxy and our tests need (greeting,
//! CAPABILITY, results with their codes, continuation) and hands over the rest as bytes.
//!
//! Knows no mailbox, no state and no socket: whether a command is legal now is the server's question.
//!
//! Extensions: RFC 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 3691 (UNSELECT), 4315 (UIDPLUS), 4731 (ESEARCH),
//! 4959 (SASL-IR), 5258 (LIST-EXTENDED), 5530 (response codes), 5819 (LIST-STATUS), 6154 (SPECIAL-USE),
//! 6851 (MOVE), 7888 (LITERAL+), 8437 (UNAUTHENTICATE, kept from homes), 8438 (STATUS=SIZE).

mod code;
mod command;
mod date;
mod encode;
mod fetch;
pub(crate) mod guard;
mod literal;
mod parse;
mod response;
mod scan;
mod search;
mod sequence;
mod structure;
#[cfg(test)]
mod tests;
pub mod utf7;
pub mod write;

pub use code::Code;
pub use command::{
    Append, Command, CommandBody, CommandError, CommandProblem, IdFields, List, ListReturn, ListSelect,
    MailboxArg, NotAMailbox, Numbering, Search, SearchReturn, StatusItem, Store, StoreAction, StoreAnswer,
    Tag,
};
pub use date::{Date, DateTime};
pub use fetch::{FetchItem, Partial, Section, SectionText, Seen};
pub use guard::{Breach, Guard};
pub use literal::{Assembler, CommandTooLarge, LiteralHeader, LiteralKind, Next, literal_at_end_of_line};
pub use parse::decode_sasl;
pub use response::{Condition, Response, StatusLine, Untagged, challenge};
pub use scan::Malformed;
pub use search::SearchKey;
pub use sequence::{SeqNumber, SequenceSet, compact};
pub use structure::{Extensions, body_structure, envelope};
pub use write::{CommandBytes, Literals};
