//! What a server answers.

use bytes::Bytes;

use super::search::{ENTRY, decode_entry_contents, encode_entry};
use crate::Text;
use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::entry::Entry;
use crate::result::{LdapResult, decode_uris};

const BIND: Tag = Tag::application_constructed(1);
const SEARCH_DONE: Tag = Tag::application_constructed(5);
const MODIFY: Tag = Tag::application_constructed(7);
const ADD: Tag = Tag::application_constructed(9);
const DELETE: Tag = Tag::application_constructed(11);
const MODIFY_DN: Tag = Tag::application_constructed(13);
const COMPARE: Tag = Tag::application_constructed(15);
const SEARCH_REFERENCE: Tag = Tag::application_constructed(19);
const EXTENDED: Tag = Tag::application_constructed(24);
const INTERMEDIATE: Tag = Tag::application_constructed(25);

const SERVER_SASL_CREDENTIALS: Tag = Tag::context(7);
const RESPONSE_NAME: Tag = Tag::context(10);
const RESPONSE_VALUE: Tag = Tag::context(11);
const INTERMEDIATE_NAME: Tag = Tag::context(0);
const INTERMEDIATE_VALUE: Tag = Tag::context(1);

/// A response (RFC 4511 sections 4.2 to 4.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To a bind.
    Bind(BindResponse),
    /// One entry that a search found.
    SearchEntry(Entry),
    /// URIs where a search could go on.
    SearchReference(Vec<String>),
    /// The end of a search.
    SearchDone(LdapResult),
    /// To a modify.
    Modify(LdapResult),
    /// To an add.
    Add(LdapResult),
    /// To a delete.
    Delete(LdapResult),
    /// To a modify DN.
    ModifyDn(LdapResult),
    /// To a compare; success is `CompareTrue` or `CompareFalse`.
    Compare(LdapResult),
    /// To an extended operation, or a notification that answers nothing (RFC 4511 section 4.4).
    Extended(ExtendedResponse),
    /// Something on the way, before the final response.
    Intermediate(Intermediate),
}

/// The response to a bind (RFC 4511 section 4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindResponse {
    /// The outcome.
    pub result: LdapResult,
    /// The server's part of the SASL exchange.
    pub server_sasl_credentials: Option<Bytes>,
}

/// The response to an extended operation (RFC 4511 section 4.12).
#[derive(Clone, PartialEq, Eq)]
pub struct ExtendedResponse {
    /// The outcome.
    pub result: LdapResult,
    /// The OID of this response, where the operation has one.
    pub name: Option<Text>,
    /// The value, in the operation's own form.
    pub value: Option<Bytes>,
}

/// An intermediate response (RFC 4511 section 4.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intermediate {
    /// The OID of what this is.
    pub name: Option<Text>,
    /// The value, in its own form.
    pub value: Option<Bytes>,
}

// The value may hold a password that the server made (RFC 3062).
impl std::fmt::Debug for ExtendedResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.value.as_ref().map(Bytes::len);
        write!(
            f,
            "ExtendedResponse({:?}, {:?}, {length:?} bytes)",
            self.result, self.name
        )
    }
}

impl Response {
    /// The result, when this response ends its operation.
    #[must_use]
    pub const fn result(&self) -> Option<&LdapResult> {
        match self {
            Self::Bind(BindResponse { result, .. })
            | Self::Extended(ExtendedResponse { result, .. })
            | Self::SearchDone(result)
            | Self::Modify(result)
            | Self::Add(result)
            | Self::Delete(result)
            | Self::ModifyDn(result)
            | Self::Compare(result) => Some(result),
            Self::SearchEntry(_) | Self::SearchReference(_) | Self::Intermediate(_) => None,
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Bind(bind) => writer.constructed(BIND, |writer| {
                bind.result.encode(writer);
                optional(
                    writer,
                    SERVER_SASL_CREDENTIALS,
                    bind.server_sasl_credentials.as_deref(),
                );
            }),
            Self::SearchEntry(entry) => encode_entry(entry, ENTRY, writer),
            Self::SearchReference(uris) => writer.constructed(SEARCH_REFERENCE, |writer| {
                for uri in uris {
                    writer.octets(Tag::OCTET_STRING, uri.as_bytes());
                }
            }),
            Self::SearchDone(result) => writer.constructed(SEARCH_DONE, |writer| result.encode(writer)),
            Self::Modify(result) => writer.constructed(MODIFY, |writer| result.encode(writer)),
            Self::Add(result) => writer.constructed(ADD, |writer| result.encode(writer)),
            Self::Delete(result) => writer.constructed(DELETE, |writer| result.encode(writer)),
            Self::ModifyDn(result) => writer.constructed(MODIFY_DN, |writer| result.encode(writer)),
            Self::Compare(result) => writer.constructed(COMPARE, |writer| result.encode(writer)),
            Self::Extended(extended) => writer.constructed(EXTENDED, |writer| {
                extended.result.encode(writer);
                optional(writer, RESPONSE_NAME, extended.name.as_ref().map(Text::as_bytes));
                optional(writer, RESPONSE_VALUE, extended.value.as_deref());
            }),
            Self::Intermediate(intermediate) => writer.constructed(INTERMEDIATE, |writer| {
                optional(
                    writer,
                    INTERMEDIATE_NAME,
                    intermediate.name.as_ref().map(Text::as_bytes),
                );
                optional(writer, INTERMEDIATE_VALUE, intermediate.value.as_deref());
            }),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (tag, mut contents) = reader.any()?;
        // The context-specific tags of each response; all but the last have the referral of a result.
        let known: &[u8] = match tag {
            BIND => &[3, 7],
            EXTENDED => &[3, 10, 11],
            INTERMEDIATE => &[0, 1],
            _ => &[3],
        };
        let response = match tag {
            ENTRY => return decode_entry_contents(contents).map(Self::SearchEntry),
            SEARCH_REFERENCE => return decode_uris(contents).map(Self::SearchReference),
            INTERMEDIATE => Self::Intermediate(Intermediate::decode(&mut contents)?),
            BIND => {
                let result = LdapResult::decode(&mut contents)?;
                let server_sasl_credentials = contents.optional(SERVER_SASL_CREDENTIALS)?.map(|c| c.bytes());
                Self::Bind(BindResponse {
                    result,
                    server_sasl_credentials,
                })
            }
            EXTENDED => Self::Extended(ExtendedResponse::decode(&mut contents)?),
            SEARCH_DONE => Self::SearchDone(LdapResult::decode(&mut contents)?),
            MODIFY => Self::Modify(LdapResult::decode(&mut contents)?),
            ADD => Self::Add(LdapResult::decode(&mut contents)?),
            DELETE => Self::Delete(LdapResult::decode(&mut contents)?),
            MODIFY_DN => Self::ModifyDn(LdapResult::decode(&mut contents)?),
            COMPARE => Self::Compare(LdapResult::decode(&mut contents)?),
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        contents.skip_extensions(known)?;
        Ok(response)
    }
}

fn optional(writer: &mut Writer<'_>, tag: Tag, value: Option<&[u8]>) {
    if let Some(value) = value {
        writer.octets(tag, value);
    }
}

impl ExtendedResponse {
    fn decode(contents: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let result = LdapResult::decode(contents)?;
        let name = optional_text(contents, RESPONSE_NAME)?;
        let value = contents.optional(RESPONSE_VALUE)?.map(|c| c.bytes());
        Ok(Self { result, name, value })
    }
}

impl Intermediate {
    fn decode(contents: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = optional_text(contents, INTERMEDIATE_NAME)?;
        let value = contents.optional(INTERMEDIATE_VALUE)?.map(|c| c.bytes());
        Ok(Self { name, value })
    }
}

fn optional_text(contents: &mut Reader<'_>, tag: Tag) -> Result<Option<Text>, DecodeError> {
    contents.optional(tag)?.map(Reader::to_text).transpose()
}
