//! Mail addresses and domains (RFC 5321 section 4.1.2, RFC 6531 section 3.3, RFC 5890).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Why a text is not an address or a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// An address needs a local-part, `@` and a domain.
    #[error("the address has no \"@\"")]
    NoAt,
    /// RFC 5321 section 4.5.3.1.1 allows 64 octets.
    #[error("the local-part is empty or longer than 64 octets")]
    LocalPartLength,
    /// A character that is neither atom text nor inside a quoted string.
    #[error("the local-part has a character that is not allowed there")]
    LocalPartCharacter,
    /// RFC 5321 section 4.5.3.1.2 allows 255 octets, RFC 1035 section 2.3.4 63 a label.
    #[error("the domain is empty or too long")]
    DomainLength,
    /// Not a host name or an internationalised one.
    #[error("the domain is not a valid host name")]
    DomainCharacter,
}

/// A domain name in its A-label form, lower case, without a trailing dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Parses a host name, ASCII or internationalised (UTS 46), and brings it to its canonical form.
    /// Address literals (`[192.0.2.1]`) are refused: nobody's account lives there.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > 255 {
            return Err(AddressError::DomainLength);
        }
        if is_canonical(text) {
            return Ok(Self(text.into()));
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| AddressError::DomainCharacter)?;
        if ascii.len() > 255 || ascii.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(AddressError::DomainLength);
        }
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !ascii.bytes().all(|byte| letter(byte) || byte == b'.') {
            return Err(AddressError::DomainCharacter);
        }
        Ok(Self(ascii.into()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Octets of a host name's labels, lower case.
static HOST: [bool; 256] = octets(b"abcdefghijklmnopqrstuvwxyz0123456789-");

/// Whether the text is a domain that UTS 46 leaves as it is. Most are, and files of a million addresses are read.
fn is_canonical(text: &str) -> bool {
    // RFC 1035 section 2.3.4, without the root's octet and the first length.
    if text.len() > 253 {
        return false;
    }
    let (mut label, mut last) = (0, b'.');
    for byte in text.bytes() {
        if byte == b'.' {
            if label > 63 || last == b'-' || last == b'.' {
                return false;
            }
            label = 0;
        } else {
            // `xn--` and its like have rules of their own.
            let hyphen = byte == b'-' && (label == 0 || label == 3 && last == b'-');
            if hyphen || !is_in(&HOST, byte) {
                return false;
            }
            label += 1;
        }
        last = byte;
    }
    label <= 63 && last != b'-' && last != b'.'
}

const fn octets(of: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest = of;
    while let [first, more @ ..] = rest {
        let (_, places) = table.split_at_mut(*first as usize);
        if let [place, ..] = places {
            *place = true;
        }
        rest = more;
    }
    table
}

fn is_in(table: &[bool; 256], byte: u8) -> bool {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The part before the `@`, unquoted. Borrowed from an [`Address`] or parsed alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalPart(Arc<str>);

impl LocalPart {
    /// Parses a dot-string, or a quoted string with its quotes; the value is kept unquoted.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let inner = match text.strip_prefix('"') {
            Some(rest) => unquote(rest.strip_suffix('"').ok_or(AddressError::LocalPartCharacter)?)?,
            None if is_dot_string(text) => text.to_owned(),
            None if text.is_empty() => return Err(AddressError::LocalPartLength),
            None => return Err(AddressError::LocalPartCharacter),
        };
        if inner.is_empty() || inner.len() > 64 {
            return Err(AddressError::LocalPartLength);
        }
        Ok(Self(inner.into()))
    }

    /// The unquoted text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `atext`, as far as it is ASCII.
static ATEXT: [bool; 256] =
    octets(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~");

/// Octet by octet, for files of a million addresses are read.
fn is_dot_string(text: &str) -> bool {
    let mut in_atom = false;
    let mut ascii = true;
    for byte in text.bytes() {
        if is_in(&ATEXT, byte) {
            in_atom = true;
        } else if byte == b'.' && in_atom {
            in_atom = false;
        } else if byte.is_ascii() {
            return false;
        } else {
            (in_atom, ascii) = (true, false);
        }
    }
    // UTF-8 beyond ASCII is `atext` as well (RFC 6531 section 3.3).
    in_atom && (ascii || !text.chars().any(char::is_control))
}

/// The inside of a quoted string: `qtextSMTP` and `quoted-pairSMTP` (RFC 5321 section 4.1.2).
fn unquote(text: &str) -> Result<String, AddressError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::LocalPartCharacter)?,
            '"' => return Err(AddressError::LocalPartCharacter),
            other => other,
        };
        if c.is_control() {
            return Err(AddressError::LocalPartCharacter);
        }
        out.push(c);
    }
    Ok(out)
}

/// A mailbox address, `local-part@domain`.
///
/// The local-part keeps its spelling; two addresses are equal when they agree without regard to ASCII case
/// (RFC 5321 section 2.4 lets the receiving host decide, and every directory compares `mail` that way).
/// Cloning is a reference count.
#[derive(Clone)]
pub struct Address {
    /// `local-part@domain`, local-part unquoted, domain canonical.
    text: Arc<str>,
    /// Where the `@` stands.
    at: u8,
}

impl Address {
    /// Parses `local-part@domain`, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let at = text.bytes().rposition(|byte| byte == b'@');
        let (local, domain) = at
            .and_then(|at| text.split_at_checked(at))
            .ok_or(AddressError::NoAt)?;
        let domain = domain.strip_prefix('@').unwrap_or(domain);
        // Most texts are what they are kept as already, and files of a million of them are read.
        if local.len() <= 64
            && is_dot_string(local)
            && is_canonical(domain)
            && let Ok(at) = u8::try_from(local.len())
        {
            return Ok(Self {
                text: text.into(),
                at,
            });
        }
        Ok(Self::new(&LocalPart::parse(local)?, &Domain::parse(domain)?))
    }

    /// Joins two parts that were parsed alone.
    #[must_use]
    pub fn new(local: &LocalPart, domain: &Domain) -> Self {
        let text = format!("{}@{}", local.as_str(), domain.as_str());
        // A LocalPart is at most 64 octets, so the position fits.
        Self {
            text: text.into(),
            at: u8::try_from(local.as_str().len()).unwrap_or(0),
        }
    }

    /// The local-part, unquoted, in the spelling it came in.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..usize::from(self.at)).unwrap_or_default()
    }

    /// The domain's canonical text.
    #[must_use]
    pub fn domain_str(&self) -> &str {
        self.text.get(usize::from(self.at) + 1..).unwrap_or_default()
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain(self.domain_str().into())
    }

    /// `local-part@domain` with the local-part unquoted: for directories, file maps and people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What [`Display`](fmt::Display) shows: a copy only where the local-part has to be quoted.
    #[must_use]
    pub fn written(&self) -> Cow<'_, str> {
        match is_dot_string(self.local_part()) {
            true => Cow::Borrowed(&self.text),
            false => Cow::Owned(self.to_string()),
        }
    }

    /// The form under which addresses are compared and indexed.
    #[must_use]
    pub fn key(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The address without `+detail`, when it has one (RFC 5233).
    #[must_use]
    pub fn without_detail(&self) -> Option<Self> {
        let (user, _detail) = self.local_part().split_once('+')?;
        let local = LocalPart::parse(user).ok()?;
        Some(Self::new(&local, &self.domain()))
    }

    /// The address of the same name in another domain.
    #[must_use]
    pub fn in_domain(&self, domain: &Domain) -> Self {
        let local = self.local_part();
        // The local-part is the same, so the position still fits.
        Self {
            text: format!("{local}@{domain}").into(),
            at: self.at,
        }
    }

    /// True when SMTPUTF8 is needed to send it (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

/// The form that SMTP and message headers want: the local-part quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.local_part();
        if is_dot_string(local) {
            return f.write_str(&self.text);
        }
        f.write_str("\"")?;
        for c in local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.text.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lower = |byte: u8| byte.to_ascii_lowercase();
        self.text.bytes().map(lower).cmp(other.text.bytes().map(lower))
    }
}

macro_rules! text_serde {
    ($name:ident, $what:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $what })
            }
        }
    };
}
text_serde!(Domain, "a domain name");
text_serde!(Address, "an address, local-part@domain");

/// The reverse-path of an envelope: an address, or the null reverse-path `<>` of a DSN
/// (RFC 5321 section 4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// `<local-part@domain>`
    Address(Address),
}

impl fmt::Display for ReversePath {
    /// Without the angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_and_canonicalises() {
        for (text, shown) in [
            ("alice@example.test", "alice@example.test"),
            ("Alice.B@EXAMPLE.test.", "Alice.B@example.test"),
            ("\"a b\"@example.test", "\"a b\"@example.test"),
            ("\"plain\"@example.test", "plain@example.test"),
            ("a@bücher.test", "a@xn--bcher-kva.test"),
            ("jörg@example.test", "jörg@example.test"),
            ("\"a@b\"@example.test", "\"a@b\"@example.test"),
        ] {
            assert_eq!(
                Address::parse(text).map(|a| a.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "alice",
            "@example.test",
            "alice@",
            "a..b@example.test",
            ".a@example.test",
            "a b@example.test",
            "a@exa mple.test",
            "a@-x.test\n",
            "\"a@example.test",
            "a@[192.0.2.1]",
            "a\r\n@example.test",
            "a@b_c.test",
            "a@example..test",
            "\"a\"b\"@example.test",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert!(Address::parse(&format!("{}@example.test", "a".repeat(65))).is_err());
    }

    #[test]
    fn compares_without_case_and_strips_detail() {
        let address = Address::parse("Alice+news@Example.test").expect("valid");
        assert_eq!(address, Address::parse("alice+NEWS@example.TEST").expect("valid"));
        assert_eq!(
            address.without_detail(),
            Address::parse("alice@example.test").ok()
        );
        assert_eq!(address.local_part(), "Alice+news");
        assert_eq!(address.domain_str(), "example.test");
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same(text in "\\PC{1,70}@[a-z]{1,5}\\.test") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }

        /// Addresses are in the order of their keys.
        #[test]
        fn the_order_is_that_of_the_keys(one in "[aAbB_]{1,3}@[ab]\\.test", two in "[aAbB_]{1,3}@[ab]\\.test") {
            let (one, two) = (Address::parse(&one).expect("valid"), Address::parse(&two).expect("valid"));
            prop_assert_eq!(one.cmp(&two), one.key().cmp(&two.key()));
            prop_assert_eq!(one == two, one.key() == two.key());
        }

        /// The short way of an address gives what the long one gives.
        #[test]
        fn plain_addresses_are_what_their_parts_are(
            local in "[a-zA-Z0-9!#+.-]{0,6}", domain in "[a-zA-Z0-9-]{0,4}(\\.[a-z0-9-]{0,4}){0,2}",
        ) {
            let whole = Address::parse(&format!("{local}@{domain}"));
            let parts = LocalPart::parse(&local).and_then(|local| Ok(Address::new(&local, &Domain::parse(&domain)?)));
            match (whole, parts) {
                (Ok(whole), Ok(parts)) => {
                    prop_assert_eq!(whole.as_str(), parts.as_str());
                    prop_assert_eq!(whole.local_part(), parts.local_part());
                }
                (whole, parts) => prop_assert_eq!(whole.is_err(), parts.is_err()),
            }
        }

        /// Atoms between dots, octet by octet or character by character.
        #[test]
        fn dot_strings_are_atoms_and_dots(text in "[ -~]{0,4}|[a-z.]{0,6}|[a.\\u{80}\\u{9f}\\u{a0}ö]{0,4}|\\PC{0,4}") {
            let is_atext = |c: char| match c.is_ascii() {
                true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
                false => !c.is_control(),
            };
            let atoms = text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
            prop_assert_eq!(is_dot_string(&text), atoms);
        }

        /// The short way gives what UTS 46 gives.
        #[test]
        fn canonical_domains_stay_as_they_are(text in "[a-zA-Z0-9-]{0,4}(\\.[a-z0-9-]{0,4}){0,3}") {
            if is_canonical(&text) {
                let whole = idna::domain_to_ascii_strict(&text);
                prop_assert!(matches!(&whole, Ok(whole) if *whole == text), "{text:?}: {whole:?}");
            }
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = Address::parse(&text);
            let _ = Domain::parse(&text);
        }
    }
}
