//! One transaction: its recipients, their homes, and the message's way to all of them.

use super::delivery::Delivery;
use super::leg::{Identity, Leg, LegSettings};
use super::message::Message;
use super::reply;
use super::session::SmtpProxy;
use super::verdict::{Verdict, judge, pass_on};
use crate::config::MultiHome;
use crate::failure::{Failure, Rejection};
use directory::{EntryKind, HomeRef, Route};
use model::{Address, LocalPart, ReversePath};
use std::sync::Arc;
use wire::smtp::{ForwardPath, MailParameters, Reply};

/// Homes that one transaction may reach. More recipients than that go into another one.
const MAX_LEGS: usize = 64;
/// Homes that are kept open between the transactions of a session.
const MAX_KEPT: usize = 4;

/// What MAIL and RCPT have said.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) from: ReversePath,
    pub(super) parameters: MailParameters,
    /// Recipients that a home has accepted.
    pub(super) recipients: Vec<ForwardPath>,
}

/// A transaction, from MAIL to the end of DATA.
pub(super) struct Transaction {
    proxy: Arc<SmtpProxy>,
    settings: LegSettings,
    envelope: Envelope,
    /// Homes that take part.
    legs: Vec<Leg>,
    /// Homes that an earlier transaction of this session has left open.
    kept: Vec<Leg>,
}

impl Transaction {
    pub(super) fn new(
        proxy: Arc<SmtpProxy>,
        settings: LegSettings,
        from: ReversePath,
        parameters: MailParameters,
        kept: Vec<Leg>,
    ) -> Self {
        Self {
            proxy,
            settings,
            envelope: Envelope {
                from,
                parameters,
                recipients: Vec::new(),
            },
            legs: Vec::new(),
            kept,
        }
    }

    /// The recipient of the trace field: only when there is one.
    pub(super) fn only_recipient(&self) -> Option<&Address> {
        match self.envelope.recipients.as_slice() {
            [ForwardPath::Address(address)] => Some(address),
            _ => None,
        }
    }

    /// Sender, recipients and homes, for the log.
    pub(super) fn describe(&self) -> (String, Vec<String>, Vec<String>) {
        let taking_part = self.legs.iter().filter(|leg| !leg.recipients.is_empty());
        (
            self.envelope.from.to_string(),
            self.envelope.recipients.iter().map(ToString::to_string).collect(),
            taking_part.map(|leg| leg.home.to_string()).collect(),
        )
    }

    pub(super) fn has_recipients(&self) -> bool {
        !self.envelope.recipients.is_empty()
    }

    /// Routes a recipient and offers it to its home now; the reply is for the client.
    pub(super) async fn rcpt(&mut self, to: ForwardPath) -> Reply {
        if self.envelope.recipients.len()
            >= usize::try_from(self.proxy.config.max_recipients).unwrap_or(usize::MAX)
        {
            return reply::too_many_recipients();
        }
        let home = match self.route(&to).await {
            Ok(home) => home,
            Err(reply) => {
                tracing::info!(trace = %self.settings.trace, %to, %reply, "recipient refused");
                return reply;
            }
        };
        match self.offer(&home, to).await {
            Ok(reply) if reply.is_completed() => reply,
            Ok(reply) => {
                tracing::info!(trace = %self.settings.trace, %home, %reply, "recipient refused by its home");
                pass_on(&reply)
            }
            Err(failure) => {
                tracing::warn!(trace = %self.settings.trace, %home, %failure, "recipient put off");
                reply::failure(&failure)
            }
        }
    }

    async fn route(&self, to: &ForwardPath) -> Result<HomeRef, Reply> {
        let config = &self.proxy.config;
        let (address, is_postmaster) = match to {
            ForwardPath::Address(address) => (
                address.clone(),
                address.local_part().eq_ignore_ascii_case("postmaster"),
            ),
            // RFC 5321 section 4.5.1: without a domain it is ours.
            ForwardPath::Postmaster => match (LocalPart::parse("postmaster"), config.domains.first()) {
                (Ok(local), Some(domain)) => (Address::new(&local, domain), true),
                _ => return Err(reply::other_domain()),
            },
        };
        // Asked first, whatever a map says: anything else would be an open relay.
        if !config
            .domains
            .iter()
            .any(|domain| domain.as_str() == address.domain_str())
        {
            return Err(reply::other_domain());
        }
        let failure = match self.proxy.context.maps.resolve(&address).await {
            Route::Home(found) => return Ok(found.home),
            Route::NoSuchAccount | Route::Rejected => Failure::Rejected(Rejection::NoSuchAccount),
            Route::NoHome {
                kind: EntryKind::Group,
            } => return self.group_home(),
            Route::NoHome { .. } => Failure::NoHome,
            Route::Ambiguous(candidates) => Failure::Ambiguous(candidates.join("; ")),
            Route::Unavailable(cause) => Failure::Directory(cause.to_string()),
        };
        if is_postmaster && matches!(failure, Failure::Rejected(_) | Failure::NoHome) {
            // RFC 5321 section 4.5.1: postmaster always has a home.
            return self.group_home();
        }
        if failure.is_alarming() {
            tracing::error!(%address, %failure, "no route");
        }
        Err(reply::failure(&failure))
    }

    /// The home of groups, and of postmaster, that have none of their own.
    fn group_home(&self) -> Result<HomeRef, Reply> {
        self.proxy
            .group_home
            .clone()
            .ok_or_else(|| reply::failure(&Failure::NoHome))
    }

    async fn offer(&mut self, home: &HomeRef, to: ForwardPath) -> Result<Reply, Failure> {
        // A home that has refused every recipient so far does not bind the transaction to itself.
        let elsewhere = self
            .legs
            .iter()
            .any(|leg| leg.home != *home && !leg.recipients.is_empty());
        if elsewhere && self.proxy.config.multi_home() == MultiHome::Split {
            return Ok(reply::one_home());
        }
        let index = match self.legs.iter().position(|leg| leg.home == *home) {
            Some(index) => index,
            None => {
                if self.legs.len() >= MAX_LEGS {
                    return Ok(reply::one_home());
                }
                let leg = match self.begin(home).await? {
                    Ok(leg) => leg,
                    Err(refusal) => return Ok(refusal),
                };
                self.legs.push(leg);
                self.legs.len() - 1
            }
        };
        let Some(leg) = self.legs.get_mut(index) else {
            return Ok(reply::leg_lost());
        };
        match leg.rcpt(&to).await {
            Ok(reply) if reply.is_completed() => {
                leg.recipients.push(self.envelope.recipients.len());
                self.envelope.recipients.push(to);
                Ok(reply)
            }
            // 421 and a home that goes silent: the leg stays for those it accepted. The message goes to them over a
            // new connection.
            Ok(reply) => Ok(reply),
            Err(failure) => {
                self.proxy.context.dialer.report(leg.name(), &failure);
                Err(failure)
            }
        }
    }

    /// Opens a transaction with a home. The inner error is its refusal.
    async fn begin(&mut self, home: &HomeRef) -> Result<Result<Leg, Reply>, Failure> {
        if let Some(index) = self.kept.iter().position(|leg| leg.home == *home) {
            let mut leg = self.kept.swap_remove(index);
            // The home may have closed it meanwhile; then a new one is opened.
            if let Ok(reply) = leg.mail(&self.envelope.from, &self.envelope.parameters).await
                && reply.is_completed()
            {
                return Ok(Ok(leg));
            }
        }
        let (dialer, protocol) = (&self.proxy.context.dialer, self.proxy.config.home_protocol);
        let mut leg = Leg::open(dialer, home, protocol, Identity::Client, &self.settings).await?;
        let reply = leg.mail(&self.envelope.from, &self.envelope.parameters).await?;
        if reply.is_completed() {
            return Ok(Ok(leg));
        }
        leg.quit().await;
        Ok(Err(reply))
    }

    /// Brings the message to every home; gives the one honest reply, and the homes that are still open.
    pub(super) async fn deliver(mut self, trace: String, message: Message) -> (Reply, Vec<Leg>) {
        let legs = std::mem::take(&mut self.legs);
        let delivery = Arc::new(Delivery {
            proxy: self.proxy,
            settings: self.settings,
            envelope: self.envelope,
            trace,
            message,
        });
        let (replies, open) = delivery.to_homes(legs).await;
        for leg in open {
            if self.kept.len() < MAX_KEPT {
                self.kept.push(leg);
            } else {
                leg.quit().await;
            }
        }
        let reply = match judge(&replies) {
            Verdict::Accept(reply) | Verdict::Refuse(reply) => reply,
            Verdict::Spill(failing) => match delivery.spill(&failing).await {
                Ok(()) => reply::taken_by_all(),
                Err(failure) => {
                    let trace = delivery.settings.trace;
                    tracing::error!(%trace, %failure, "recipients could not be spilled");
                    reply::partly_taken()
                }
            },
        };
        (reply, self.kept)
    }

    /// Lets go of the homes that wait for a message; gives the others.
    pub(super) async fn abandon(self) -> Vec<Leg> {
        for leg in self.legs {
            leg.quit().await;
        }
        self.kept
    }
}
