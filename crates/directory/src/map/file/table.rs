//! The format: one rule a line, `#` comments, tested in this order whatever the order in the file: the exact
//! address, `@domain`, `/regex/` (in file order), `*`.

use crate::HomeRef;
use model::{Address, Domain, DomainAliases};
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;

/// Errors beyond this many are not listed: the first ones say what is wrong.
const MAX_ERRORS: usize = 20;
/// Memory for one compiled expression.
const REGEX_LIMIT: usize = 1 << 20;
/// Expressions are tried one after the other, so there cannot be many.
const MAX_REGEXES: usize = 1000;

/// What is wrong in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// The right side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The account's home.
    Home(HomeRef),
    /// There is no such account.
    Reject,
}

/// Which rule matched, for explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Exact(String),
    WithoutDetail(String),
    Domain(String),
    Regex(String),
    Any,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(key) | Self::WithoutDetail(key) => f.write_str(key),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Regex(text) => write!(f, "/{text}/"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A rule with its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) rule: Rule,
    pub(crate) target: Target,
}

/// A whole file, ready for lookups. An exact line costs about 100 octets: homes are kept once.
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<Box<str>, u32>,
    domains: HashMap<Domain, u32>,
    regexes: Vec<(Regex, u32)>,
    any: Option<u32>,
    targets: Vec<Target>,
}

struct Builder<'a> {
    table: Table,
    aliases: &'a DomainAliases,
    known: HashMap<String, u32>,
    errors: Vec<LineError>,
}

impl Table {
    /// Reads a file's text where no domain has an alias.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<LineError>> {
        Self::parse_for(text, &DomainAliases::default())
    }

    /// Reads a file's text. A rule for an alias domain would never be asked for, so it is an error.
    pub fn parse_for(text: &[u8], aliases: &DomainAliases) -> Result<Self, Vec<LineError>> {
        let mut builder = Builder {
            table: Self::default(),
            aliases,
            known: HashMap::new(),
            errors: Vec::new(),
        };
        builder.table.exact.reserve(exact_lines(text));
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let added = std::str::from_utf8(line)
                .map_err(|_| "the line is not UTF-8".to_owned())
                .and_then(|line| builder.add(line.trim()));
            if let Err(message) = added {
                builder.errors.push(LineError {
                    line: index + 1,
                    message,
                });
                if builder.errors.len() >= MAX_ERRORS {
                    break;
                }
            }
        }
        if builder.errors.is_empty() {
            Ok(builder.table)
        } else {
            Err(builder.errors)
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.domains.len() + self.regexes.len() + usize::from(self.any.is_some())
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The homes that name a port: an error where one map serves several protocols.
    pub fn homes_with_port(&self) -> impl Iterator<Item = &HomeRef> {
        self.targets.iter().filter_map(|target| match target {
            Target::Home(home) if home.port().is_some() => Some(home),
            _ => None,
        })
    }

    pub(crate) fn find(&self, address: &Address) -> Option<Match> {
        let key = address.key();
        let (rule, target) = self
            .find_exact(&key)
            .map(|target| (Rule::Exact(key.clone()), target))
            .or_else(|| {
                let plain = address.without_detail()?.key();
                Some((Rule::WithoutDetail(plain.clone()), self.find_exact(&plain)?))
            })
            .or_else(|| {
                let domain = address.domain_str();
                Some((Rule::Domain(domain.to_owned()), *self.domains.get(domain)?))
            })
            .or_else(|| {
                let (regex, target) = self.regexes.iter().find(|(regex, _)| regex.is_match(&key))?;
                Some((Rule::Regex(regex.as_str().to_owned()), *target))
            })
            .or_else(|| Some((Rule::Any, self.any?)))?;
        let target = self.targets.get(usize::try_from(target).ok()?)?.clone();
        Some(Match { rule, target })
    }

    fn find_exact(&self, key: &str) -> Option<u32> {
        self.exact.get(key).copied()
    }
}

impl Builder<'_> {
    fn add(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (left, right) = split(line)?;
        let target = self.target(right)?;
        match left.as_bytes() {
            b"*" => {
                if self.table.any.replace(target).is_some() {
                    return Err("there is another rule for *".to_owned());
                }
            }
            [b'/', pattern @ .., b'/'] if !pattern.is_empty() => {
                if self.table.regexes.len() >= MAX_REGEXES {
                    return Err(format!(
                        "more than {MAX_REGEXES} regular expressions; use exact lines or domains"
                    ));
                }
                let pattern = std::str::from_utf8(pattern).unwrap_or_default();
                let regex = RegexBuilder::new(pattern)
                    .case_insensitive(true)
                    .size_limit(REGEX_LIMIT)
                    .build()
                    .map_err(|error| {
                        format!("/{pattern}/ is not a regular expression: {}", one_line(&error))
                    })?;
                self.table.regexes.push((regex, target));
            }
            [b'@', ..] => {
                let domain = left.get(1..).unwrap_or_default();
                let domain = Domain::parse(domain).map_err(|error| format!("{left:?}: {error}"))?;
                self.is_main(domain.as_str())?;
                match self.table.domains.entry(domain) {
                    Slot::Occupied(slot) => return Err(format!("there is another rule for @{}", slot.key())),
                    Slot::Vacant(slot) => slot.insert(target),
                };
            }
            _ => {
                let address = Address::parse(left)
                    .map_err(|error| format!("{left:?} is not an address, @domain, /regex/ or *: {error}"))?;
                self.is_main(address.domain_str())?;
                match self.table.exact.entry(address.key().into_boxed_str()) {
                    Slot::Occupied(slot) => return Err(format!("there is another rule for {}", slot.key())),
                    Slot::Vacant(slot) => slot.insert(target),
                };
            }
        }
        Ok(())
    }

    fn is_main(&self, domain: &str) -> Result<(), String> {
        match self.aliases.main_of(domain) {
            Some(main) => Err(format!(
                "{domain} is an alias of {main}; write the rule for {main}"
            )),
            None => Ok(()),
        }
    }

    fn target(&mut self, text: &str) -> Result<u32, String> {
        if let Some(known) = self.known.get(text) {
            return Ok(*known);
        }
        let target = if text.eq_ignore_ascii_case("reject") {
            Target::Reject
        } else {
            Target::Home(HomeRef::parse(text).map_err(|error| error.to_string())?)
        };
        let index = u32::try_from(self.table.targets.len()).map_err(|_| "too many homes".to_owned())?;
        self.table.targets.push(target);
        self.known.insert(text.to_owned(), index);
        Ok(index)
    }
}

/// About how many exact rules there are, so that the table need not grow under them.
fn exact_lines(text: &[u8]) -> usize {
    let is_exact = |line: &&[u8]| !matches!(line.first(), None | Some(b'#' | b'@' | b'/' | b'*' | b'\r'));
    let lines = text.split(|byte| *byte == b'\n').filter(is_exact).count();
    // A rule has six octets or more, whatever a file of something else looks like.
    lines.min(text.len() / 6)
}

/// The two sides of a rule. White space may stand inside of an expression, but not in a home.
fn split(line: &str) -> Result<(&str, &str), String> {
    // A comment may follow a rule; `#` inside of an address or an expression has no space before it.
    let line = match line.find(" #").or_else(|| line.find("\t#")) {
        Some(at) if !line.starts_with('/') => line.get(..at).unwrap_or(line).trim_end(),
        _ => line,
    };
    let (left, right) = line.rsplit_once(char::is_whitespace).ok_or_else(|| {
        "a rule has two parts: an address, @domain, /regex/ or *, then a home or reject".to_owned()
    })?;
    let left = left.trim_end();
    if !left.starts_with('/') && left.contains(char::is_whitespace) {
        return Err("a rule has two parts; this line has more".to_owned());
    }
    Ok((left, right))
}

/// The last line of a regex error says what is wrong; those above draw it.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
