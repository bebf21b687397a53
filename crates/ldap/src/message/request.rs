//! What a client asks.

use std::fmt;

use bytes::Bytes;
use model::Secret;

use super::MessageId;
use super::search::{SMALLEST_ATTRIBUTE, Search, decode_attribute, encode_attribute};
use crate::Text;
use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::entry::Attribute;

const BIND: Tag = Tag::application_constructed(0);
const UNBIND: Tag = Tag::application(2);
const SEARCH: Tag = Tag::application_constructed(3);
const MODIFY: Tag = Tag::application_constructed(6);
const ADD: Tag = Tag::application_constructed(8);
const DELETE: Tag = Tag::application(10);
const MODIFY_DN: Tag = Tag::application_constructed(12);
const COMPARE: Tag = Tag::application_constructed(14);
const ABANDON: Tag = Tag::application(16);
const EXTENDED: Tag = Tag::application_constructed(23);

const SIMPLE: Tag = Tag::context(0);
const SASL: Tag = Tag::context_constructed(3);
const NEW_SUPERIOR: Tag = Tag::context(0);
const REQUEST_NAME: Tag = Tag::context(0);
const REQUEST_VALUE: Tag = Tag::context(1);

/// The version of the protocol this crate speaks.
const VERSION: i32 = 3;

/// A request (RFC 4511 sections 4.2 to 4.12).
#[derive(Debug, Clone)]
pub enum Request {
    /// Authenticate.
    Bind(Bind),
    /// End the connection; has no response.
    Unbind,
    /// Search for entries.
    Search(Box<Search>),
    /// Change an entry's attributes.
    Modify(Modify),
    /// Add an entry.
    Add(Add),
    /// Delete the entry with this DN.
    Delete(String),
    /// Rename or move an entry.
    ModifyDn(ModifyDn),
    /// Compare a value.
    Compare(Compare),
    /// Give up the request with this id; has no response.
    Abandon(MessageId),
    /// An extended operation.
    Extended(Extended),
}

/// A bind request of version 3 (RFC 4511 section 4.2).
#[derive(Debug, Clone)]
pub struct Bind {
    /// The bind DN; empty for an anonymous or a SASL bind.
    pub name: String,
    /// How the client proves who it is.
    pub authentication: Authentication,
}

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// With a password. An empty one makes the bind anonymous, whatever the DN says (RFC 4513 section 5.1.2).
    Simple(Secret),
    /// With one step of a SASL mechanism.
    Sasl {
        /// The mechanism's name.
        mechanism: String,
        /// The client's response of this step.
        credentials: Option<Secret>,
    },
}

/// A modify request (RFC 4511 section 4.6). The changes happen in this order, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modify {
    /// The entry.
    pub dn: String,
    /// The changes.
    pub changes: Vec<Modification>,
}

/// One change of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modification {
    /// What happens to the values.
    pub operation: ModifyOperation,
    /// The attribute and the values it is about.
    pub attribute: Attribute,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModifyOperation {
    /// Adds these values.
    Add,
    /// Removes these values, or the whole attribute when none are given.
    Delete,
    /// These values take the place of all there are; with none, the attribute goes away if it is there.
    Replace,
    /// Adds the one value to each number (RFC 4525).
    Increment,
}

/// An add request (RFC 4511 section 4.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// The DN of the new entry.
    pub dn: String,
    /// Its attributes, each with a value at least.
    pub attributes: Vec<Attribute>,
}

/// A modify DN request (RFC 4511 section 4.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifyDn {
    /// The entry.
    pub dn: String,
    /// Its new RDN.
    pub new_rdn: String,
    /// Whether the values of the old RDN leave the entry.
    pub delete_old_rdn: bool,
    /// The new parent, if it moves.
    pub new_superior: Option<String>,
}

/// A compare request (RFC 4511 section 4.10).
#[derive(Clone, PartialEq, Eq)]
pub struct Compare {
    /// The entry.
    pub dn: String,
    /// The attribute description.
    pub attribute: String,
    /// The value it may have.
    pub value: Bytes,
}

/// An extended request (RFC 4511 section 4.12).
#[derive(Clone, PartialEq, Eq)]
pub struct Extended {
    /// The OID of the operation.
    pub name: Text,
    /// Its value, in the operation's own form.
    pub value: Option<Bytes>,
}

// The value may be a password.
impl fmt::Debug for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Compare({:?}, {}, {} bytes)",
            self.dn,
            self.attribute,
            self.value.len()
        )
    }
}

// The value may hold a password (RFC 3062).
impl fmt::Debug for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Extended({}, {:?} bytes)",
            self.name,
            self.value.as_ref().map(Bytes::len)
        )
    }
}

impl Modification {
    /// A change of this attribute.
    #[must_use]
    pub const fn new(operation: ModifyOperation, attribute: Attribute) -> Self {
        Self { operation, attribute }
    }
}

impl ModifyOperation {
    const fn number(self) -> i32 {
        match self {
            Self::Add => 0,
            Self::Delete => 1,
            Self::Replace => 2,
            Self::Increment => 3, // RFC 4525 section 3
        }
    }

    const fn from_number(number: i32) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Add),
            1 => Ok(Self::Delete),
            2 => Ok(Self::Replace),
            3 => Ok(Self::Increment),
            _ => Err(DecodeError::Invalid("an unknown kind of change")),
        }
    }
}

impl Request {
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Bind(bind) => bind.encode(writer),
            Self::Unbind => writer.octets(UNBIND, &[]),
            Self::Search(search) => writer.constructed(SEARCH, |writer| search.encode(writer)),
            Self::Modify(modify) => modify.encode(writer),
            Self::Add(add) => writer.constructed(ADD, |writer| {
                writer.octets(Tag::OCTET_STRING, add.dn.as_bytes());
                writer.constructed(Tag::SEQUENCE, |writer| {
                    for attribute in &add.attributes {
                        encode_attribute(attribute, writer);
                    }
                });
            }),
            Self::Delete(dn) => writer.octets(DELETE, dn.as_bytes()),
            Self::ModifyDn(modify_dn) => modify_dn.encode(writer),
            Self::Compare(compare) => writer.constructed(COMPARE, |writer| {
                writer.octets(Tag::OCTET_STRING, compare.dn.as_bytes());
                writer.constructed(Tag::SEQUENCE, |writer| {
                    writer.octets(Tag::OCTET_STRING, compare.attribute.as_bytes());
                    writer.octets(Tag::OCTET_STRING, &compare.value);
                });
            }),
            Self::Abandon(id) => writer.unsigned(ABANDON, id.get()),
            Self::Extended(extended) => writer.constructed(EXTENDED, |writer| {
                writer.octets(REQUEST_NAME, extended.name.as_bytes());
                if let Some(value) = &extended.value {
                    writer.octets(REQUEST_VALUE, value);
                }
            }),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (tag, mut contents) = reader.any()?;
        let request = match tag {
            BIND => Self::Bind(Bind::decode(&mut contents)?),
            UNBIND => {
                contents.finish()?;
                Self::Unbind
            }
            SEARCH => Self::Search(Box::new(Search::decode(&mut contents)?)),
            MODIFY => Self::Modify(Modify::decode(&mut contents)?),
            ADD => Self::Add(Add::decode(&mut contents)?),
            DELETE => return contents.to_str().map(|dn| Self::Delete(dn.to_owned())),
            MODIFY_DN => Self::ModifyDn(ModifyDn::decode(&mut contents)?),
            COMPARE => Self::Compare(Compare::decode(&mut contents)?),
            ABANDON => return abandoned(contents).map(Self::Abandon),
            EXTENDED => Self::Extended(Extended::decode(&mut contents)?),
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        contents.skip_extensions(match tag {
            MODIFY_DN => &[0],
            EXTENDED => &[0, 1],
            _ => &[],
        })?;
        Ok(request)
    }
}

fn abandoned(contents: Reader<'_>) -> Result<MessageId, DecodeError> {
    u32::try_from(contents.to_integer()?)
        .ok()
        .and_then(MessageId::new)
        .ok_or(DecodeError::BadInteger)
}

impl Bind {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.constructed(BIND, |writer| {
            writer.integer(Tag::INTEGER, VERSION);
            writer.octets(Tag::OCTET_STRING, self.name.as_bytes());
            match &self.authentication {
                Authentication::Simple(password) => writer.octets(SIMPLE, password.expose()),
                Authentication::Sasl {
                    mechanism,
                    credentials,
                } => writer.constructed(SASL, |writer| {
                    writer.octets(Tag::OCTET_STRING, mechanism.as_bytes());
                    if let Some(credentials) = credentials {
                        writer.octets(Tag::OCTET_STRING, credentials.expose());
                    }
                }),
            }
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.integer(Tag::INTEGER)? != VERSION {
            return Err(DecodeError::Invalid("a protocol version other than 3"));
        }
        let name = reader.string(Tag::OCTET_STRING)?;
        let (tag, mut contents) = reader.any()?;
        let authentication = match tag {
            SIMPLE => Authentication::Simple(Secret::new(contents.rest())),
            SASL => {
                let mechanism = contents.string(Tag::OCTET_STRING)?;
                let credentials = contents.optional(Tag::OCTET_STRING)?;
                contents.skip_extensions(&[])?;
                Authentication::Sasl {
                    mechanism,
                    credentials: credentials.map(|c| Secret::new(c.rest())),
                }
            }
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(Self { name, authentication })
    }
}

impl Modify {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.constructed(MODIFY, |writer| {
            writer.octets(Tag::OCTET_STRING, self.dn.as_bytes());
            writer.constructed(Tag::SEQUENCE, |writer| {
                for change in &self.changes {
                    writer.constructed(Tag::SEQUENCE, |writer| {
                        writer.integer(Tag::ENUMERATED, change.operation.number());
                        encode_attribute(&change.attribute, writer);
                    });
                }
            });
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let dn = reader.string(Tag::OCTET_STRING)?;
        let mut list = reader.element(Tag::SEQUENCE)?;
        let mut changes = Vec::with_capacity(list.room(SMALLEST_ATTRIBUTE)?);
        while !list.is_empty() {
            let mut change = list.element(Tag::SEQUENCE)?;
            let operation = ModifyOperation::from_number(change.integer(Tag::ENUMERATED)?)?;
            let attribute = decode_attribute(&mut change)?;
            change.skip_extensions(&[])?;
            changes.push(Modification { operation, attribute });
        }
        Ok(Self { dn, changes })
    }
}

impl Add {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let dn = reader.string(Tag::OCTET_STRING)?;
        let mut list = reader.element(Tag::SEQUENCE)?;
        let mut attributes = Vec::with_capacity(list.room(SMALLEST_ATTRIBUTE)?);
        while !list.is_empty() {
            let attribute = decode_attribute(&mut list)?;
            // RFC 4511 section 4.7: every attribute of a new entry has a value.
            if attribute.values.is_empty() {
                return Err(DecodeError::Invalid("a new entry's attribute without a value"));
            }
            attributes.push(attribute);
        }
        Ok(Self { dn, attributes })
    }
}

impl ModifyDn {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.constructed(MODIFY_DN, |writer| {
            writer.octets(Tag::OCTET_STRING, self.dn.as_bytes());
            writer.octets(Tag::OCTET_STRING, self.new_rdn.as_bytes());
            writer.boolean(Tag::BOOLEAN, self.delete_old_rdn);
            if let Some(parent) = &self.new_superior {
                writer.octets(NEW_SUPERIOR, parent.as_bytes());
            }
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let dn = reader.string(Tag::OCTET_STRING)?;
        let new_rdn = reader.string(Tag::OCTET_STRING)?;
        let delete_old_rdn = reader.boolean(Tag::BOOLEAN)?;
        let new_superior = match reader.optional(NEW_SUPERIOR)? {
            Some(parent) => Some(parent.to_str()?.to_owned()),
            None => None,
        };
        Ok(Self {
            dn,
            new_rdn,
            delete_old_rdn,
            new_superior,
        })
    }
}

impl Compare {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let dn = reader.string(Tag::OCTET_STRING)?;
        let mut assertion = reader.element(Tag::SEQUENCE)?;
        let attribute = assertion.string(Tag::OCTET_STRING)?;
        let value = assertion.octets(Tag::OCTET_STRING)?;
        assertion.skip_extensions(&[])?;
        Ok(Self { dn, attribute, value })
    }
}

impl Extended {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = reader.text(REQUEST_NAME)?;
        let value = reader.optional(REQUEST_VALUE)?.map(|contents| contents.bytes());
        Ok(Self { name, value })
    }
}
