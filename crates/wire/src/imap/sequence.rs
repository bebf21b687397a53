//! Sequence sets (RFC 3501 section 9, `sequence-set`).

use super::scan::{Malformed, Scanner};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqNumber {
    /// A message sequence number or UID.
    Number(NonZeroU32),
    /// `*`: the largest in use.
    Largest,
}

impl SeqNumber {
    fn resolve(self, largest: u32) -> u32 {
        match self {
            Self::Number(number) => number.get(),
            Self::Largest => largest,
        }
    }
}

/// A set of message sequence numbers or UIDs, as written. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet(Vec<(SeqNumber, SeqNumber)>);

/// More ranges than this in one set are refused: no honest client needs them, and a command line of
/// 64 KiB cannot hold many more.
const MAX_RANGES: usize = 20_000;

impl SequenceSet {
    /// Parses a whole text as a set.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text);
        let set = Self::scan(&mut scanner)?;
        if scanner.is_end() {
            Ok(set)
        } else {
            scanner.fail("a sequence set")
        }
    }

    /// The set of these ranges; none when there are none, or when one holds zero.
    #[must_use]
    pub fn from_ranges(ranges: &[RangeInclusive<u32>]) -> Option<Self> {
        let pairs: Option<Vec<_>> = ranges
            .iter()
            .map(|range| {
                Some((
                    SeqNumber::Number(NonZeroU32::new(*range.start())?),
                    SeqNumber::Number(NonZeroU32::new(*range.end())?),
                ))
            })
            .collect();
        pairs.filter(|pairs| !pairs.is_empty()).map(Self)
    }

    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let mut ranges = Vec::new();
        loop {
            let first = number(scanner)?;
            let last = if scanner.eat(b':') {
                number(scanner)?
            } else {
                first
            };
            if ranges.len() >= MAX_RANGES {
                return scanner.fail("a shorter sequence set");
            }
            ranges.push((first, last));
            if !scanner.eat(b',') {
                return Ok(Self(ranges));
            }
        }
    }

    /// The ranges in ascending order without overlaps, `*` resolved. `2:4` and `4:2` are the same, and
    /// `559:*` always holds the largest number (RFC 3501 section 6.4.8). Empty when `largest` is zero and
    /// the set holds only `*`.
    #[must_use]
    pub fn resolve(&self, largest: u32) -> Vec<RangeInclusive<u32>> {
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|(first, last)| (first.resolve(largest), last.resolve(largest)))
            .map(|(a, b)| (a.min(b).max(1), a.max(b)))
            .filter(|(low, high)| low <= high)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.end().saturating_add(1) => {
                    *last = *last.start()..=high.max(*last.end());
                }
                _ => merged.push(low..=high),
            }
        }
        merged
    }

    /// Whether every number of the set lies in `1..=largest`; false for `*` when there is nothing.
    #[must_use]
    pub fn is_within(&self, largest: u32) -> bool {
        largest > 0
            && self
                .0
                .iter()
                .all(|(a, b)| a.resolve(largest) <= largest && b.resolve(largest) <= largest)
    }
}

fn number(scanner: &mut Scanner<'_>) -> Result<SeqNumber, Malformed> {
    if scanner.eat(b'*') {
        return Ok(SeqNumber::Largest);
    }
    match NonZeroU32::new(scanner.nz_number()?) {
        Some(number) => Ok(SeqNumber::Number(number)),
        None => scanner.fail("a number above zero"),
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Largest => f.write_str("*"),
        }
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            first.fmt(f)?;
            if first != last {
                write!(f, ":{last}")?;
            }
        }
        Ok(())
    }
}

/// Ascending numbers as a `uid-set`: `1,3:5`. Empty for none.
#[must_use]
pub fn compact(numbers: impl IntoIterator<Item = u32>) -> String {
    use std::fmt::Write as _;
    fn put(out: &mut String, (first, last): (u32, u32)) {
        let comma = if out.is_empty() { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = if first == last {
            write!(out, "{comma}{first}")
        } else {
            write!(out, "{comma}{first}:{last}")
        };
    }
    let mut out = String::new();
    let mut run: Option<(u32, u32)> = None;
    for number in numbers {
        run = match run {
            Some((first, last)) if last.checked_add(1) == Some(number) => Some((first, number)),
            Some(done) => {
                put(&mut out, done);
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    if let Some(done) = run {
        put(&mut out, done);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves() {
        for (text, largest, want) in [
            ("1", 10, vec![1..=1]),
            ("4:2", 10, vec![2..=4]),
            ("1:3,2:5,7", 10, vec![1..=5, 7..=7]),
            ("559:*", 10, vec![10..=559]),
            ("*", 10, vec![10..=10]),
            ("*", 0, vec![]),
            ("2,4:7,9,12:*", 15, vec![2..=2, 4..=7, 9..=9, 12..=15]),
            ("*:4,5:7", 10, vec![4..=10]),
            ("4294967295", 3, vec![4_294_967_295..=4_294_967_295]),
        ] {
            let set = SequenceSet::parse(text.as_bytes()).expect("valid");
            assert_eq!(set.resolve(largest), want, "{text}");
            assert_eq!(set.to_string(), text);
        }
        for bad in ["", "0", "1:", ":1", "1,", "a", "1:2:3", "4294967296", "1 2", "+1"] {
            assert!(SequenceSet::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn within() {
        let set = |text: &str| SequenceSet::parse(text.as_bytes()).expect("valid");
        assert!(set("1:*").is_within(3) && set("3").is_within(3));
        assert!(!set("1:*").is_within(0) && !set("4").is_within(3) && !set("4:*").is_within(3));
    }

    #[test]
    fn compacts() {
        assert_eq!(compact([1, 2, 3, 5, 7, 8]), "1:3,5,7:8");
        assert_eq!(compact([]), "");
        assert_eq!(compact([u32::MAX]), "4294967295");
    }
}
