//! The two ways in which directories write a moment.

use model::Timestamp;

/// Seconds between 1601-01-01, where Active Directory starts to count, and 1970-01-01.
const EPOCH_1601: u64 = 11_644_473_600;

/// GeneralizedTime (RFC 4517 section 3.3.13): `YYYYMMDDHH[MM[SS]][.f]` and `Z` or an offset. Fractions are
/// dropped. Moments before 1970 are 1970.
pub(crate) fn generalized_time(text: &str) -> Option<Timestamp> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, mut rest) = text.split_at_checked(digits)?;
    if !matches!(digits, 10 | 12 | 14) {
        return None;
    }
    let field = |from: usize, to: usize| {
        number
            .get(from..to)
            .map_or(Some(0), |text| text.parse::<i64>().ok())
    };
    let (year, month, day) = (field(0, 4)?, field(4, 6)?, field(6, 8)?);
    let (hour, minute, second) = (field(8, 10)?, field(10, 12)?, field(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let offset = match rest.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), zone)
            if matches!(zone.len(), 2 | 4) && zone.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let hours: i64 = zone.get(..2)?.parse().ok()?;
            let minutes: i64 = zone
                .get(2..)
                .filter(|text| !text.is_empty())
                .map_or(Some(0), |text| text.parse().ok())?;
            let seconds = hours * 3600 + minutes * 60;
            if sign == "+" { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp::from_millis(
        u64::try_from(seconds).unwrap_or(0).saturating_mul(1000),
    ))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Active Directory's count of 100 ns since 1601. Zero and the largest number mean "never".
pub(crate) fn file_time(text: &str) -> Option<Timestamp> {
    let ticks: u64 = text.parse().ok()?;
    if ticks == 0 || ticks >= i64::MAX as u64 {
        return None;
    }
    let seconds = (ticks / 10_000_000).saturating_sub(EPOCH_1601);
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
