//! Extended operations and the notification of disconnection.
//!
//! Owns the OIDs and values of those that Homing uses; the envelope is in `message`.
//!
//! Follows RFC 4511 sections 4.4.1 and 4.14 (StartTLS), RFC 3062 (password modify), RFC 3909 (cancel),
//! RFC 4532 (who am I?) and RFC 5805 (transactions).

mod transaction;

pub use transaction::{
    ABORTED_TRANSACTION, END_TRANSACTION, EndTransaction, Ending, START_TRANSACTION, TransactionEnded,
    aborted_transaction, start_transaction, transaction_identifier,
};

use bytes::Bytes;
use model::Secret;

use crate::Text;
use crate::ber::{DecodeError, Tag};
use crate::control::{decode_sequence, encode_value};
use crate::message::{Extended, ExtendedResponse, Message, MessageId, Response};
use crate::result::LdapResult;

/// The OID of StartTLS (RFC 4511 section 4.14).
pub const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// The OID of "Who am I?" (RFC 4532).
pub const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// The OID of password modify (RFC 3062).
pub const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
/// The OID of cancel (RFC 3909).
pub const CANCEL: &str = "1.3.6.1.1.8";
/// The name of the Notice of Disconnection (RFC 4511 section 4.4.1).
pub const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

const USER_IDENTITY: Tag = Tag::context(0);
const OLD_PASSWORD: Tag = Tag::context(1);
const NEW_PASSWORD: Tag = Tag::context(2);
const GENERATED_PASSWORD: Tag = Tag::context(0);

/// Asks to begin TLS. Nothing may be sent until the answer is read (RFC 4511 section 4.14.1).
#[must_use]
pub const fn start_tls() -> Extended {
    Extended {
        name: Text::from_static(START_TLS),
        value: None,
    }
}

/// Asks who the connection is bound as.
#[must_use]
pub const fn who_am_i() -> Extended {
    Extended {
        name: Text::from_static(WHO_AM_I),
        value: None,
    }
}

/// The authorisation identity in the answer to [`who_am_i`]: `dn:...`, `u:...`, or empty for anonymous.
pub fn who_am_i_response(response: &ExtendedResponse) -> Result<String, DecodeError> {
    let value = response.value.clone().unwrap_or_default();
    Text::from_utf8(value).map(|identity| identity.to_string())
}

/// Asks to end the operation with this id. Unlike after an abandon, the server answers both, so the client
/// knows when it has stopped (RFC 3909 section 1).
#[must_use]
pub fn cancel(id: MessageId) -> Extended {
    let value = encode_value(|writer| {
        writer.constructed(Tag::SEQUENCE, |writer| writer.unsigned(Tag::INTEGER, id.get()));
    });
    Extended {
        name: Text::from_static(CANCEL),
        value: Some(value),
    }
}

/// Changes a password, and lets the server hash it (RFC 3062 section 2).
#[derive(Debug, Clone, Default)]
pub struct PasswordModify {
    /// Whose password, usually a DN; none for the bound identity's own.
    pub user_identity: Option<String>,
    /// The password as it is.
    pub old_password: Option<Secret>,
    /// The password as it shall be; none lets the server make one.
    pub new_password: Option<Secret>,
}

impl PasswordModify {
    /// The request.
    #[must_use]
    pub fn to_request(&self) -> Extended {
        let value = encode_value(|writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                if let Some(user) = &self.user_identity {
                    writer.octets(USER_IDENTITY, user.as_bytes());
                }
                if let Some(old) = &self.old_password {
                    writer.octets(OLD_PASSWORD, old.expose());
                }
                if let Some(new) = &self.new_password {
                    writer.octets(NEW_PASSWORD, new.expose());
                }
            });
        });
        Extended {
            name: Text::from_static(PASSWORD_MODIFY),
            value: Some(value),
        }
    }

    /// Reads the request's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[0, 1, 2], |reader| {
            let user = reader.optional(USER_IDENTITY)?;
            let old = reader.optional(OLD_PASSWORD)?;
            let new = reader.optional(NEW_PASSWORD)?;
            Ok(Self {
                user_identity: user.map(|user| user.to_str().map(str::to_owned)).transpose()?,
                old_password: old.map(|old| Secret::new(old.rest())),
                new_password: new.map(|new| Secret::new(new.rest())),
            })
        })
    }

    /// The password that the server made, in the answer to a request without a new one.
    pub fn generated(response: &ExtendedResponse) -> Result<Option<Secret>, DecodeError> {
        match &response.value {
            None => Ok(None),
            Some(value) => decode_sequence(value, &[0], |reader| {
                Ok(reader
                    .optional(GENERATED_PASSWORD)?
                    .map(|password| Secret::new(password.rest())))
            }),
        }
    }
}

/// The reason, when this message is the Notice of Disconnection: the server closes the connection now.
#[must_use]
pub fn notice_of_disconnection(message: &Message<Response>) -> Option<&LdapResult> {
    match &message.operation {
        Response::Extended(extended)
            if message.id == MessageId::UNSOLICITED
                && extended
                    .name
                    .as_ref()
                    .is_some_and(|name| *name == NOTICE_OF_DISCONNECTION) =>
        {
            Some(&extended.result)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
