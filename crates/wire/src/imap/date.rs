//! Dates (RFC 3501 section 9: `date`, `date-time`).

use super::scan::{Malformed, Scanner};
use model::Timestamp;
use std::fmt;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day, when it exists. Years have four digits.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            _ => return None,
        };
        ((1..=days).contains(&day) && year <= 9999).then_some(Self { year, month, day })
    }

    /// The day, month and year of a message's Date field. Years of two and three digits are those of
    /// RFC 5322 section 4.3.
    #[must_use]
    pub fn from_words(day: &str, month: &str, year: &str) -> Option<Self> {
        let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        let (_, month) = MONTHS
            .iter()
            .zip(1u8..)
            .find(|(name, _)| name.eq_ignore_ascii_case(month))?;
        let year = match (year.len(), year.parse::<u16>().ok().filter(|_| digits(year))?) {
            (2, number @ 0..=49) => number + 2000,
            (2 | 3, number) => number + 1900,
            (4, number) => number,
            _ => return None,
        };
        Self::new(year, month, day.parse().ok().filter(|_| digits(day))?)
    }

    /// The day of a moment, in UTC.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        Self::from_days(i64::try_from(moment.as_secs() / 86_400).unwrap_or(i64::MAX))
    }

    /// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`).
    #[must_use]
    pub fn days(self) -> i64 {
        let month = i64::from(self.month);
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The inverse; days beyond the year 9999 stay at its end.
    #[must_use]
    pub fn from_days(days: i64) -> Self {
        let shifted = days.clamp(-719_162, 2_932_896) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: u16::try_from(year).unwrap_or(1),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day_of_year - (153 * shifted_month + 2) / 5 + 1).unwrap_or(1),
        }
    }

    /// `date`, quoted or not.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let quoted = scanner.eat(b'"');
        let date = Self::scan_text(scanner)?;
        if quoted {
            scanner.expect(b'"', "the closing quote")?;
        }
        Ok(date)
    }

    fn scan_text(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let start = scanner.clone();
        let day = scanner.word(|byte| byte.is_ascii_digit(), "a day")?;
        scanner.expect(b'-', "a hyphen")?;
        let month = scanner.word(|byte| byte.is_ascii_alphabetic(), "a month")?;
        scanner.expect(b'-', "a hyphen")?;
        let year = scanner.word(|byte| byte.is_ascii_digit(), "a year")?;
        let month = MONTHS
            .iter()
            .zip(1u8..)
            .find(|(name, _)| name.eq_ignore_ascii_case(month));
        let date = match (day.parse(), month, year.parse()) {
            (Ok(day), Some((_, month)), Ok(year)) if year > 0 => Self::new(year, month, day),
            _ => None,
        };
        date.filter(|_| year.len() == 4 && day.len() <= 2)
            .map_or_else(|| start.fail("a date such as 1-Feb-1994"), Ok)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = MONTHS
            .get(usize::from(self.month).wrapping_sub(1))
            .unwrap_or(&"Jan");
        write!(f, "{}-{month}-{:04}", self.day, self.year)
    }
}

/// A moment with the zone in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The day, in the zone.
    pub date: Date,
    /// Seconds since midnight, in the zone.
    pub second_of_day: u32,
    /// Minutes east of UTC.
    pub zone: i16,
}

impl DateTime {
    /// The moment in UTC. Milliseconds are cut: the wire has none.
    #[must_use]
    pub fn from_timestamp(moment: Timestamp) -> Self {
        Self {
            date: Date::of(moment),
            second_of_day: u32::try_from(moment.as_secs() % 86_400).unwrap_or(0),
            zone: 0,
        }
    }

    /// The moment itself; moments before 1970 become the epoch.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        let seconds = self.date.days() * 86_400 + i64::from(self.second_of_day) - i64::from(self.zone) * 60;
        Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }

    /// `date-time`, with its quotes.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        scanner.expect(b'"', "a quoted date and time")?;
        // `date-day-fixed` has a space for the first digit of a short day.
        scanner.eat(b' ');
        let date = Date::scan_text(scanner)?;
        scanner.space()?;
        let two = |scanner: &mut Scanner<'_>, limit: u32| {
            let start = scanner.clone();
            let digits = scanner.word(|byte| byte.is_ascii_digit(), "two digits")?;
            match digits.parse::<u32>() {
                Ok(number) if digits.len() == 2 && number < limit => Ok(number),
                _ => start.fail("two digits"),
            }
        };
        let hour = two(scanner, 24)?;
        scanner.expect(b':', "a colon")?;
        let minute = two(scanner, 60)?;
        scanner.expect(b':', "a colon")?;
        // A leap second is allowed and counts as the last second of its minute.
        let second = two(scanner, 61)?.min(59);
        scanner.space()?;
        let sign = match scanner.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return scanner.fail("a time zone such as +0100"),
        };
        scanner.eat(b'+');
        scanner.eat(b'-');
        let start = scanner.clone();
        let zone = scanner.word(|byte| byte.is_ascii_digit(), "a time zone such as +0100")?;
        let zone = match zone.parse::<i16>() {
            Ok(number) if zone.len() == 4 && number % 100 < 60 && number < 2400 => {
                sign * (number / 100 * 60 + number % 100)
            }
            _ => return start.fail("a time zone such as +0100"),
        };
        scanner.expect(b'"', "the closing quote")?;
        Ok(Self {
            date,
            second_of_day: hour * 3600 + minute * 60 + second,
            zone,
        })
    }
}

/// The wire form, without the quotes.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.date.day < 10 {
            f.write_str(" ")?;
        }
        let (hour, rest) = (self.second_of_day / 3600, self.second_of_day % 3600);
        let sign = if self.zone < 0 { '-' } else { '+' };
        let zone = self.zone.unsigned_abs();
        write!(
            f,
            "{} {hour:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.date,
            rest / 60,
            rest % 60,
            zone / 60,
            zone % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(text: &str) -> Result<DateTime, Malformed> {
        DateTime::scan(&mut Scanner::new(text.as_bytes()))
    }

    #[test]
    fn table() {
        for (text, millis) in [
            ("\" 1-Jan-1970 00:00:00 +0000\"", 0),
            ("\"17-Jul-1996 02:44:25 -0700\"", 837_596_665_000),
            ("\"29-Feb-2000 23:59:59 +0130\"", 951_863_399_000),
            ("\"01-jan-1960 00:00:00 +0000\"", 0),
        ] {
            assert_eq!(
                moment(text).expect(text).timestamp().as_millis(),
                millis,
                "{text}"
            );
        }
        for bad in [
            "",
            "\"\"",
            "\"31-Feb-2000 00:00:00 +0000\"",
            "\"1-Jan-2000 24:00:00 +0000\"",
            "\"1-Jan-2000 1:00:00 +0000\"",
            "\"1-Jan-2000 01:00:00 0000\"",
            "\"1-Jan-2000 01:00:00 +9999\"",
            "\"1-Jan-00 01:00:00 +0000\"",
            "1-Jan-2000 01:00:00 +0000",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0u64..253_402_300_800, zone in -1439i16..1440) {
            let now = DateTime::from_timestamp(Timestamp::from_millis(seconds * 1000));
            prop_assert_eq!(now.timestamp().as_secs(), seconds);
            let elsewhere = DateTime { zone, ..now };
            prop_assert_eq!(moment(&format!("\"{elsewhere}\"")), Ok(elsewhere));
            prop_assert_eq!(Date::from_days(now.date.days()), now.date);
        }
    }
}
