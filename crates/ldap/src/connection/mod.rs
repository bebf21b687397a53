//! The connection to a server: many operations at once over one stream.
//!
//! Owns [`Client`] and what it is made of: a reader task, a writer task, the table of operations that wait for
//! an answer, deadlines, and the keep-alive. An operation that times out, or whose future or stream is
//! dropped, is abandoned on the wire. The connection ends with an unbind when the last handle goes.
//!
//! What waits is bounded: operations in the table and requests in the queue by number, messages by size (entries by
//! one of their own, where that is set: a larger one is read past, and the search hears of its name and controls),
//! results of a search by number and bytes. When the consumer of a search is slow the reader stops reading, so
//! the server feels it. That holds up every other operation of the connection, so with others waiting it
//! lasts for `stall_timeout` at most; then the search is abandoned and ends with [`LdapError::SlowConsumer`].
//! A search that may be slow for long, such as a change feed, therefore has a connection of its own.
//!
//! Never retries, never reconnects, never follows a referral, and never sends credentials before TLS when TLS is
//! asked for: those are decisions of the connector.
//!
//! Follows RFC 4511 sections 4 and 5, RFC 4513 section 3 (StartTLS) and 5 (binds).

mod client;
mod error;
mod inner;
mod keep_alive;
mod open;
mod operations;
mod options;
mod reader;
mod search;
mod transaction;
mod writer;

pub use client::Client;
pub use error::{CloseReason, LdapError, Outcome};
pub use options::{ConnectOptions, StartTls};
pub use search::{PagedSearch, Patience, SearchItem, SearchRequest, SearchStream};
pub use transaction::{Transaction, TransactionError};

#[cfg(test)]
mod tests;
