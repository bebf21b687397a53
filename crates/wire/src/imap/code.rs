//! Response codes (RFC 3501 section 7.1, RFC 5530 and those of the extensions).

use super::scan::{Malformed, Scanner};
use super::sequence::SequenceSet;

/// What stands in brackets in front of a status response's text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the RFCs'.
pub enum Code {
    Alert,
    BadCharset(Vec<String>),
    Capability(Vec<String>),
    Parse,
    /// Flags as written, `\*` among them.
    PermanentFlags(Vec<String>),
    ReadOnly,
    ReadWrite,
    TryCreate,
    UidNext(u32),
    UidValidity(u32),
    Unseen(u32),
    /// RFC 4315.
    AppendUid {
        validity: u32,
        uids: SequenceSet,
    },
    CopyUid {
        validity: u32,
        from: SequenceSet,
        to: SequenceSet,
    },
    UidNotSticky,
    /// RFC 5530: try later.
    Unavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    Expired,
    PrivacyRequired,
    ContactAdmin,
    NoPerm,
    InUse,
    ExpungeIssued,
    Corruption,
    ServerBug,
    ClientBug,
    Cannot,
    Limit,
    OverQuota,
    AlreadyExists,
    NonExistent,
    /// RFC 7889.
    TooBig,
    /// RFC 6154.
    UseAttr,
    /// RFC 7162.
    Closed,
    HighestModSeq(u64),
    NoModSeq,
    /// One that we do not know, without its brackets.
    Other(Vec<u8>),
}

/// The codes that are one word.
const WORDS: [(&str, Code); 27] = [
    ("ALERT", Code::Alert),
    ("PARSE", Code::Parse),
    ("READ-ONLY", Code::ReadOnly),
    ("READ-WRITE", Code::ReadWrite),
    ("TRYCREATE", Code::TryCreate),
    ("UIDNOTSTICKY", Code::UidNotSticky),
    ("UNAVAILABLE", Code::Unavailable),
    ("AUTHENTICATIONFAILED", Code::AuthenticationFailed),
    ("AUTHORIZATIONFAILED", Code::AuthorizationFailed),
    ("EXPIRED", Code::Expired),
    ("PRIVACYREQUIRED", Code::PrivacyRequired),
    ("CONTACTADMIN", Code::ContactAdmin),
    ("NOPERM", Code::NoPerm),
    ("INUSE", Code::InUse),
    ("EXPUNGEISSUED", Code::ExpungeIssued),
    ("CORRUPTION", Code::Corruption),
    ("SERVERBUG", Code::ServerBug),
    ("CLIENTBUG", Code::ClientBug),
    ("CANNOT", Code::Cannot),
    ("LIMIT", Code::Limit),
    ("OVERQUOTA", Code::OverQuota),
    ("ALREADYEXISTS", Code::AlreadyExists),
    ("NONEXISTENT", Code::NonExistent),
    ("TOOBIG", Code::TooBig),
    ("USEATTR", Code::UseAttr),
    ("CLOSED", Code::Closed),
    ("NOMODSEQ", Code::NoModSeq),
];

impl Code {
    /// The form between the brackets.
    pub fn write(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::BadCharset(charsets) if charsets.is_empty() => "BADCHARSET".to_owned(),
            Self::BadCharset(charsets) => format!("BADCHARSET ({})", charsets.join(" ")),
            Self::Capability(words) => format!("CAPABILITY {}", words.join(" ")),
            Self::PermanentFlags(flags) => format!("PERMANENTFLAGS ({})", flags.join(" ")),
            Self::UidNext(uid) => format!("UIDNEXT {uid}"),
            Self::UidValidity(validity) => format!("UIDVALIDITY {validity}"),
            Self::Unseen(number) => format!("UNSEEN {number}"),
            Self::AppendUid { validity, uids } => format!("APPENDUID {validity} {uids}"),
            Self::CopyUid { validity, from, to } => format!("COPYUID {validity} {from} {to}"),
            Self::HighestModSeq(number) => format!("HIGHESTMODSEQ {number}"),
            Self::Other(bytes) => return out.extend_from_slice(bytes),
            word => WORDS
                .iter()
                .find(|(_, code)| code == word)
                .map_or("", |(name, _)| name)
                .to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
    }

    /// The inside of the brackets.
    pub(super) fn parse(text: &[u8]) -> Self {
        if let Some((_, code)) = WORDS
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()))
        {
            return code.clone();
        }
        let mut scanner = Scanner::new(text);
        match Self::scan(&mut scanner) {
            Ok(Some(code)) if scanner.is_end() => code,
            _ => Self::Other(text.to_vec()),
        }
    }

    fn scan(scanner: &mut Scanner<'_>) -> Result<Option<Self>, Malformed> {
        let name = scanner.atom()?.to_ascii_uppercase();
        if name == "BADCHARSET" && scanner.is_end() {
            return Ok(Some(Self::BadCharset(Vec::new())));
        }
        scanner.space()?;
        Ok(Some(match name.as_str() {
            "BADCHARSET" => Self::BadCharset(
                scanner.list(|scanner| Ok(String::from_utf8_lossy(&scanner.astring()?).into_owned()))?,
            ),
            "CAPABILITY" => Self::Capability(words(scanner)?),
            "PERMANENTFLAGS" => Self::PermanentFlags(scanner.list(|scanner| {
                let flag = scanner.take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')'));
                match std::str::from_utf8(flag) {
                    Ok(flag) if !flag.is_empty() => Ok(flag.to_owned()),
                    _ => scanner.fail("a flag"),
                }
            })?),
            "UIDNEXT" => Self::UidNext(scanner.nz_number()?),
            "UIDVALIDITY" => Self::UidValidity(scanner.nz_number()?),
            "UNSEEN" => Self::Unseen(scanner.nz_number()?),
            "HIGHESTMODSEQ" => Self::HighestModSeq(scanner.number64()?),
            "APPENDUID" => {
                let validity = scanner.nz_number()?;
                scanner.space()?;
                Self::AppendUid {
                    validity,
                    uids: SequenceSet::scan(scanner)?,
                }
            }
            "COPYUID" => {
                let validity = scanner.nz_number()?;
                scanner.space()?;
                let from = SequenceSet::scan(scanner)?;
                scanner.space()?;
                Self::CopyUid {
                    validity,
                    from,
                    to: SequenceSet::scan(scanner)?,
                }
            }
            _ => return Ok(None),
        }))
    }
}

/// Atoms up to the end; `=` and `+` are part of capabilities.
pub(super) fn words(scanner: &mut Scanner<'_>) -> Result<Vec<String>, Malformed> {
    let mut words = vec![scanner.atom()?.to_owned()];
    while scanner.eat(b' ') {
        if scanner.is_end() {
            break;
        }
        words.push(scanner.atom()?.to_owned());
    }
    Ok(words)
}
