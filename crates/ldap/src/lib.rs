//! LDAPv3: messages, names, filters, controls, LDIF, and the multiplexing connection.
//!
//! Owns the BER codec, every operation in both directions ([`message`]), controls and extended
//! operations, [`Filter`] and its templates, and the client connection. Knows nothing of mail.
//!
//! Never lets text become a DN or a filter except through a parser or a typed slot. The codec modules are
//! pure: bytes in, values out, no socket and no clock.
//!
//! Follows RFC 4511 to 4516, and for controls and extended operations RFC 2696, 3062, 3296, 3909, 4527, 4528,
//! 4532, 4533 and 5805.

mod ber;
mod connection;
pub mod control;
mod dn;
mod entry;
pub mod extended;
mod filter;
pub mod ldif;
pub mod message;
mod octet;
mod result;
mod template;
mod text;
mod uri;

pub use ber::{DecodeError, Tag};
pub use connection::{
    Client, CloseReason, ConnectOptions, LdapError, Outcome, PagedSearch, Patience, SearchItem,
    SearchRequest, SearchStream, StartTls, Transaction, TransactionError,
};
pub use control::Control;
pub use dn::{Ava, Dn, DnError, Rdn};
pub use entry::{Attribute, Entry, Values};
pub use filter::{Filter, FilterError, MAX_FILTER_DEPTH};
pub use message::{
    DerefAliases, Message, MessageId, Modification, ModifyOperation, Request, Response, Scope,
};
pub use result::{LdapResult, ResultCode};
pub use template::{Alternative, DnTemplate, FilterTemplate, Slot, Slots, TemplateError};
pub use text::Text;
pub use uri::{LdapUri, UriError, percent_decode};
