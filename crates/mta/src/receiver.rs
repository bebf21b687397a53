//! What every session of one receiving service shares.

use crate::config::{DisabledDelivery, SmtpConfig};
use model::{Clock, Domain, OnDemand, Protocol};
use net::Budget;
use std::fmt;
use std::sync::Arc;
use store::Store;
use wire::smtp::BareLineEnds;

/// Which of the two protocols a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 5321: one reply for the message.
    Smtp,
    /// RFC 2033: one reply for each recipient.
    Lmtp,
}

impl Dialect {
    /// The name for listeners and logs.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Smtp => Protocol::Smtp,
            Self::Lmtp => Protocol::Lmtp,
        }
    }
}

/// The parts that a [`Receiver`] is made of.
pub struct ReceiverParts {
    /// SMTP or LMTP.
    pub dialect: Dialect,
    /// The name in the greeting and in Received fields.
    pub server_name: Domain,
    /// Where accounts and mail are.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Asks the directory for a name that the store does not hold; none without connectors.
    pub on_demand: Option<OnDemand>,
}

/// A receiving service.
pub struct Receiver {
    pub(crate) parts: ReceiverParts,
    pub(crate) limits: Limits,
    /// Memory for messages.
    pub(crate) memory: Budget,
}

/// The limits of the configuration, in the types that the sessions use.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) message_size: usize,
    pub(crate) recipients: usize,
    pub(crate) received: usize,
    pub(crate) errors: u32,
    pub(crate) bare_line_ends: BareLineEnds,
    pub(crate) postmaster: Option<model::Address>,
    pub(crate) disabled_delivery: DisabledDelivery,
}

impl Receiver {
    /// A service with the limits of its section.
    #[must_use]
    pub fn new(parts: ReceiverParts, config: &SmtpConfig) -> Arc<Self> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Arc::new(Self {
            parts,
            limits: Limits {
                message_size: size(config.max_message_size.0),
                recipients: size(config.max_recipients.into()),
                received: size(config.max_received.into()),
                errors: config.max_errors,
                bare_line_ends: config.bare_line_ends.into(),
                postmaster: config.postmaster.clone(),
                disabled_delivery: config.disabled_delivery,
            },
            memory: Budget::new(config.max_buffered.0),
        })
    }

    /// SMTP or LMTP.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.parts.dialect
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("dialect", &self.parts.dialect)
            .field("server_name", &self.parts.server_name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
