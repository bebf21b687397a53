//! Message flags and keywords (RFC 9051 section 2.3.2).

use std::fmt;

/// Why a text is not a flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// A backslash flag that a client may not set, or that does not exist.
    #[error("{0:?} is not a flag that can be stored")]
    UnknownSystemFlag(String),
    /// A keyword is an atom of at most 255 octets.
    #[error("{0:?} is not a valid keyword")]
    NotAKeyword(String),
}

/// A flag whose meaning the standard defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SystemFlag {
    /// Has been read.
    Seen = 1,
    /// Has been answered.
    Answered = 2,
    /// Marked for special attention.
    Flagged = 4,
    /// Marked for removal by EXPUNGE.
    Deleted = 8,
    /// Not finished composing.
    Draft = 16,
}

impl SystemFlag {
    /// All of them, in the order in which they are listed to clients.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Flagged,
        Self::Deleted,
        Self::Seen,
        Self::Draft,
    ];

    /// The wire form, with the backslash.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
        }
    }
}

/// A client-defined keyword such as `$Forwarded`; compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// Parses an atom; the spelling is kept.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        let atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(atom) {
            return Err(FlagError::NotAKeyword(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same keyword.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// One flag of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// With a backslash.
    System(SystemFlag),
    /// Without.
    Keyword(Keyword),
}

impl Flag {
    /// Parses the wire form. `\Recent` is refused: clients cannot store it.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        if !text.starts_with('\\') {
            return Keyword::parse(text).map(Self::Keyword);
        }
        SystemFlag::ALL
            .into_iter()
            .find(|flag| flag.as_str().eq_ignore_ascii_case(text))
            .map(Self::System)
            .ok_or_else(|| FlagError::UnknownSystemFlag(text.to_owned()))
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(flag) => f.write_str(flag.as_str()),
            Self::Keyword(keyword) => f.write_str(keyword.as_str()),
        }
    }
}

/// The flags of one message: a byte of system flags, and keywords without repeats in a stable order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    system: u8,
    keywords: Vec<Keyword>,
}

impl Flags {
    /// No flags.
    pub const EMPTY: Self = Self {
        system: 0,
        keywords: Vec::new(),
    };

    /// From the stored form: the bits of [`SystemFlag`] and the keywords.
    #[must_use]
    pub fn from_parts(system: u8, keywords: Vec<Keyword>) -> Self {
        let mut flags = Self {
            system: system & 31,
            keywords: Vec::with_capacity(keywords.len()),
        };
        for keyword in keywords {
            flags.insert(Flag::Keyword(keyword));
        }
        flags
    }

    /// The bits of [`SystemFlag`].
    #[must_use]
    pub const fn system_bits(&self) -> u8 {
        self.system
    }

    /// The keywords.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_empty()
    }

    /// Whether the system flag is set.
    #[must_use]
    pub const fn has(&self, flag: SystemFlag) -> bool {
        self.system & flag as u8 != 0
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn contains(&self, flag: &Flag) -> bool {
        match flag {
            Flag::System(flag) => self.has(*flag),
            Flag::Keyword(keyword) => self.keywords.iter().any(|known| known.matches(keyword)),
        }
    }

    /// Sets the flag.
    pub fn insert(&mut self, flag: Flag) {
        if self.contains(&flag) {
            return;
        }
        match flag {
            Flag::System(flag) => self.system |= flag as u8,
            Flag::Keyword(keyword) => self.keywords.push(keyword),
        }
    }

    /// Clears the flag.
    pub fn remove(&mut self, flag: &Flag) {
        match flag {
            Flag::System(flag) => self.system &= !(*flag as u8),
            Flag::Keyword(keyword) => self.keywords.retain(|known| !known.matches(keyword)),
        }
    }

    /// All of them, system flags first.
    pub fn iter(&self) -> impl Iterator<Item = Flag> + '_ {
        let system = SystemFlag::ALL
            .into_iter()
            .filter(|flag| self.has(*flag))
            .map(Flag::System);
        system.chain(self.keywords.iter().cloned().map(Flag::Keyword))
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(iter: I) -> Self {
        let mut flags = Self::default();
        for flag in iter {
            flags.insert(flag);
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_set() {
        let mut flags: Flags = ["\\seen", "$Forwarded", "$forwarded"]
            .iter()
            .filter_map(|text| Flag::parse(text).ok())
            .collect();
        assert_eq!(
            flags.iter().map(|flag| flag.to_string()).collect::<Vec<_>>(),
            ["\\Seen", "$Forwarded"]
        );
        flags.remove(&Flag::parse("$FORWARDED").expect("valid"));
        assert_eq!(flags.keywords(), []);
        for bad in ["\\Recent", "\\", "", "a b", "a)", "é"] {
            assert!(Flag::parse(bad).is_err(), "{bad}");
        }
    }
}
