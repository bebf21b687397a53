//! The structure of a message as IMAP shows it, computed once at delivery
//! (RFC 9051 section 7.5.2, RFC 2045, RFC 5322).
//!
//! Texts are the raw header values as bytes (encoded words stay encoded), unfolded, because that is what
//! ENVELOPE and BODYSTRUCTURE carry.

/// One address of an envelope field. A group is a pair of markers: `mailbox` = group name and no `host`
/// opens it, neither closes it (RFC 9051 section 7.5.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvelopeAddress {
    /// Display name.
    pub name: Option<Vec<u8>>,
    /// Local-part.
    pub mailbox: Option<Vec<u8>>,
    /// Domain.
    pub host: Option<Vec<u8>>,
}

/// ENVELOPE. An empty address list is shown as NIL; `sender` and `reply_to` are already filled from `from`
/// where the header lacks them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// `Date:` as written.
    pub date: Option<Vec<u8>>,
    /// `Subject:`
    pub subject: Option<Vec<u8>>,
    /// `From:`
    pub from: Vec<EnvelopeAddress>,
    /// `Sender:`
    pub sender: Vec<EnvelopeAddress>,
    /// `Reply-To:`
    pub reply_to: Vec<EnvelopeAddress>,
    /// `To:`
    pub to: Vec<EnvelopeAddress>,
    /// `Cc:`
    pub cc: Vec<EnvelopeAddress>,
    /// `Bcc:`
    pub bcc: Vec<EnvelopeAddress>,
    /// `In-Reply-To:`
    pub in_reply_to: Option<Vec<u8>>,
    /// `Message-ID:`
    pub message_id: Option<Vec<u8>>,
}

/// Content-Disposition with its parameters (RFC 2183).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// `attachment`, `inline`, ...
    pub kind: Vec<u8>,
    /// Name and value.
    pub params: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The fields that every non-multipart body part has. Positions are octets from the start of the message
/// in CRLF form; `header..body` is the part's own header, `body..end` its content as transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFields {
    /// Content-Type parameters.
    pub params: Vec<(Vec<u8>, Vec<u8>)>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding; `7BIT` when absent.
    pub encoding: Vec<u8>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub language: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
    /// Where the part's header starts.
    pub header: u32,
    /// Where the part's content starts.
    pub body: u32,
    /// Where the part's content ends.
    pub end: u32,
}

/// BODYSTRUCTURE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyStructure {
    /// `multipart/*`
    Multipart {
        /// `mixed`, `alternative`, ...
        subtype: Vec<u8>,
        /// The parts; never empty.
        parts: Vec<BodyStructure>,
        /// Fields of the multipart itself; of these `encoding`, `md5`, `id` and `description` are not shown.
        fields: BodyFields,
    },
    /// `message/rfc822` and `message/global`
    Message {
        /// `rfc822` or `global`.
        subtype: Vec<u8>,
        /// Fields of the part.
        fields: BodyFields,
        /// Envelope of the inner message.
        envelope: Box<Envelope>,
        /// Structure of the inner message.
        body: Box<BodyStructure>,
        /// Lines of the content.
        lines: u32,
    },
    /// `text/*`
    Text {
        /// `plain`, `html`, ...
        subtype: Vec<u8>,
        /// Fields of the part.
        fields: BodyFields,
        /// Lines of the content.
        lines: u32,
    },
    /// Anything else.
    Basic {
        /// `image`, `application`, ...
        kind: Vec<u8>,
        /// The subtype.
        subtype: Vec<u8>,
        /// Fields of the part.
        fields: BodyFields,
    },
}

impl BodyStructure {
    /// The fields of this part.
    #[must_use]
    pub fn fields(&self) -> &BodyFields {
        match self {
            Self::Multipart { fields, .. }
            | Self::Message { fields, .. }
            | Self::Text { fields, .. }
            | Self::Basic { fields, .. } => fields,
        }
    }

    /// The part that an IMAP section number such as `2.1` names (RFC 9051 section 6.4.5.1); an empty path
    /// names the whole. Part `1` of something that is not a multipart is that thing itself.
    #[must_use]
    pub fn part(&self, path: &[u32]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Self::Multipart { parts, .. } => {
                let index = usize::try_from(first.checked_sub(1)?).ok()?;
                parts.get(index)?.part_inside(rest)
            }
            _ if *first == 1 => self.part_inside(rest),
            _ => None,
        }
    }

    /// Below a message/rfc822 part the numbering goes on with the parts of the inner message.
    fn part_inside(&self, rest: &[u32]) -> Option<&Self> {
        match self {
            _ if rest.is_empty() => Some(self),
            Self::Message { body, .. } => body.part(rest),
            Self::Multipart { .. } => self.part(rest),
            _ => None,
        }
    }
}
