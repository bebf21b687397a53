//! One transaction: its recipients, their homes, and the message's way to all of them.

use super::delivery::to_homes;
use super::leg::{Identity, Leg, LegSettings};
use super::message::Message;
use super::reply;
use super::session::SmtpProxy;
use super::verdict::{Verdict, judge, pass_on};
use crate::config::{HomeProtocol, MultiHome};
use crate::failure::{Failure, Rejection};
use directory::{EntryKind, HomeRef, Route};
use model::{Address, LocalPart, ReversePath};
use std::sync::Arc;
use wire::smtp::{ForwardPath, MailParameters, Reply};

/// Homes that one transaction may reach. More recipients than that go into another one.
const MAX_LEGS: usize = 64;
/// Homes that are kept open between the transactions of a session.
const MAX_KEPT: usize = 4;

/// A transaction, from MAIL to the end of DATA.
pub(super) struct Transaction {
    proxy: Arc<SmtpProxy>,
    settings: LegSettings,
    from: ReversePath,
    parameters: MailParameters,
    /// Recipients that a home has accepted.
    recipients: Vec<ForwardPath>,
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
            from,
            parameters,
            recipients: Vec::new(),
            legs: Vec::new(),
            kept,
        }
    }

    /// The recipient of the trace field: only when there is one.
    pub(super) fn only_recipient(&self) -> Option<&Address> {
        match self.recipients.as_slice() {
            [ForwardPath::Address(address)] => Some(address),
            _ => None,
        }
    }

    pub(super) fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Routes a recipient and offers it to its home now; the reply is for the client.
    pub(super) async fn rcpt(&mut self, to: ForwardPath) -> Reply {
        if self.recipients.len() >= usize::try_from(self.proxy.config.max_recipients).unwrap_or(usize::MAX) {
            return reply::too_many_recipients();
        }
        let home = match self.route(&to).await {
            Ok(home) => home,
            Err(reply) => return reply,
        };
        match self.offer(&home, to).await {
            Ok(reply) => pass_on(&reply),
            Err(failure) => {
                tracing::warn!(trace = ?self.settings.claims.ident, %home, %failure, "recipient put off");
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
                leg.recipients.push(self.recipients.len());
                self.recipients.push(to);
                Ok(reply)
            }
            // 421 and a home that goes silent: the leg stays, and with it those it accepted; they fail later.
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
            if let Ok(reply) = leg.mail(&self.from, &self.parameters).await
                && reply.is_completed()
            {
                return Ok(Ok(leg));
            }
        }
        let (dialer, protocol) = (&self.proxy.context.dialer, self.proxy.config.home_protocol);
        let mut leg = Leg::open(dialer, home, protocol, Identity::Client, &self.settings).await?;
        let reply = leg.mail(&self.from, &self.parameters).await?;
        if reply.is_completed() {
            return Ok(Ok(leg));
        }
        leg.quit().await;
        Ok(Err(reply))
    }

    /// Brings the message to every home; gives the one honest reply, and the homes that are still open.
    pub(super) async fn deliver(mut self, trace: String, message: Message) -> (Reply, Vec<Leg>) {
        let message = Arc::new(message);
        let trace: Arc<str> = trace.into();
        let legs = std::mem::take(&mut self.legs);
        let (replies, open) = to_homes(
            &self.proxy.context.dialer,
            legs,
            &trace,
            &message,
            self.recipients.len(),
        )
        .await;
        for leg in open {
            if self.kept.len() < MAX_KEPT {
                self.kept.push(leg);
            } else {
                leg.quit().await;
            }
        }
        let reply = match judge(&replies) {
            Verdict::Accept(reply) | Verdict::Refuse(reply) => reply,
            Verdict::Spill(failing) => match self.spill(&failing, &trace, &message).await {
                Ok(()) => reply::taken_by_all(),
                Err(failure) => {
                    tracing::error!(trace = ?self.settings.claims.ident, %failure, "recipients could not be spilled");
                    reply::partly_taken()
                }
            },
        };
        (reply, self.kept)
    }

    /// Hands the recipients whose home failed to the spill home, all or none.
    async fn spill(
        &self,
        failing: &[usize],
        trace: &Arc<str>,
        message: &Arc<Message>,
    ) -> Result<(), Failure> {
        let home = self.proxy.spill_home.as_ref().ok_or(Failure::NoHome)?;
        let dialer = &self.proxy.context.dialer;
        let mut leg = Leg::open(dialer, home, HomeProtocol::Smtp, Identity::Relay, &self.settings).await?;
        let refused = |reply: &Reply| Failure::HomeTemporary {
            home: home.to_string(),
            text: reply.to_string(),
        };
        let reply = leg.mail(&self.from, &self.parameters).await?;
        if !reply.is_completed() {
            return Err(refused(&reply));
        }
        for (place, index) in failing.iter().enumerate() {
            let Some(to) = self.recipients.get(*index) else {
                continue;
            };
            let reply = leg.rcpt(to).await?;
            if !reply.is_completed() {
                return Err(refused(&reply));
            }
            leg.recipients.push(place);
        }
        leg.send(trace, message).await?.map_err(|reply| refused(&reply))?;
        let replies = leg.commit().await?;
        leg.quit().await;
        match replies.iter().find(|reply| !reply.is_completed()) {
            Some(reply) => Err(refused(reply)),
            None => Ok(()),
        }
    }

    /// Lets go of the homes that wait for a message; gives the others.
    pub(super) async fn abandon(self) -> Vec<Leg> {
        for leg in self.legs {
            leg.quit().await;
        }
        self.kept
    }
}
