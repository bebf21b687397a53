//! A message's way to several homes at once.

use super::leg::{Identity, Leg, LegSettings};
use super::message::Message;
use super::reply;
use super::session::SmtpProxy;
use super::transaction::Envelope;
use crate::config::HomeProtocol;
use crate::failure::Failure;
use directory::HomeRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use wire::smtp::Reply;

/// How long homes that have the whole message wait for those that do not have it yet. They give up after five
/// minutes or more (RFC 5321 section 4.5.3.2.7).
const SLOW_LEG: Duration = Duration::from_secs(120);

/// A message that is whole, and to whom it goes.
pub(super) struct Delivery {
    pub(super) proxy: Arc<SmtpProxy>,
    pub(super) settings: LegSettings,
    pub(super) envelope: Envelope,
    /// Our Received field.
    pub(super) trace: String,
    pub(super) message: Message,
}

impl Delivery {
    /// Sends the message to all homes at once, holds back the final dot until each has all of it or has failed,
    /// then commits. Gives one reply for each recipient, in their order, and the homes that are still open.
    pub(super) async fn to_homes(self: &Arc<Self>, legs: Vec<Leg>) -> (Vec<Reply>, Vec<Leg>) {
        let mut replies = vec![reply::leg_lost(); self.envelope.recipients.len()];
        let ready = self.send(legs, &mut replies).await;
        let open = self.commit(ready, &mut replies).await;
        (replies, open)
    }

    /// All but the final dot. Dropping the set, when the client goes away, breaks the legs off before it.
    async fn send(self: &Arc<Self>, legs: Vec<Leg>, replies: &mut [Reply]) -> Vec<Leg> {
        let mut sending = JoinSet::new();
        for leg in legs {
            if leg.recipients.is_empty() {
                leg.quit().await;
                continue;
            }
            let delivery = self.clone();
            sending.spawn(async move { delivery.send_one(leg).await });
        }
        let mut deadline = Instant::now() + self.settings.data_limit;
        let mut ready = Vec::new();
        loop {
            match timeout_at(deadline, sending.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok((leg, Ok(Ok(())))))) => {
                    ready.push(leg);
                    deadline = deadline.min(Instant::now() + SLOW_LEG);
                }
                Ok(Some(Ok((leg, Ok(Err(refusal)))))) => {
                    answer(replies, &leg, |_| refusal.clone());
                    leg.quit().await;
                }
                Ok(Some(Ok((leg, Err(failure))))) => {
                    self.lost(&leg, &failure, "leg lost before the final dot");
                }
                Ok(Some(Err(error))) => tracing::error!(%error, "leg lost"),
                Err(_) => {
                    let trace = self.settings.trace;
                    tracing::warn!(%trace, legs = sending.len(), "broke off legs that did not take the message in time");
                    sending.shutdown().await;
                    break;
                }
            }
        }
        ready
    }

    async fn send_one(&self, mut leg: Leg) -> (Leg, Result<Result<(), Reply>, Failure>) {
        let mut started = leg.data().await;
        // While the client was still sending, a home may have lost patience. Nothing is committed yet, so the
        // message can go there over a new connection. One that hangs is not tried twice.
        if leg.is_over() && !matches!(started, Err(Failure::Timeout(_))) {
            let home = leg.home.clone();
            let protocol = self.proxy.config.home_protocol;
            match self
                .open(&home, protocol, Identity::Client, &leg.recipients)
                .await
            {
                Ok(fresh) => {
                    leg = fresh;
                    started = leg.data().await;
                }
                Err(failure) => return (leg, Err(failure)),
            }
        }
        let sent = match started {
            Ok(Ok(())) => leg.send(&self.trace, &self.message).await.map(Ok),
            refused => refused,
        };
        (leg, sent)
    }

    async fn commit(&self, ready: Vec<Leg>, replies: &mut [Reply]) -> Vec<Leg> {
        let mut committing = JoinSet::new();
        for mut leg in ready {
            committing.spawn(async move {
                let committed = leg.commit().await;
                (leg, committed)
            });
        }
        let mut open = Vec::new();
        while let Some(done) = committing.join_next().await {
            match done {
                Ok((mut leg, Ok(from_home))) => {
                    answer(replies, &leg, |place| {
                        from_home.get(place).cloned().unwrap_or_else(reply::leg_lost)
                    });
                    if !leg.is_over() {
                        leg.recipients.clear();
                        open.push(leg);
                    }
                }
                Ok((leg, Err(failure))) => self.lost(&leg, &failure, "leg lost after the final dot"),
                Err(error) => tracing::error!(%error, "leg lost"),
            }
        }
        open
    }

    /// Its recipients keep the reply that they have from the beginning: try later.
    fn lost(&self, leg: &Leg, failure: &Failure, what: &'static str) {
        self.proxy.context.dialer.report(leg.name(), failure);
        tracing::warn!(trace = %self.settings.trace, home = %leg.home, %failure, "{what}");
    }

    /// Opens a transaction with a home for these recipients: all of them, or it is a failure.
    async fn open(
        &self,
        home: &HomeRef,
        protocol: HomeProtocol,
        identity: Identity,
        recipients: &[usize],
    ) -> Result<Leg, Failure> {
        let dialer = &self.proxy.context.dialer;
        let mut leg = Leg::open(dialer, home, protocol, identity, &self.settings).await?;
        let reply = leg.mail(&self.envelope.from, &self.envelope.parameters).await?;
        taken(home, &reply)?;
        for index in recipients {
            if let Some(to) = self.envelope.recipients.get(*index) {
                taken(home, &leg.rcpt(to).await?)?;
                leg.recipients.push(*index);
            }
        }
        Ok(leg)
    }

    /// Hands the recipients whose home failed to the spill home, all or none.
    pub(super) async fn spill(&self, failing: &[usize]) -> Result<(), Failure> {
        let home = self.proxy.spill_home.as_ref().ok_or(Failure::NoHome)?;
        let mut leg = self
            .open(home, HomeProtocol::Smtp, Identity::Relay, failing)
            .await?;
        if let Err(refusal) = leg.data().await? {
            taken(home, &refusal)?;
        }
        let limit = self.settings.data_limit;
        match tokio::time::timeout(limit, leg.send(&self.trace, &self.message)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Failure::Timeout(home.to_string())),
        }
        for reply in leg.commit().await? {
            taken(home, &reply)?;
        }
        leg.quit().await;
        Ok(())
    }
}

/// Sets the replies of a leg's recipients, by their place among them.
fn answer(replies: &mut [Reply], leg: &Leg, each: impl Fn(usize) -> Reply) {
    for (place, index) in leg.recipients.iter().enumerate() {
        if let Some(slot) = replies.get_mut(*index) {
            *slot = each(place);
        }
    }
}

/// Anything but a yes is a failure that may pass: the client asks again.
fn taken(home: &HomeRef, reply: &Reply) -> Result<(), Failure> {
    if reply.is_completed() {
        return Ok(());
    }
    Err(Failure::HomeTemporary {
        home: home.to_string(),
        text: reply.to_string(),
    })
}
