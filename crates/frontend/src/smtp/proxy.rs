//! What all sessions of one proxy share.

use super::circles::Circles;
use super::client::Client;
use super::dialect::Dialect;
use super::tally::Tally;
use crate::config::{LmtpProxyConfig, SmtpProxyConfig};
use crate::login::ProxyContext;
use directory::{Domains, HomeRef, HomeRefError};
use model::TlsState;
use net::Budget;
use std::sync::Arc;
use std::time::Duration;
use wire::smtp::{Capabilities, ClaimVerb, Extensions, Limits};

/// The SMTP proxy of this server.
pub struct SmtpProxy {
    pub(super) dialect: Dialect,
    pub(super) config: SmtpProxyConfig,
    pub(super) context: ProxyContext,
    pub(super) spill_home: Option<HomeRef>,
    pub(super) group_home: Option<HomeRef>,
    /// The domains that mail is taken for.
    pub(super) domains: Arc<Domains>,
    /// Takes mail for other domains from those who may relay.
    pub(super) relay_home: Option<HomeRef>,
    pub(super) circles: Circles,
    /// Space for the messages of all sessions.
    pub(super) space: Budget,
    /// Recipients in one transaction.
    pub(super) max_recipients: u32,
}

impl SmtpProxy {
    /// Builds the proxy; `domains` are what its configuration says of them. Fails when a home in the configuration is
    /// none, which its `check` has reported.
    pub fn new(
        config: SmtpProxyConfig,
        context: ProxyContext,
        domains: Arc<Domains>,
    ) -> Result<Self, HomeRefError> {
        Self::with(Dialect::Smtp, config, context, domains)
    }

    /// The same for clients that speak LMTP: each recipient has its own reply to the message.
    pub fn lmtp(
        config: LmtpProxyConfig,
        context: ProxyContext,
        domains: Arc<Domains>,
    ) -> Result<Self, HomeRefError> {
        Self::with(Dialect::Lmtp, config, context, domains)
    }

    fn with(
        dialect: Dialect,
        config: SmtpProxyConfig,
        context: ProxyContext,
        domains: Arc<Domains>,
    ) -> Result<Self, HomeRefError> {
        let spill_home = config.spill_home.as_deref().map(HomeRef::parse).transpose()?;
        let group_home = config.group_home.as_deref().map(HomeRef::parse).transpose()?;
        let relay_home = config.relay_home.as_deref().map(HomeRef::parse).transpose()?;
        Ok(Self {
            relay_home: relay_home.or_else(|| spill_home.clone()),
            domains,
            group_home: group_home.or_else(|| spill_home.clone()),
            spill_home,
            circles: Circles::default(),
            space: Budget::new(config.max_buffered.0),
            max_recipients: dialect.max_recipients(&config),
            dialect,
            config,
            context,
        })
    }

    /// Where this proxy counts.
    pub(super) fn tally(&self) -> Tally<'_> {
        Tally {
            metrics: &self.context.metrics,
            dialect: self.dialect,
        }
    }

    pub(super) fn command_limit(&self) -> Duration {
        Duration::from_secs(self.config.command_timeout)
    }

    /// A share of the space for messages that holds nothing yet.
    pub(super) fn share(&self) -> net::Share {
        self.space.share()
    }

    /// What is announced to a client, STARTTLS apart.
    pub(super) fn announced(&self, client: &Client) -> Capabilities {
        let mut extensions = Extensions::PIPELINING
            .with(Extensions::SIZE)
            .with(Extensions::ENHANCED_STATUS_CODES)
            .with(Extensions::LIMITS)
            // Whoever lies about it is refused himself, at most, and nobody else.
            .with(Extensions::XTRACE)
            .with(self.config.offered());
        // RFC 8689 section 2: only over TLS.
        if client.peer.tls == TlsState::Plain {
            extensions = extensions.without(Extensions::REQUIRETLS);
        }
        if client.trusted {
            extensions = extensions.with(Extensions::XCLIENT).with(Extensions::XFORWARD);
        }
        let words = |verb: ClaimVerb| verb.attributes().iter().map(|&word| word.to_owned()).collect();
        Capabilities {
            name: self.context.server_name.clone(),
            extensions,
            size_limit: Some(self.config.max_message_size.0),
            xclient: words(ClaimVerb::Xclient),
            xforward: words(ClaimVerb::Xforward),
            limits: Limits {
                rcpt_max: Some(self.max_recipients),
                mail_max: None,
            },
            ..Capabilities::default()
        }
    }
}
