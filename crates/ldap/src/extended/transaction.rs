//! LDAP transactions (RFC 5805): beginning one, ending it, and hearing that it was given up.

use bytes::Bytes;

use crate::Text;
use crate::ber::{DecodeError, Reader, Tag};
use crate::control::{Control, decode_sequence, encode_value};
use crate::message::{
    Extended, ExtendedResponse, Message, MessageId, Response, decode_control_list, encode_control_list,
};

/// The OID of Start Transaction (RFC 5805 section 2.1).
pub const START_TRANSACTION: &str = "1.3.6.1.1.21.1";
/// The OID of End Transaction (RFC 5805 section 2.3).
pub const END_TRANSACTION: &str = "1.3.6.1.1.21.3";
/// The name of the Aborted Transaction Notice (RFC 5805 section 2.4).
pub const ABORTED_TRANSACTION: &str = "1.3.6.1.1.21.4";

/// More updates in one answer than any transaction of ours has.
const MAX_UPDATES: usize = 10_000;

/// Asks for a transaction.
#[must_use]
pub const fn start_transaction() -> Extended {
    Extended {
        name: Text::from_static(START_TRANSACTION),
        value: None,
    }
}

/// The identifier in the answer to [`start_transaction`]; opaque.
pub fn transaction_identifier(response: &ExtendedResponse) -> Result<Bytes, DecodeError> {
    // RFC 5805 section 2.1.2: the value is the identifier itself, which may be empty, but is there.
    let missing = DecodeError::Invalid("a transaction without an identifier");
    response.value.clone().ok_or(missing)
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All its updates take effect, or none.
    Commit,
    /// Nothing takes effect.
    Abort,
}

/// Ends a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndTransaction {
    /// How.
    pub ending: Ending,
    /// Which.
    pub identifier: Bytes,
}

impl EndTransaction {
    /// The request.
    #[must_use]
    pub fn to_request(&self) -> Extended {
        let value = encode_value(|writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                // RFC 5805 section 2.3.1: commit is TRUE unless said otherwise.
                if self.ending == Ending::Abort {
                    writer.boolean(Tag::BOOLEAN, false);
                }
                writer.octets(Tag::OCTET_STRING, &self.identifier);
            });
        });
        Extended {
            name: Text::from_static(END_TRANSACTION),
            value: Some(value),
        }
    }

    /// Reads the request's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            let ending = match reader.optional(Tag::BOOLEAN)? {
                Some(commit) if !commit.to_boolean()? => Ending::Abort,
                _ => Ending::Commit,
            };
            let identifier = reader.octets(Tag::OCTET_STRING)?;
            Ok(Self { ending, identifier })
        })
    }
}

/// What the answer to [`EndTransaction`] tells beside its result (RFC 5805 section 2.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionEnded {
    /// The update that failed, so that nothing was done.
    pub failed: Option<MessageId>,
    /// The response controls of the updates that have some.
    pub controls: Vec<(MessageId, Vec<Control>)>,
}

impl TransactionEnded {
    /// The value, as a server writes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_value(|writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                if let Some(id) = self.failed {
                    writer.unsigned(Tag::INTEGER, id.get());
                }
                if self.controls.is_empty() {
                    return;
                }
                writer.constructed(Tag::SEQUENCE, |writer| {
                    for (id, controls) in &self.controls {
                        writer.constructed(Tag::SEQUENCE, |writer| {
                            writer.unsigned(Tag::INTEGER, id.get());
                            encode_control_list(controls, writer);
                        });
                    }
                });
            });
        })
    }

    /// Reads the value of the answer; one without a value has nothing to tell.
    pub fn of(response: &ExtendedResponse) -> Result<Self, DecodeError> {
        match &response.value {
            Some(value) if !value.is_empty() => decode_sequence(value, &[], Self::read),
            _ => Ok(Self::default()),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let failed = match reader.optional(Tag::INTEGER)? {
            Some(number) => Some(message_id(number)?),
            None => None,
        };
        let mut controls = Vec::new();
        if let Some(mut list) = reader.optional(Tag::SEQUENCE)? {
            while !list.is_empty() {
                if controls.len() >= MAX_UPDATES {
                    return Err(DecodeError::TooMany("updates of a transaction"));
                }
                let mut update = list.element(Tag::SEQUENCE)?;
                let id = message_id(update.element(Tag::INTEGER)?)?;
                controls.push((id, decode_control_list(&mut update)?));
                update.skip_extensions(&[])?;
            }
        }
        Ok(Self { failed, controls })
    }
}

fn message_id(number: Reader<'_>) -> Result<MessageId, DecodeError> {
    let number = u32::try_from(number.to_integer()?).ok();
    number.and_then(MessageId::new).ok_or(DecodeError::BadInteger)
}

/// The transaction's identifier, when this message says that the server gave one up.
#[must_use]
pub fn aborted_transaction(message: &Message<Response>) -> Option<Bytes> {
    match &message.operation {
        Response::Extended(extended) if message.id == MessageId::UNSOLICITED => {
            let name = extended.name.as_ref()?;
            (*name == ABORTED_TRANSACTION).then(|| extended.value.clone().unwrap_or_default())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::PostRead;
    use crate::{LdapResult, ResultCode};
    use proptest::prelude::*;

    fn answer(value: Option<Bytes>) -> ExtendedResponse {
        ExtendedResponse {
            result: LdapResult::new(ResultCode::Success),
            name: None,
            value,
        }
    }

    #[test]
    fn requests_on_the_wire() {
        assert_eq!(start_transaction().value, None);
        let end = |ending| EndTransaction {
            ending,
            identifier: Bytes::from_static(b"t1"),
        };
        for (ending, wire) in [
            (Ending::Commit, b"\x30\x04\x04\x02t1".as_slice()),
            (Ending::Abort, b"\x30\x07\x01\x01\x00\x04\x02t1"),
        ] {
            let value = end(ending).to_request().value.expect("a value");
            assert_eq!(value.as_ref(), wire);
            assert_eq!(EndTransaction::decode(&value), Ok(end(ending)));
        }
        let said = Bytes::from_static(b"\x30\x07\x01\x01\xff\x04\x02t1");
        assert_eq!(EndTransaction::decode(&said), Ok(end(Ending::Commit)));
    }

    #[test]
    fn answers_by_table() {
        let id = |number| MessageId::new(number).expect("small");
        for (wire, failed, controls) in [
            (&b""[..], None, 0),
            (b"\x30\x00", None, 0),
            (b"\x30\x03\x02\x01\x05", Some(id(5)), 0),
            (
                b"\x30\x12\x30\x10\x30\x0e\x02\x01\x07\x30\x09\x30\x07\x04\x051.2.3",
                None,
                1,
            ),
        ] {
            let ended = TransactionEnded::of(&answer(Some(Bytes::from_static(wire)))).expect("valid");
            assert_eq!(
                (ended.failed, ended.controls.len()),
                (failed, controls),
                "{wire:02x?}"
            );
        }
        assert_eq!(
            TransactionEnded::of(&answer(None)),
            Ok(TransactionEnded::default())
        );
        for wire in [
            &b"\x30\x03\x02\x01\xff"[..],
            b"\x30\x02\x30\x05",
            b"\x04\x00",
            b"\x30\x04\x30\x02\x30\x00",
        ] {
            assert!(
                TransactionEnded::of(&answer(Some(Bytes::from_static(wire)))).is_err(),
                "{wire:02x?}"
            );
        }
        assert!(transaction_identifier(&answer(None)).is_err());
        assert_eq!(
            transaction_identifier(&answer(Some(Bytes::new()))),
            Ok(Bytes::new())
        );
    }

    #[test]
    fn the_notice_is_unsolicited() {
        let notice = |id: u32, name: &'static str| {
            let mut response = answer(Some(Bytes::from_static(b"t1")));
            response.name = Some(Text::from_static(name));
            Message::new(MessageId::new(id).expect("small"), Response::Extended(response))
        };
        assert_eq!(
            aborted_transaction(&notice(0, ABORTED_TRANSACTION)),
            Some(Bytes::from_static(b"t1"))
        );
        assert_eq!(aborted_transaction(&notice(3, ABORTED_TRANSACTION)), None);
        assert_eq!(aborted_transaction(&notice(0, "1.2.3")), None);
    }

    proptest! {
        #[test]
        fn answers_round_trip(
            failed in prop::option::of(0..i32::MAX as u32),
            updates in prop::collection::vec((1..i32::MAX as u32, prop::collection::vec("[a-z]{0,5}", 1..3)), 0..5),
        ) {
            let ended = TransactionEnded {
                failed: failed.and_then(MessageId::new),
                controls: updates
                    .iter()
                    .filter_map(|(id, names)| {
                        let controls = names.iter().map(|name| PostRead::request(&[name])).collect();
                        Some((MessageId::new(*id)?, controls))
                    })
                    .collect(),
            };
            prop_assert_eq!(TransactionEnded::of(&answer(Some(ended.encode()))), Ok(ended));
        }
    }
}
