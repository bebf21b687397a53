//! The Received field (RFC 5321 section 4.4): one trace line a hop, and the count that ends loops.

use model::{Address, Timestamp, TraceId};
use std::fmt;
use std::net::IpAddr;

/// The protocol keyword of the `with` clause (RFC 3848; RFC 6531 section 4.3 for SMTPUTF8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmission {
    /// HELO.
    Smtp,
    /// EHLO.
    Esmtp,
    /// EHLO after STARTTLS.
    Esmtps,
    /// LHLO.
    Lmtp,
    /// LHLO after STARTTLS.
    Lmtps,
    /// EHLO, and MAIL with SMTPUTF8.
    Utf8Smtp,
    /// The same after STARTTLS.
    Utf8Smtps,
    /// LHLO, and MAIL with SMTPUTF8.
    Utf8Lmtp,
    /// The same after STARTTLS.
    Utf8Lmtps,
}

impl Transmission {
    /// The keyword for a transaction that began with SMTPUTF8.
    #[must_use]
    pub const fn with_utf8(self) -> Self {
        match self {
            Self::Esmtp => Self::Utf8Smtp,
            Self::Esmtps => Self::Utf8Smtps,
            Self::Lmtp => Self::Utf8Lmtp,
            Self::Lmtps => Self::Utf8Lmtps,
            other => other,
        }
    }
}

impl fmt::Display for Transmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Esmtps => "ESMTPS",
            Self::Lmtp => "LMTP",
            Self::Lmtps => "LMTPS",
            Self::Utf8Smtp => "UTF8SMTP",
            Self::Utf8Smtps => "UTF8SMTPS",
            Self::Utf8Lmtp => "UTF8LMTP",
            Self::Utf8Lmtps => "UTF8LMTPS",
        })
    }
}

/// One Received field; its `Display` form ends in CRLF and goes before the message.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// The name that the client gave.
    pub helo: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// Our name.
    pub by: &'a str,
    /// How it came.
    pub with: Transmission,
    /// The trace that the logs carry.
    pub id: TraceId,
    /// The recipient, when there is only one: naming one of several would tell a secret (RFC 5321 section 7.2).
    pub recipient: Option<&'a Address>,
    /// When.
    pub at: Timestamp,
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is the client's claim: nothing in it may open a comment or a clause.
        let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let helo: String = self.helo.chars().map(|c| if safe(c) { c } else { '?' }).collect();
        let helo = if helo.is_empty() { "unknown" } else { &helo };
        write!(f, "Received: from {helo} (")?;
        match self.client {
            IpAddr::V4(addr) => write!(f, "[{addr}]")?,
            IpAddr::V6(addr) => write!(f, "[IPv6:{addr}]")?,
        }
        write!(f, ")\r\n\tby {} with {} id {}", self.by, self.with, self.id)?;
        if let Some(recipient) = self.recipient.filter(|address| !address.needs_smtputf8()) {
            write!(f, "\r\n\tfor <{recipient}>")?;
        }
        write!(f, ";\r\n\t{}\r\n", rfc5322_date(self.at))
    }
}

/// `Sun, 22 Nov 2026 05:15:57 +0000` (RFC 5322 section 3.3).
#[must_use]
pub fn rfc5322_date(at: Timestamp) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = at.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let pick = |names: &[&'static str], index: u64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index).copied())
            .unwrap_or_default()
    };
    // Days to a date in the Gregorian calendar, counted in eras of 400 years from 1 March of year 0.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 2
    } else {
        shifted_month - 10
    };
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        pick(&WEEKDAYS, days % 7),
        pick(&MONTHS, month),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Counts the Received fields in a message's header: the hops so far (RFC 5321 section 6.3).
#[must_use]
pub fn hop_count(message: &[u8]) -> usize {
    message
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.trim_ascii_end().is_empty())
        .filter(|line| {
            line.get(..9)
                .is_some_and(|head| head.eq_ignore_ascii_case(b"received:"))
        })
        .count()
}
