//! Service extensions: which ones exist, and the EHLO reply that announces them.

use super::reply::Reply;
use std::fmt;

/// A set of service extensions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions(u32);

/// Keyword and bit of every extension without parameters of its own here.
const TABLE: [(&str, Extensions); 15] = [
    ("PIPELINING", Extensions::PIPELINING),
    ("SIZE", Extensions::SIZE),
    ("8BITMIME", Extensions::EIGHT_BIT_MIME),
    ("ENHANCEDSTATUSCODES", Extensions::ENHANCED_STATUS_CODES),
    ("STARTTLS", Extensions::STARTTLS),
    ("AUTH", Extensions::AUTH),
    ("SMTPUTF8", Extensions::SMTPUTF8),
    ("CHUNKING", Extensions::CHUNKING),
    ("BINARYMIME", Extensions::BINARYMIME),
    ("DSN", Extensions::DSN),
    ("REQUIRETLS", Extensions::REQUIRETLS),
    ("XTRACE", Extensions::XTRACE),
    ("LIMITS", Extensions::LIMITS),
    ("XCLIENT", Extensions::XCLIENT),
    ("XFORWARD", Extensions::XFORWARD),
];

impl Extensions {
    /// None of them: what HELO gives.
    pub const NONE: Self = Self(0);
    /// RFC 2920.
    pub const PIPELINING: Self = Self(1);
    /// RFC 1870.
    pub const SIZE: Self = Self(1 << 1);
    /// RFC 6152.
    pub const EIGHT_BIT_MIME: Self = Self(1 << 2);
    /// RFC 2034.
    pub const ENHANCED_STATUS_CODES: Self = Self(1 << 3);
    /// RFC 3207.
    pub const STARTTLS: Self = Self(1 << 4);
    /// RFC 4954.
    pub const AUTH: Self = Self(1 << 5);
    /// RFC 6531.
    pub const SMTPUTF8: Self = Self(1 << 6);
    /// RFC 3030.
    pub const CHUNKING: Self = Self(1 << 7);
    /// RFC 3461.
    pub const DSN: Self = Self(1 << 8);
    /// Postfix's XCLIENT: the session is taken over from a front end.
    pub const XCLIENT: Self = Self(1 << 9);
    /// Postfix's XFORWARD: the client of a front end is told for the log and the trace.
    pub const XFORWARD: Self = Self(1 << 10);
    /// RFC 3030 section 3.
    pub const BINARYMIME: Self = Self(1 << 11);
    /// RFC 8689.
    pub const REQUIRETLS: Self = Self(1 << 12);
    /// RFC 9422.
    pub const LIMITS: Self = Self(1 << 13);
    /// Our own: a server that asks another one before it answers says for which session it asks, so that a circle of
    /// such servers is found out.
    pub const XTRACE: Self = Self(1 << 14);

    /// This set and that one.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without that one.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True when all of `other` are in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(
                TABLE
                    .iter()
                    .filter(|(_, bit)| self.has(*bit))
                    .map(|(name, _)| name),
            )
            .finish()
    }
}

/// What a server says of its limits (RFC 9422 section 3); nothing where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// MAIL commands in one session.
    pub mail_max: Option<u32>,
    /// RCPT commands in one transaction.
    pub rcpt_max: Option<u32>,
}

impl Limits {
    /// Reads the words behind the keyword. Limits that mean nothing to us, and wrong ones, are passed over.
    fn parse(words: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in words
            .split_ascii_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            // RFC 9422 section 3: one to six digits, and not zero.
            let value = Some(value)
                .filter(|value| value.len() <= 6)
                .and_then(|value| value.parse().ok())
                .filter(|value| *value > 0);
            match name.to_ascii_uppercase().as_str() {
                "MAILMAX" => found.mail_max = value,
                "RCPTMAX" => found.rcpt_max = value,
                _ => {}
            }
        }
        found
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [("MAILMAX", self.mail_max), ("RCPTMAX", self.rcpt_max)];
        let said = both
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        f.write_str(&said.collect::<Vec<_>>().join(" "))
    }
}

/// What a server can do, as its EHLO (or LHLO) reply says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// The name with which the server greets.
    pub name: String,
    /// Those of the extensions that we know.
    pub extensions: Extensions,
    /// The size limit; `None` when there is none or it is not said (RFC 1870 section 4).
    pub size_limit: Option<u64>,
    /// SASL mechanisms, upper case.
    pub auth: Vec<String>,
    /// Attributes that XCLIENT takes, upper case.
    pub xclient: Vec<String>,
    /// Attributes that XFORWARD takes, upper case.
    pub xforward: Vec<String>,
    /// What LIMITS says.
    pub limits: Limits,
}

impl Capabilities {
    /// Reads an EHLO reply. Lines that mean nothing to us are passed over (RFC 5321 section 4.1.1.1).
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut found = Self::default();
        for (index, line) in reply.lines().enumerate() {
            if index == 0 {
                found.name = line
                    .split_ascii_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                continue;
            }
            // `AUTH=LOGIN` is how some old servers write it.
            let mut words = line
                .split(|c: char| c.is_ascii_whitespace() || c == '=')
                .filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default();
            let Some((_, bit)) = TABLE.iter().find(|(name, _)| name.eq_ignore_ascii_case(keyword)) else {
                continue;
            };
            found.extensions = found.extensions.with(*bit);
            let upper = |words: &mut dyn Iterator<Item = &str>| words.map(str::to_ascii_uppercase).collect();
            match *bit {
                Extensions::SIZE => {
                    found.size_limit = words
                        .next()
                        .and_then(|n| n.parse().ok())
                        .filter(|limit| *limit != 0);
                }
                Extensions::AUTH => found.auth = upper(&mut words),
                Extensions::XCLIENT => found.xclient = upper(&mut words),
                Extensions::XFORWARD => found.xforward = upper(&mut words),
                Extensions::LIMITS => found.limits = Limits::parse(line),
                _ => {}
            }
        }
        found
    }

    /// The EHLO reply that says this. `client` is the name that the client gave (RFC 5321 section 4.1.1.1).
    #[must_use]
    pub fn reply(&self, client: &str) -> Reply {
        let mut lines = vec![format!("{} greets {client}", self.name)];
        for (keyword, bit) in TABLE {
            if !self.extensions.has(bit) {
                continue;
            }
            let parameters = match bit {
                Extensions::SIZE => self.size_limit.map(|limit| limit.to_string()),
                Extensions::AUTH => Some(self.auth.join(" ")),
                Extensions::XCLIENT => Some(self.xclient.join(" ")),
                Extensions::XFORWARD => Some(self.xforward.join(" ")),
                Extensions::LIMITS => Some(self.limits.to_string()),
                _ => None,
            };
            lines.push(parameters.map_or_else(|| keyword.to_owned(), |text| format!("{keyword} {text}")));
        }
        // RFC 2034 section 3: the replies to EHLO and HELO carry no enhanced status code.
        Reply::multi(250, None, lines)
    }
}
