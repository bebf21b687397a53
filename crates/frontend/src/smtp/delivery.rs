//! A message's way to several homes at once.

use super::leg::{Leg, LegSettings, Offered};
use super::message::Message;
use super::proxy::SmtpProxy;
use super::relayed::{Relayed, Told};
use super::reply;
use super::routing::Destination;
use super::transaction::{Envelope, Recipient, Sender};
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

/// What became of a message at its homes.
pub(super) struct Arrived {
    /// One reply for each recipient, in their order.
    pub(super) replies: Vec<Reply>,
    /// Homes that are still open.
    pub(super) open: Vec<Leg>,
    /// Recipients that have the message, and whose sender hears of it only from us.
    pub(super) untold: Vec<Told>,
}

impl Delivery {
    /// Sends the message to all homes at once, holds back its end until each has all of it or has failed, then
    /// commits.
    pub(super) async fn to_homes(self: &Arc<Self>, legs: Vec<Leg>) -> Arrived {
        let mut replies = vec![reply::leg_lost(); self.envelope.recipients.len()];
        let mut untold: Vec<Told> = legs.iter().flat_map(|leg| self.untold(leg)).collect();
        let takers = legs.iter().filter(|leg| !leg.recipients.is_empty());
        let takers: Vec<(HomeRef, Vec<usize>)> = takers
            .map(|leg| (leg.to.home.clone(), leg.recipients.clone()))
            .collect();
        let ready = self.send(legs, &mut replies).await;
        for leg in &ready {
            self.proxy.tally().sent(&leg.to.home, self.message.len());
        }
        let open = self.commit(ready, &mut replies).await;
        self.count(&takers, &replies);
        untold.retain_mut(|told| match replies.get(told.index) {
            Some(reply) if reply.is_completed() => {
                told.reply = reply.to_string();
                true
            }
            _ => false,
        });
        Arrived {
            replies,
            open,
            untold,
        }
    }

    fn count(&self, takers: &[(HomeRef, Vec<usize>)], replies: &[Reply]) {
        let tally = self.proxy.tally();
        tally.deliveries(takers.iter().flat_map(|(home, places)| {
            let answers = places.iter().filter_map(|place| replies.get(*place));
            answers.map(move |reply| (home, reply))
        }));
    }

    fn untold(&self, leg: &Leg) -> Vec<Told> {
        let indices = leg.recipients.iter().copied();
        let silent = indices.filter(|index| {
            let recipient = self.envelope.recipients.get(*index);
            recipient.is_some_and(|recipient| leg.leaves_untold(recipient))
        });
        let told = |index| Told {
            index,
            home: leg.to.home.host().to_owned(),
            reply: String::new(),
        };
        silent.map(told).collect()
    }

    /// All but the end. Dropping the set, when the client goes away, breaks the legs off before it.
    async fn send(self: &Arc<Self>, legs: Vec<Leg>, replies: &mut [Reply]) -> Vec<Leg> {
        let mut sending = JoinSet::new();
        for leg in legs {
            if leg.recipients.is_empty() {
                leg.quit().await;
                continue;
            }
            if let Some(refusal) = leg.home().refuses_message(self.message.is_eight_bit()) {
                answer(replies, &leg, |_| refusal.clone());
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
                    self.lost(&leg, &failure, "leg lost before the end of the message");
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
            let to = leg.to.clone();
            match self.open(&to, &leg.recipients).await {
                Ok(fresh) => {
                    leg = fresh;
                    started = leg.data().await;
                }
                Err(failure) => return (leg, Err(failure)),
            }
        }
        let sent = match started {
            Ok(Ok(())) => leg.send(&self.trace, &self.message).await,
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
                Ok((leg, Err(failure))) => self.lost(&leg, &failure, "leg lost after the end of the message"),
                Err(error) => tracing::error!(%error, "leg lost"),
            }
        }
        open
    }

    /// Its recipients keep the reply that they have from the beginning: try later.
    fn lost(&self, leg: &Leg, failure: &Failure, what: &'static str) {
        self.proxy.context.dialer.report(leg.name(), failure);
        tracing::warn!(trace = %self.settings.trace, home = %leg.to.home, %failure, "{what}");
    }

    /// Opens a transaction with a home for these recipients: all of them, or it is a failure.
    async fn open(&self, to: &Destination, indices: &[usize]) -> Result<Leg, Failure> {
        let known = indices.iter().copied().filter_map(|index| {
            let recipient = self.envelope.recipients.get(index)?;
            Some((index, recipient.clone()))
        });
        let (indices, recipients): (Vec<usize>, Vec<Recipient>) = known.unzip();
        let sender = &self.envelope.sender;
        let mut leg = self.open_for(to, sender, &recipients).await?;
        leg.recipients = indices;
        Ok(leg)
    }

    /// The same for any sender and recipients.
    async fn open_for(
        &self,
        to: &Destination,
        sender: &Sender,
        recipients: &[Recipient],
    ) -> Result<Leg, Failure> {
        let dialer = &self.proxy.context.dialer;
        let mut leg = Leg::open(dialer, to, &self.settings).await?;
        match leg.begin(sender, recipients).await? {
            Offered::Refused(reply) => taken(&to.home, &reply)?,
            Offered::Answers(answers) => {
                for answer in answers {
                    taken(&to.home, &answer?)?;
                }
            }
        }
        Ok(leg)
    }

    /// Hands the recipients whose home failed to the spill home, all or none. Gives those that it tells nobody of.
    pub(super) async fn spill(&self, failing: &[usize]) -> Result<Vec<Told>, Failure> {
        let home = self.proxy.spill_home.clone().ok_or(Failure::NoHome)?;
        let leg = self.open(&Destination::relay(home.clone()), failing).await?;
        let mut untold = self.untold(&leg);
        let reply = self.hand_over(leg, &self.trace, &self.message).await?;
        let tally = self.proxy.tally();
        tally.sent(&home, self.message.len());
        tally.deliveries(failing.iter().map(|_| (&home, &reply)));
        for told in &mut untold {
            told.reply = reply.to_string();
        }
        Ok(untold)
    }

    /// Sends a message over a leg that waits for it; gives the reply that takes it.
    async fn hand_over(&self, mut leg: Leg, trace: &str, message: &Message) -> Result<Reply, Failure> {
        let home = leg.to.home.clone();
        if let Some(refusal) = leg.home().refuses_message(message.is_eight_bit()) {
            taken(&home, &refusal)?;
        }
        if let Err(refusal) = leg.data().await? {
            taken(&home, &refusal)?;
        }
        let limit = self.settings.data_limit;
        let sent = tokio::time::timeout(limit, leg.send(trace, message)).await;
        if let Err(refusal) = sent.unwrap_or_else(|_| Err(Failure::Timeout(home.to_string())))? {
            taken(&home, &refusal)?;
        }
        let mut last = reply::taken_by_all();
        for reply in leg.commit().await? {
            taken(&home, &reply)?;
            last = reply;
        }
        leg.quit().await;
        Ok(last)
    }

    /// Tells the sender of recipients whose homes will not (RFC 3461 section 5.2.2), by way of the spill home,
    /// which owns the notification from then on.
    pub(super) async fn tell(&self, untold: &[Told]) {
        let (Some(sender), Some(home), false) = (
            self.envelope.sender.address(),
            self.proxy.spill_home.clone(),
            untold.is_empty(),
        ) else {
            return;
        };
        let notification = Relayed {
            server_name: &self.proxy.context.server_name,
            envelope: &self.envelope,
            sender,
            told: untold,
            head: self.message.head(),
            trace: self.settings.trace,
            at: self.proxy.context.clock.now(),
        };
        let text = Message::small(notification.to_string(), self.proxy.share());
        let (from, to) = notification.envelope();
        let told = async {
            let spill = Destination::relay(home);
            let mut leg = self.open_for(&spill, &from, std::slice::from_ref(&to)).await?;
            leg.recipients = vec![0];
            self.hand_over(leg, "", &text).await
        };
        let trace = self.settings.trace;
        match told.await {
            Ok(_) => tracing::info!(%trace, %sender, recipients = untold.len(), "sender told of relaying"),
            // The message is delivered: asking for it once more would only bring it twice.
            Err(failure) => tracing::error!(%trace, %sender, %failure, "sender not told of relaying"),
        }
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
