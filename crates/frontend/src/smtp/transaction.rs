//! One transaction: its recipients, their homes, and the message's way to all of them.

use super::delivery::Delivery;
use super::dialect::Dialect;
use super::leg::{Identity, Leg, LegSettings, Offered};
use super::message::Message;
use super::proxy::SmtpProxy;
use super::reply;
use super::routing::{Destination, Standing, routes};
use super::verdict::{Verdict, judge, pass_on};
use crate::config::MultiHome;
use crate::failure::Failure;
use model::{Address, ReversePath};
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::smtp::{Body, ForwardPath, MailParameters, RcptParameters, Reply};

/// Homes that one transaction may reach. More recipients than that go into another one.
const MAX_LEGS: usize = 64;
/// Homes that are kept open between the transactions of a session.
const MAX_KEPT: usize = 4;

/// What MAIL has said.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) from: ReversePath,
    pub(super) parameters: MailParameters,
}

impl Sender {
    /// Who hears of the message's fate; nobody for `<>`.
    pub(super) fn address(&self) -> Option<&Address> {
        match &self.from {
            ReversePath::Address(address) => Some(address),
            ReversePath::Null => None,
        }
    }
}

/// What one RCPT has said.
#[derive(Debug, Clone)]
pub(super) struct Recipient {
    pub(super) to: ForwardPath,
    pub(super) parameters: RcptParameters,
}

/// What MAIL and RCPT have said.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) sender: Sender,
    /// Recipients that a home has accepted.
    pub(super) recipients: Vec<Recipient>,
}

/// A transaction, from MAIL to the end of the message.
pub(super) struct Transaction {
    proxy: Arc<SmtpProxy>,
    settings: LegSettings,
    envelope: Envelope,
    /// Homes that take part.
    legs: Vec<Leg>,
    /// Homes that an earlier transaction of this session has left open.
    kept: Vec<Leg>,
}

/// Recipients of one home that it has not been asked about yet, by their place in the batch.
struct Offer {
    to: Destination,
    places: Vec<usize>,
    recipients: Vec<Recipient>,
}

/// The home's answer to an offer.
struct Answered {
    leg: Option<Leg>,
    places: Vec<usize>,
    replies: Vec<Reply>,
}

impl Transaction {
    pub(super) fn new(proxy: Arc<SmtpProxy>, settings: LegSettings, sender: Sender, kept: Vec<Leg>) -> Self {
        Self {
            proxy,
            settings,
            envelope: Envelope {
                sender,
                recipients: Vec::new(),
            },
            legs: Vec::new(),
            kept,
        }
    }

    /// The recipient of the trace field: only when there is one.
    pub(super) fn only_recipient(&self) -> Option<&Address> {
        match self.envelope.recipients.as_slice() {
            [one] => match &one.to {
                ForwardPath::Address(address) => Some(address),
                ForwardPath::Postmaster => None,
            },
            _ => None,
        }
    }

    /// Sender, recipients and homes, for the log.
    pub(super) fn describe(&self) -> (String, Vec<String>, Vec<String>) {
        let taking_part = self.legs.iter().filter(|leg| !leg.recipients.is_empty());
        let recipients = self.envelope.recipients.iter();
        (
            self.envelope.sender.from.to_string(),
            recipients.map(|recipient| recipient.to.to_string()).collect(),
            taking_part.map(|leg| leg.to.home.to_string()).collect(),
        )
    }

    /// How many recipients a home has accepted.
    pub(super) fn recipients(&self) -> usize {
        self.envelope.recipients.len()
    }

    /// Whether the message is binary (RFC 3030 section 3).
    pub(super) fn is_binary(&self) -> bool {
        self.envelope.sender.parameters.body == Some(Body::BinaryMime)
    }

    /// Whether addresses and header may hold more than ASCII (RFC 6531).
    pub(super) fn is_utf8(&self) -> bool {
        self.envelope.sender.parameters.smtputf8
    }

    /// Routes recipients and offers them to their homes now; the replies, in their order, are for the client.
    pub(super) async fn rcpts(&mut self, mut batch: Vec<Recipient>, standing: Standing) -> Vec<Reply> {
        let most = usize::try_from(self.proxy.max_recipients).unwrap_or(usize::MAX);
        let mut replies = Vec::with_capacity(batch.len());
        while !batch.is_empty() {
            let room = most.saturating_sub(self.envelope.recipients.len());
            if room == 0 {
                replies.extend(batch.drain(..).map(|_| reply::too_many_recipients()));
                break;
            }
            let later = batch.split_off(batch.len().min(room));
            replies.append(&mut self.offer_batch(batch, standing).await);
            batch = later;
        }
        replies
    }

    async fn offer_batch(&mut self, batch: Vec<Recipient>, standing: Standing) -> Vec<Reply> {
        let routes = routes(&self.proxy, &batch, standing).await;
        let mut replies = vec![reply::leg_lost(); batch.len()];
        let mut offers: Vec<Offer> = Vec::new();
        let mut named: Vec<Option<Destination>> = vec![None; batch.len()];
        for (place, (recipient, route)) in batch.iter().zip(routes).enumerate() {
            match route.and_then(|to| self.utf8_declared(recipient).map(|()| to)) {
                Ok(to) => {
                    if let Some(slot) = named.get_mut(place) {
                        *slot = Some(to.clone());
                    }
                    match offers.iter_mut().find(|offer| offer.to == to) {
                        Some(offer) => offer.add(place, recipient),
                        None => offers.push(Offer::new(to, place, recipient)),
                    }
                }
                Err(reply) => {
                    tracing::info!(trace = %self.settings.trace, to = %recipient.to, %reply, "recipient refused");
                    set(&mut replies, place, reply);
                }
            }
        }
        let answered = match self.proxy.dialect.multi_home(&self.proxy.config) {
            MultiHome::Split => self.one_home(offers).await,
            // In LMTP each recipient has an answer of its own.
            MultiHome::Parallel if self.proxy.dialect == Dialect::Lmtp => self.all_homes(offers).await,
            MultiHome::Parallel => self.homes_or_relay(offers).await,
        };
        // Accepted recipients keep the order in which the client named them.
        let mut owners: Vec<Option<Destination>> = vec![None; batch.len()];
        for Answered {
            leg,
            places,
            replies: found,
        } in answered
        {
            for (place, reply) in places.into_iter().zip(found) {
                if let (Some(owner), Some(leg), true) = (owners.get_mut(place), &leg, reply.is_completed()) {
                    *owner = Some(leg.to.clone());
                }
                set(&mut replies, place, reply);
            }
            self.legs.extend(leg);
        }
        for (recipient, owner) in batch.into_iter().zip(owners) {
            let leg = owner.and_then(|to| self.legs.iter_mut().find(|leg| leg.to == to));
            if let Some(leg) = leg {
                leg.recipients.push(self.envelope.recipients.len());
                self.envelope.recipients.push(recipient);
            }
        }
        let homes = named.iter().map(|to| to.as_ref().map(|to| &to.home));
        let counted = homes.zip(&replies);
        self.proxy.tally().recipients(counted);
        replies
    }

    // RFC 6531 section 3.5: such an address is legal only in a transaction that began with SMTPUTF8.
    fn utf8_declared(&self, recipient: &Recipient) -> Result<(), Reply> {
        match &recipient.to {
            ForwardPath::Address(address) if address.needs_smtputf8() && !self.is_utf8() => {
                Err(reply::undeclared_utf8())
            }
            _ => Ok(()),
        }
    }

    /// One transaction, one home: as soon as a home has taken a recipient, all others go into another one. A home
    /// that has refused every recipient so far does not bind the transaction to itself.
    async fn one_home(&mut self, offers: Vec<Offer>) -> Vec<Answered> {
        let bound = self.legs.iter().find(|leg| !leg.recipients.is_empty());
        let mut bound = bound.map(|leg| leg.to.clone());
        let mut all = Vec::new();
        for offer in offers {
            if bound.as_ref().is_some_and(|to| *to != offer.to) {
                all.push(offer.refused(reply::one_home()));
                continue;
            }
            let to = offer.to.clone();
            let answered = self.ask_one(offer).await;
            if answered.replies.iter().any(Reply::is_completed) {
                bound = Some(to);
            }
            all.push(answered);
        }
        all
    }

    /// All homes at once, or the relay. Never both: nobody takes over what the relay refuses in the end, and a sender
    /// that has to try again would bring the message to the homes again.
    async fn homes_or_relay(&mut self, offers: Vec<Offer>) -> Vec<Answered> {
        let bound = self.legs.iter().find(|leg| !leg.recipients.is_empty());
        let mut bound = bound.map(|leg| leg.to.identity);
        let Some(first) = bound.or_else(|| offers.first().map(|offer| offer.to.identity)) else {
            return Vec::new();
        };
        let (now, later): (Vec<_>, Vec<_>) = offers.into_iter().partition(|offer| offer.to.identity == first);
        let mut all = self.all_homes(now).await;
        if all
            .iter()
            .any(|answered| answered.replies.iter().any(Reply::is_completed))
        {
            bound = Some(first);
        }
        match bound {
            Some(_) => all.extend(later.into_iter().map(|offer| offer.refused(reply::one_home()))),
            None => all.extend(self.all_homes(later).await),
        }
        all
    }

    /// All homes at once.
    async fn all_homes(&mut self, mut offers: Vec<Offer>) -> Vec<Answered> {
        if offers.len() < 2 {
            return match offers.pop() {
                Some(only) => vec![self.ask_one(only).await],
                None => Vec::new(),
            };
        }
        let asking = Arc::new(self.asking());
        let mut all = Vec::new();
        let mut asked = JoinSet::new();
        // Legs that are asked are taken out meanwhile.
        let mut legs = self.legs.len();
        for offer in offers {
            let (leg, kept) = self.take(&offer.to);
            if leg.is_none() {
                if legs >= MAX_LEGS {
                    self.kept.extend(kept);
                    all.push(offer.refused(reply::one_home()));
                    continue;
                }
                legs += 1;
            }
            let asking = asking.clone();
            asked.spawn(async move { asking.answered(offer, leg, kept).await });
        }
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok(answered) => all.push(answered),
                Err(error) => tracing::error!(%error, "leg lost"),
            }
        }
        all
    }

    async fn ask_one(&mut self, offer: Offer) -> Answered {
        let (leg, kept) = self.take(&offer.to);
        if leg.is_none() && self.legs.len() >= MAX_LEGS {
            self.kept.extend(kept);
            return offer.refused(reply::one_home());
        }
        self.asking().answered(offer, leg, kept).await
    }

    /// Takes out the leg to a home, and one that an earlier transaction has left open.
    fn take(&mut self, to: &Destination) -> (Option<Leg>, Option<Leg>) {
        let out = |legs: &mut Vec<Leg>| {
            let index = legs.iter().position(|leg| leg.to == *to)?;
            Some(legs.swap_remove(index))
        };
        let leg = out(&mut self.legs);
        match leg {
            Some(leg) => (Some(leg), None),
            None => (None, out(&mut self.kept)),
        }
    }

    fn asking(&self) -> Asking {
        Asking {
            proxy: self.proxy.clone(),
            settings: self.settings.clone(),
            sender: self.envelope.sender.clone(),
        }
    }

    /// Brings the message to every home; gives the one honest reply, or in LMTP that of each recipient, and the homes
    /// that are still open.
    pub(super) async fn deliver(mut self, trace: String, message: Message) -> (Vec<Reply>, Vec<Leg>) {
        let dialect = self.proxy.dialect;
        let legs = std::mem::take(&mut self.legs);
        let delivery = Arc::new(Delivery {
            proxy: self.proxy,
            settings: self.settings,
            envelope: self.envelope,
            trace,
            message,
        });
        let arrived = delivery.to_homes(legs).await;
        for leg in arrived.open {
            if self.kept.len() < MAX_KEPT && leg.is_worth_keeping() {
                self.kept.push(leg);
            } else {
                leg.quit().await;
            }
        }
        let mut untold = arrived.untold;
        if dialect == Dialect::Lmtp {
            delivery.tell(&untold).await;
            return (arrived.replies.iter().map(pass_on).collect(), self.kept);
        }
        let reply = match judge(&arrived.replies) {
            Verdict::Accept(reply) | Verdict::Refuse(reply) => reply,
            Verdict::Spill(failing) => match delivery.spill(&failing).await {
                Ok(mut more) => {
                    untold.append(&mut more);
                    reply::taken_by_all()
                }
                Err(failure) => {
                    let trace = delivery.settings.trace;
                    tracing::error!(%trace, %failure, "recipients could not be spilled");
                    reply::partly_taken()
                }
            },
        };
        // When the client comes again, it is told then, and once.
        if reply.is_completed() {
            delivery.tell(&untold).await;
        }
        (vec![reply], self.kept)
    }

    /// Lets go of the homes that wait for a message; gives the others.
    pub(super) async fn abandon(self) -> Vec<Leg> {
        for leg in self.legs {
            leg.quit().await;
        }
        self.kept
    }
}

impl Offer {
    fn new(to: Destination, place: usize, recipient: &Recipient) -> Self {
        Self {
            to,
            places: vec![place],
            recipients: vec![recipient.clone()],
        }
    }

    fn add(&mut self, place: usize, recipient: &Recipient) {
        self.places.push(place);
        self.recipients.push(recipient.clone());
    }

    fn refused(self, reply: Reply) -> Answered {
        Answered {
            leg: None,
            replies: vec![reply; self.places.len()],
            places: self.places,
        }
    }
}

/// What it takes to ask a home about recipients.
struct Asking {
    proxy: Arc<SmtpProxy>,
    settings: LegSettings,
    sender: Sender,
}

impl Asking {
    /// Asks the home of an offer: over the transaction's leg, or a kept one, or a new one.
    async fn answered(&self, offer: Offer, leg: Option<Leg>, kept: Option<Leg>) -> Answered {
        let (trace, home) = (self.settings.trace, &offer.to.home);
        let (leg, replies) = match self.ask(&offer, leg, kept).await {
            Ok((leg, Offered::Answers(answers))) => {
                let replies = answers.into_iter().zip(&offer.recipients);
                let replies = replies.map(|(answer, recipient)| match answer {
                    Ok(reply) if reply.is_completed() => pass_on(&reply),
                    Ok(reply) => {
                        tracing::info!(%trace, %home, to = %recipient.to, %reply, "recipient refused by its home");
                        pass_on(&reply)
                    }
                    Err(failure) => {
                        tracing::warn!(%trace, %home, to = %recipient.to, %failure, "recipient put off");
                        reply::failure(&failure)
                    }
                });
                let replies = replies.collect();
                (Some(leg), replies)
            }
            Ok((leg, Offered::Refused(reply))) => {
                tracing::info!(%trace, %home, %reply, "sender refused by the home");
                leg.quit().await;
                (None, vec![pass_on(&reply); offer.places.len()])
            }
            Err(failure) => {
                match failure.is_alarming() {
                    true => tracing::error!(%trace, %home, %failure, "recipients put off"),
                    false => tracing::warn!(%trace, %home, %failure, "recipients put off"),
                }
                (None, vec![reply::failure(&failure); offer.places.len()])
            }
        };
        Answered {
            leg,
            places: offer.places,
            replies,
        }
    }

    async fn ask(
        &self,
        offer: &Offer,
        leg: Option<Leg>,
        kept: Option<Leg>,
    ) -> Result<(Leg, Offered), Failure> {
        let dialer = &self.proxy.context.dialer;
        let _asked = match offer.to.identity {
            Identity::Relay => {
                let asked = self.proxy.circles.enter(self.settings.first);
                Some(asked.ok_or_else(|| Failure::LeadsBack(offer.to.home.to_string()))?)
            }
            Identity::Client => None,
        };
        // 421 and a home that goes silent: the leg stays for those it accepted. The message goes to them over a
        // new connection.
        if let Some(mut leg) = leg {
            let answers = leg.offer(&offer.recipients).await;
            self.report(&leg, &answers);
            return Ok((leg, Offered::Answers(answers)));
        }
        let kept = match kept {
            // It gets nothing new, also not over a connection that is open.
            Some(leg) if dialer.is_drained(&offer.to.home) => {
                leg.quit().await;
                None
            }
            other => other,
        };
        if let Some(mut leg) = kept
            // The home may have closed it meanwhile; then a new one is opened.
            && let Ok(Offered::Answers(answers)) = leg.begin(&self.sender, &offer.recipients).await
        {
            self.report(&leg, &answers);
            return Ok((leg, Offered::Answers(answers)));
        }
        let mut leg = Leg::open(dialer, &offer.to, &self.settings).await?;
        match leg.begin(&self.sender, &offer.recipients).await {
            Ok(Offered::Answers(answers)) => {
                self.report(&leg, &answers);
                Ok((leg, Offered::Answers(answers)))
            }
            Ok(refused) => Ok((leg, refused)),
            Err(failure) => {
                dialer.report(leg.name(), &failure);
                Err(failure)
            }
        }
    }

    /// A home that breaks off fails once, however many recipients wait for its answer.
    fn report(&self, leg: &Leg, answers: &[Result<Reply, Failure>]) {
        if let Some(failure) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            self.proxy.context.dialer.report(leg.name(), failure);
        }
    }
}

fn set(replies: &mut [Reply], place: usize, reply: Reply) {
    if let Some(slot) = replies.get_mut(place) {
        *slot = reply;
    }
}
