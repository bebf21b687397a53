//! The outcome of an operation (RFC 4511 section 4.1.9).

use std::fmt;

use crate::ber::{DecodeError, Reader, Tag, Writer};

/// More referral URIs in one message than any server sends.
pub(crate) const MAX_REFERRALS: usize = 1000;

const REFERRAL: Tag = Tag::context_constructed(3);

macro_rules! result_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        /// A result code, by the name in RFC 4511 section 4.1.9 or in the RFC that adds it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ResultCode {
            $(
                #[doc = concat!("`", $text, "` (", stringify!($number), ").")]
                $(#[$doc])*
                $name,
            )*
            /// A number that is not in this list.
            Unknown(i32),
        }

        impl ResultCode {
            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: i32) -> Self {
                match number {
                    $($number => Self::$name,)*
                    _ => Self::Unknown(number),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// The name in the RFC.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(_) => "unknown",
                }
            }
        }
    };
}

result_codes! {
    Success = 0 "success",
    OperationsError = 1 "operationsError",
    ProtocolError = 2 "protocolError",
    TimeLimitExceeded = 3 "timeLimitExceeded",
    SizeLimitExceeded = 4 "sizeLimitExceeded",
    CompareFalse = 5 "compareFalse",
    CompareTrue = 6 "compareTrue",
    AuthMethodNotSupported = 7 "authMethodNotSupported",
    StrongerAuthRequired = 8 "strongerAuthRequired",
    Referral = 10 "referral",
    AdminLimitExceeded = 11 "adminLimitExceeded",
    UnavailableCriticalExtension = 12 "unavailableCriticalExtension",
    ConfidentialityRequired = 13 "confidentialityRequired",
    SaslBindInProgress = 14 "saslBindInProgress",
    NoSuchAttribute = 16 "noSuchAttribute",
    UndefinedAttributeType = 17 "undefinedAttributeType",
    InappropriateMatching = 18 "inappropriateMatching",
    ConstraintViolation = 19 "constraintViolation",
    AttributeOrValueExists = 20 "attributeOrValueExists",
    InvalidAttributeSyntax = 21 "invalidAttributeSyntax",
    NoSuchObject = 32 "noSuchObject",
    AliasProblem = 33 "aliasProblem",
    InvalidDnSyntax = 34 "invalidDNSyntax",
    AliasDereferencingProblem = 36 "aliasDereferencingProblem",
    InappropriateAuthentication = 48 "inappropriateAuthentication",
    InvalidCredentials = 49 "invalidCredentials",
    InsufficientAccessRights = 50 "insufficientAccessRights",
    Busy = 51 "busy",
    Unavailable = 52 "unavailable",
    UnwillingToPerform = 53 "unwillingToPerform",
    LoopDetect = 54 "loopDetect",
    NamingViolation = 64 "namingViolation",
    ObjectClassViolation = 65 "objectClassViolation",
    NotAllowedOnNonLeaf = 66 "notAllowedOnNonLeaf",
    NotAllowedOnRdn = 67 "notAllowedOnRDN",
    EntryAlreadyExists = 68 "entryAlreadyExists",
    ObjectClassModsProhibited = 69 "objectClassModsProhibited",
    AffectsMultipleDsas = 71 "affectsMultipleDSAs",
    Other = 80 "other",
    /// The operation was cancelled (RFC 3909 section 3).
    Canceled = 118 "canceled",
    /// There is no such operation to cancel (RFC 3909 section 3).
    NoSuchOperation = 119 "noSuchOperation",
    /// It is too late to cancel (RFC 3909 section 3).
    TooLate = 120 "tooLate",
    /// The operation cannot be cancelled (RFC 3909 section 3).
    CannotCancel = 121 "cannotCancel",
    /// The assertion control's filter did not match (RFC 4528 section 3).
    AssertionFailed = 122 "assertionFailed",
    /// The sync cookie is of no use; a full refresh is needed (RFC 4533 section 2.6).
    SyncRefreshRequired = 4096 "e-syncRefreshRequired",
}

impl ResultCode {
    /// Whether the same request may succeed later with nothing else changed: the server is overloaded, is
    /// going down, or ran out of time.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::TimeLimitExceeded)
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

/// The result of an operation: the code and what explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapResult {
    /// The outcome.
    pub code: ResultCode,
    /// The deepest entry that exists on the way to the one that does not; often empty.
    pub matched_dn: String,
    /// Text for people, in the server's words; often empty. Sub-codes of Active Directory are in here.
    pub diagnostic: String,
    /// Where else to ask; empty unless the code is `Referral`.
    pub referrals: Vec<String>,
}

impl LdapResult {
    /// A result with this code and nothing else.
    #[must_use]
    pub const fn new(code: ResultCode) -> Self {
        Self {
            code,
            matched_dn: String::new(),
            diagnostic: String::new(),
            referrals: Vec::new(),
        }
    }

    /// True when the code is `Success`.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == ResultCode::Success
    }

    /// The components, which RFC 4511 repeats at the start of every response.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.integer(Tag::ENUMERATED, self.code.number());
        writer.octets(Tag::OCTET_STRING, self.matched_dn.as_bytes());
        writer.octets(Tag::OCTET_STRING, self.diagnostic.as_bytes());
        if !self.referrals.is_empty() {
            writer.constructed(REFERRAL, |writer| {
                for uri in &self.referrals {
                    writer.octets(Tag::OCTET_STRING, uri.as_bytes());
                }
            });
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = ResultCode::from_number(reader.integer(Tag::ENUMERATED)?);
        let matched_dn = reader.string(Tag::OCTET_STRING)?;
        // Some servers put text in the system's own character set here. It is only ever logged, so it is
        // no reason to drop the connection.
        let diagnostic = String::from_utf8_lossy(reader.element(Tag::OCTET_STRING)?.rest()).into_owned();
        let referrals = match reader.optional(REFERRAL)? {
            Some(uris) => decode_uris(uris)?,
            None => Vec::new(),
        };
        Ok(Self {
            code,
            matched_dn,
            diagnostic,
            referrals,
        })
    }
}

impl fmt::Display for LdapResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.code, f)?;
        if !self.diagnostic.is_empty() {
            write!(f, ": {}", self.diagnostic.trim_end_matches('\0').escape_debug())?;
        }
        if !self.matched_dn.is_empty() {
            write!(f, " (matched {:?})", self.matched_dn)?;
        }
        Ok(())
    }
}

/// One URI or more (RFC 4511 section 4.1.10).
pub(crate) fn decode_uris(mut reader: Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count()?;
    match count {
        0 => return Err(DecodeError::Invalid("a referral without a URI")),
        1..=MAX_REFERRALS => {}
        _ => return Err(DecodeError::TooMany("referrals")),
    }
    let mut uris = Vec::with_capacity(count);
    while !reader.is_empty() {
        uris.push(reader.string(Tag::OCTET_STRING)?);
    }
    Ok(uris)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for number in -5..5000 {
            assert_eq!(ResultCode::from_number(number).number(), number);
        }
        assert_eq!(ResultCode::from_number(68), ResultCode::EntryAlreadyExists);
        assert_eq!(ResultCode::from_number(9), ResultCode::Unknown(9));
        assert_eq!(ResultCode::AssertionFailed.to_string(), "assertionFailed (122)");
    }

    #[test]
    fn an_empty_referral_is_refused() {
        let source = bytes::Bytes::from_static(&[0x0a, 1, 10, 4, 0, 4, 0, 0xa3, 0]);
        assert_eq!(
            LdapResult::decode(&mut Reader::new(&source)),
            Err(DecodeError::Invalid("a referral without a URI"))
        );
    }

    #[test]
    fn a_diagnostic_in_another_character_set_is_kept_as_well_as_can_be() {
        let source = bytes::Bytes::from_static(&[0x0a, 1, 49, 4, 0, 4, 2, b'k', 0xe9]);
        let result = LdapResult::decode(&mut Reader::new(&source)).expect("valid");
        assert_eq!(result.diagnostic, "k\u{fffd}");
    }
}
