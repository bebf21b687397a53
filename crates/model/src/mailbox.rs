//! Mailbox names (RFC 9051 section 5.1) and special uses (RFC 6154).

use std::fmt;
use std::sync::Arc;

/// Why a text is not a mailbox name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// Nothing there, or an empty level (`a//b`, `/a`, `a/`).
    #[error("the mailbox name, or one of its levels, is empty")]
    Empty,
    /// Names are limited to 1,000 octets and 32 levels, levels to 255 octets.
    #[error("the mailbox name is too long or too deep")]
    TooLong,
    /// Control characters, and `*` and `%` which LIST could never name.
    #[error("the mailbox name has a character that is not allowed")]
    Character,
}

/// A mailbox of one account: UTF-8, levels separated by `/`, `INBOX` in capitals whatever the client wrote.
/// The modified UTF-7 of IMAP4rev1 is the business of the protocol layer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Arc<str>);

impl MailboxName {
    /// The hierarchy separator.
    pub const SEPARATOR: char = '/';

    /// Parses a name; one trailing separator is dropped (RFC 9051 section 6.3.4).
    pub fn parse(text: &str) -> Result<Self, MailboxError> {
        let text = text.strip_suffix(Self::SEPARATOR).unwrap_or(text);
        if text.len() > 1000 || text.split(Self::SEPARATOR).count() > 32 {
            return Err(MailboxError::TooLong);
        }
        for level in text.split(Self::SEPARATOR) {
            match level.len() {
                0 => return Err(MailboxError::Empty),
                256.. => return Err(MailboxError::TooLong),
                _ => {}
            }
        }
        if text
            .chars()
            .any(|c| c.is_control() || matches!(c, '*' | '%' | '\u{2028}' | '\u{2029}'))
        {
            return Err(MailboxError::Character);
        }
        // RFC 9051 section 5.1: INBOX, and the INBOX level of its children, is case-insensitive.
        match text.split_once(Self::SEPARATOR) {
            None if text.eq_ignore_ascii_case("INBOX") => Ok(Self::inbox()),
            Some((first, rest)) if first.eq_ignore_ascii_case("INBOX") => {
                Ok(Self(format!("INBOX/{rest}").into()))
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// The mailbox that receives mail.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Whether this is `INBOX` itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The mailbox one level up.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0
            .rsplit_once(Self::SEPARATOR)
            .map(|(parent, _)| Self(parent.into()))
    }

    /// Whether `self` lies below `ancestor`.
    #[must_use]
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.0
            .strip_prefix(&*ancestor.0)
            .is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }

    /// This name with the ancestor `from` replaced by `to`; none when it does not lie below `from`.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*from.0)?;
        rest.starts_with(Self::SEPARATOR)
            .then(|| Self::parse(&format!("{}{rest}", to.0)).ok())
            .flatten()
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What a mailbox is for (RFC 6154 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SpecialUse {
    /// Long-term storage.
    Archive = 1,
    /// Unfinished messages.
    Drafts = 2,
    /// Spam.
    Junk = 3,
    /// Copies of what was sent.
    Sent = 4,
    /// Messages on their way out.
    Trash = 5,
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The LIST attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, kept) in [
            ("inbox", "INBOX"),
            ("Inbox/x", "INBOX/x"),
            ("a/b/", "a/b"),
            ("Entwürfe", "Entwürfe"),
        ] {
            assert_eq!(
                MailboxName::parse(text).map(|name| name.to_string()),
                Ok(kept.to_owned())
            );
        }
        for bad in ["", "/", "a//b", "/a", "a\u{7}", "a*", "%"] {
            assert!(MailboxName::parse(bad).is_err(), "{bad:?}");
        }
        let name = |text| MailboxName::parse(text).expect("valid");
        assert!(name("a/b").is_below(&name("a")) && !name("ab").is_below(&name("a")));
        assert_eq!(
            name("a/b/c").moved(&name("a"), &name("x/y")),
            Some(name("x/y/b/c"))
        );
        assert_eq!(name("a").parent(), None);
    }
}
