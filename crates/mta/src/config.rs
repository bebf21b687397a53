//! The sections `[smtp]` and `[lmtp]`.

use model::{Address, ByteSize, ConfigProblem};
use net::ListenerConfig;
use wire::smtp::BareLineEnds;

/// What happens to a message that holds a CR or LF that stands alone. Neither ever ends a line or the message
/// (SMTP smuggling).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEndPolicy {
    /// The message is refused with `550 5.6.0`.
    Reject,
    /// Each becomes CRLF in the stored message.
    Normalise,
}

impl From<BareLineEndPolicy> for BareLineEnds {
    fn from(policy: BareLineEndPolicy) -> Self {
        match policy {
            BareLineEndPolicy::Reject => Self::Reject,
            BareLineEndPolicy::Normalise => Self::Normalise,
        }
    }
}

/// What happens to mail for an account that is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DisabledDelivery {
    /// It is delivered: only logins are off.
    Accept,
    /// `450 4.2.1`: the sender keeps it and tries again for some days.
    Tempfail,
    /// `550 5.2.1`: the sender hears that the mailbox takes none.
    Reject,
}

/// Receiving mail for the accounts of this server.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpConfig {
    /// Where to listen. Default: nowhere, which turns the service off.
    pub listener: Vec<ListenerConfig>,
    /// The largest message that is taken, announced with SIZE; 64 KiB to 1 GiB, default 64 MiB.
    pub max_message_size: ByteSize,
    /// How many recipients one message may have; further ones hear `452 4.5.3` and come in the next
    /// transaction; 1 to 1000, default 100.
    pub max_recipients: u32,
    /// How many Received fields a message may have before it counts as looping; 1 to 999, default 30.
    pub max_received: u32,
    /// After this many refused commands a session ends with `421`; 1 to 1000, default 20. Clients in the
    /// listener's `trusted_networks` are exempt.
    pub max_errors: u32,
    /// `"reject"` or `"normalise"`: what happens to a CR or LF that stands alone; default `"normalise"`.
    pub bare_line_ends: BareLineEndPolicy,
    /// Memory for all messages that are being received at once; past it the client hears `452 4.3.1`. At least
    /// `max_message_size`; default 256 MiB.
    pub max_buffered: ByteSize,
    /// Who gets mail to `postmaster` where no account or alias of that name exists. Default: nobody; such mail
    /// is then refused for hosted domains and deferred for the bare name.
    pub postmaster: Option<Address>,
    /// `"accept"`, `"tempfail"` or `"reject"`: what happens to mail for an account that is disabled. A group leaves
    /// disabled members out unless this is `"accept"`; default `"reject"`.
    pub disabled_delivery: DisabledDelivery,
}

/// `[lmtp]` has the keys of `[smtp]`.
pub type LmtpConfig = SmtpConfig;

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            max_message_size: ByteSize(64 << 20),
            max_recipients: 100,
            max_received: 30,
            max_errors: 20,
            bare_line_ends: BareLineEndPolicy::Normalise,
            max_buffered: ByteSize(256 << 20),
            postmaster: None,
            disabled_delivery: DisabledDelivery::Reject,
        }
    }
}

impl SmtpConfig {
    /// What is wrong with the section. Keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        for (key, value, most) in [
            ("max_recipients", self.max_recipients, 1000),
            ("max_received", self.max_received, 999),
            ("max_errors", self.max_errors, 1000),
        ] {
            if !(1..=most).contains(&value) {
                problems.push(ConfigProblem::new(
                    key,
                    format!("{value} is not between 1 and {most}"),
                ));
            }
        }
        let ByteSize(size) = self.max_message_size;
        if !((64 << 10)..=(1 << 30)).contains(&size) {
            let message = format!("{size} bytes is not between 64 KiB and 1 GiB");
            problems.push(ConfigProblem::new("max_message_size", message));
        }
        if self.max_buffered < self.max_message_size {
            let message = format!("must be at least max_message_size, which is {size} bytes");
            problems.push(ConfigProblem::new("max_buffered", message));
        } else if self.max_buffered.0 > 1 << 40 {
            problems.push(ConfigProblem::new("max_buffered", "must be at most 1024 GiB"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_good_and_problems_name_their_key() {
        assert!(SmtpConfig::default().check().is_empty());
        let bad = SmtpConfig {
            max_recipients: 0,
            max_received: 1000,
            max_errors: 0,
            max_message_size: ByteSize(1),
            max_buffered: ByteSize(0),
            ..SmtpConfig::default()
        };
        let keys: Vec<_> = bad.check().into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "max_recipients",
                "max_received",
                "max_errors",
                "max_message_size",
                "max_buffered"
            ]
        );
    }
}
