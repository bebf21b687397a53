//! LDAPv3: messages, names, filters, controls, LDIF, and the multiplexing connection.
//!
//! Owns the BER codec ([`ber`]), every operation in both directions ([`message`]), controls and extended
//! operations, [`Filter`] and its templates, and the client connection. Knows nothing of mail.
//!
//! Never lets text become a DN or a filter except through a parser or a typed slot. The codec modules are
//! pure: bytes in, values out, no socket and no clock.
//!
//! Follows RFC 4511 to 4516, and for controls and extended operations RFC 2696, 3062, 3296, 3909, 4527, 4528,
//! 4532 and 4533.

mod dn;
mod filter;
mod octet;
mod template;
mod uri;

pub use dn::{Ava, Dn, DnError, Rdn};
pub use filter::{Filter, FilterError, MAX_FILTER_DEPTH};
pub use template::{DnTemplate, FilterTemplate, Slot, Slots, TemplateError};
pub use uri::{LdapUri, UriError};
