//! What SEARCH can ask for (RFC 3501 section 6.4.4).

use super::date::Date;
use super::scan::{Malformed, Scanner, is_atom_char};
use super::sequence::SequenceSet;
use super::write;
use model::{Flag, Keyword, SystemFlag};

/// Deeper programs than this are refused: `NOT`, `OR` and parentheses count.
const MAX_DEPTH: usize = 32;
/// More keys than this in one program are refused.
const MAX_KEYS: usize = 1_000;
/// And more than this that look for a text, each of which may mean to read every message.
const MAX_TEXTS: usize = 64;

/// What a program may still have.
struct Budget {
    keys: usize,
    texts: usize,
}

impl Budget {
    fn key(&mut self, scanner: &Scanner<'_>) -> Result<(), Malformed> {
        spend(&mut self.keys, scanner)
    }

    fn text(&mut self, scanner: &Scanner<'_>) -> Result<(), Malformed> {
        spend(&mut self.texts, scanner)
    }
}

fn spend(left: &mut usize, scanner: &Scanner<'_>) -> Result<(), Malformed> {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            Ok(())
        }
        None => scanner.fail("a shorter search program"),
    }
}

/// A search program. Texts are octets in the command's charset.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the RFC's.
pub enum SearchKey {
    All,
    /// Every one of them; never empty.
    And(Vec<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    Not(Box<SearchKey>),
    /// `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN`, `KEYWORD`
    Has(Flag),
    /// `UNANSWERED` and its like
    HasNot(Flag),
    /// `RECENT and not SEEN`
    New,
    Old,
    Recent,
    Sequence(SequenceSet),
    Uid(SequenceSet),
    Larger(u64),
    Smaller(u64),
    Before(Date),
    On(Date),
    Since(Date),
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    /// Field name and text; an empty text asks only whether the field is there.
    Header(Vec<u8>, Vec<u8>),
    Bcc(Vec<u8>),
    Cc(Vec<u8>),
    From(Vec<u8>),
    Subject(Vec<u8>),
    To(Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
}

/// The program up to the end of the command.
pub(super) fn scan_program(scanner: &mut Scanner<'_>) -> Result<SearchKey, Malformed> {
    let mut budget = Budget {
        keys: MAX_KEYS,
        texts: MAX_TEXTS,
    };
    let mut keys = vec![scan_key(scanner, 0, &mut budget)?];
    while scanner.peek() == Some(b' ') {
        // A blank at the end of the line is forgiven.
        let before = scanner.clone();
        scanner.take_while(|byte| byte == b' ');
        if scanner.is_end() {
            *scanner = before;
            break;
        }
        keys.push(scan_key(scanner, 0, &mut budget)?);
    }
    Ok(both(keys))
}

/// One key stays itself; several are joined.
fn both(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => key,
        (_, Some(key)) => {
            keys.push(key);
            SearchKey::And(keys)
        }
        (_, None) => SearchKey::All,
    }
}

fn scan_key(scanner: &mut Scanner<'_>, depth: usize, budget: &mut Budget) -> Result<SearchKey, Malformed> {
    if depth >= MAX_DEPTH {
        return scanner.fail("a search program that is less deep");
    }
    budget.key(scanner)?;
    match scanner.peek() {
        Some(b'(') => {
            let keys = scanner.list(|scanner| scan_key(scanner, depth + 1, budget))?;
            return if keys.is_empty() {
                scanner.fail("a search key")
            } else {
                Ok(both(keys))
            };
        }
        Some(b'*' | b'0'..=b'9') => return SequenceSet::scan(scanner).map(SearchKey::Sequence),
        _ => {}
    }
    let start = scanner.clone();
    let name = scanner.word(is_atom_char, "a search key")?.to_ascii_uppercase();
    if let Some(key) = flag_key(&name) {
        return Ok(key);
    }
    match name.as_str() {
        "NOT" => {
            scanner.space()?;
            Ok(SearchKey::Not(Box::new(scan_key(scanner, depth + 1, budget)?)))
        }
        "OR" => {
            scanner.space()?;
            let first = scan_key(scanner, depth + 1, budget)?;
            scanner.space()?;
            let second = scan_key(scanner, depth + 1, budget)?;
            Ok(SearchKey::Or(Box::new(first), Box::new(second)))
        }
        "KEYWORD" | "UNKEYWORD" => {
            scanner.space()?;
            let at = scanner.clone();
            let Ok(keyword) = Keyword::parse(scanner.atom()?) else {
                return at.fail("a keyword");
            };
            let flag = Flag::Keyword(keyword);
            Ok(if name == "KEYWORD" {
                SearchKey::Has(flag)
            } else {
                SearchKey::HasNot(flag)
            })
        }
        "UID" => {
            scanner.space()?;
            SequenceSet::scan(scanner).map(SearchKey::Uid)
        }
        "LARGER" | "SMALLER" => {
            scanner.space()?;
            let size = scanner.number64()?;
            Ok(if name == "LARGER" {
                SearchKey::Larger(size)
            } else {
                SearchKey::Smaller(size)
            })
        }
        "HEADER" => {
            budget.text(scanner)?;
            scanner.space()?;
            let field = scanner.astring()?.into_owned();
            scanner.space()?;
            Ok(SearchKey::Header(field, scanner.astring()?.into_owned()))
        }
        _ => match (date_key(&name), text_key(&name)) {
            (Some(make), _) => {
                scanner.space()?;
                Date::scan(scanner).map(make)
            }
            (None, Some(make)) => {
                budget.text(scanner)?;
                scanner.space()?;
                Ok(make(scanner.astring()?.into_owned()))
            }
            (None, None) => start.fail("a search key"),
        },
    }
}

fn flag_key(name: &str) -> Option<SearchKey> {
    let has = |flag| Some(SearchKey::Has(Flag::System(flag)));
    let has_not = |flag| Some(SearchKey::HasNot(Flag::System(flag)));
    match name {
        "ALL" => Some(SearchKey::All),
        "NEW" => Some(SearchKey::New),
        "OLD" => Some(SearchKey::Old),
        "RECENT" => Some(SearchKey::Recent),
        "ANSWERED" => has(SystemFlag::Answered),
        "DELETED" => has(SystemFlag::Deleted),
        "DRAFT" => has(SystemFlag::Draft),
        "FLAGGED" => has(SystemFlag::Flagged),
        "SEEN" => has(SystemFlag::Seen),
        "UNANSWERED" => has_not(SystemFlag::Answered),
        "UNDELETED" => has_not(SystemFlag::Deleted),
        "UNDRAFT" => has_not(SystemFlag::Draft),
        "UNFLAGGED" => has_not(SystemFlag::Flagged),
        "UNSEEN" => has_not(SystemFlag::Seen),
        _ => None,
    }
}

fn date_key(name: &str) -> Option<fn(Date) -> SearchKey> {
    Some(match name {
        "BEFORE" => SearchKey::Before,
        "ON" => SearchKey::On,
        "SINCE" => SearchKey::Since,
        "SENTBEFORE" => SearchKey::SentBefore,
        "SENTON" => SearchKey::SentOn,
        "SENTSINCE" => SearchKey::SentSince,
        _ => return None,
    })
}

fn text_key(name: &str) -> Option<fn(Vec<u8>) -> SearchKey> {
    Some(match name {
        "BCC" => SearchKey::Bcc,
        "CC" => SearchKey::Cc,
        "FROM" => SearchKey::From,
        "SUBJECT" => SearchKey::Subject,
        "TO" => SearchKey::To,
        "BODY" => SearchKey::Body,
        "TEXT" => SearchKey::Text,
        _ => return None,
    })
}

impl SearchKey {
    /// The form in a command.
    pub(super) fn write(&self, out: &mut write::CommandBytes) {
        let word = |out: &mut write::CommandBytes, text: String| out.raw(text.as_bytes());
        match self {
            Self::All => out.raw(b"ALL"),
            Self::New => out.raw(b"NEW"),
            Self::Old => out.raw(b"OLD"),
            Self::Recent => out.raw(b"RECENT"),
            Self::And(keys) => {
                out.raw(b"(");
                for (index, key) in keys.iter().enumerate() {
                    if index > 0 {
                        out.raw(b" ");
                    }
                    key.write(out);
                }
                out.raw(b")");
            }
            Self::Or(first, second) => {
                out.raw(b"OR ");
                first.write(out);
                out.raw(b" ");
                second.write(out);
            }
            Self::Not(key) => {
                out.raw(b"NOT ");
                key.write(out);
            }
            Self::Has(flag) => word(out, flag_word("", flag)),
            Self::HasNot(flag) => word(out, flag_word("UN", flag)),
            Self::Sequence(set) => word(out, set.to_string()),
            Self::Uid(set) => word(out, format!("UID {set}")),
            Self::Larger(size) => word(out, format!("LARGER {size}")),
            Self::Smaller(size) => word(out, format!("SMALLER {size}")),
            Self::Before(date) => word(out, format!("BEFORE {date}")),
            Self::On(date) => word(out, format!("ON {date}")),
            Self::Since(date) => word(out, format!("SINCE {date}")),
            Self::SentBefore(date) => word(out, format!("SENTBEFORE {date}")),
            Self::SentOn(date) => word(out, format!("SENTON {date}")),
            Self::SentSince(date) => word(out, format!("SENTSINCE {date}")),
            Self::Header(field, text) => {
                out.raw(b"HEADER ");
                out.astring(field);
                out.raw(b" ");
                out.astring(text);
            }
            Self::Bcc(text) => out.named("BCC", text),
            Self::Cc(text) => out.named("CC", text),
            Self::From(text) => out.named("FROM", text),
            Self::Subject(text) => out.named("SUBJECT", text),
            Self::To(text) => out.named("TO", text),
            Self::Body(text) => out.named("BODY", text),
            Self::Text(text) => out.named("TEXT", text),
        }
    }
}

fn flag_word(un: &str, flag: &Flag) -> String {
    match flag {
        Flag::System(flag) => format!(
            "{un}{}",
            flag.as_str().trim_start_matches('\\').to_ascii_uppercase()
        ),
        Flag::Keyword(keyword) => format!("{un}KEYWORD {}", keyword.as_str()),
    }
}
