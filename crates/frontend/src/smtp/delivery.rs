//! A message's way to several homes at once.

use super::leg::Leg;
use super::message::Message;
use super::reply;
use crate::dial::Dialer;
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::smtp::Reply;

/// Sends the message to all homes at once, holds back the final dot until each has all of it or has failed,
/// then commits. Gives one reply for each recipient, in their order, and the homes that are still open.
pub(super) async fn to_homes(
    dialer: &Dialer,
    legs: Vec<Leg>,
    trace: &Arc<str>,
    message: &Arc<Message>,
    recipients: usize,
) -> (Vec<Reply>, Vec<Leg>) {
    let mut replies = vec![reply::leg_lost(); recipients];
    let mut answer = |leg: &Leg, each: &dyn Fn(usize) -> Reply| {
        for (place, index) in leg.recipients.iter().enumerate() {
            if let Some(slot) = replies.get_mut(*index) {
                *slot = each(place);
            }
        }
    };
    let mut sending = JoinSet::new();
    for mut leg in legs {
        if leg.recipients.is_empty() {
            leg.quit().await;
            continue;
        }
        let (trace, message) = (trace.clone(), message.clone());
        sending.spawn(async move {
            let sent = leg.send(&trace, &message).await;
            (leg, sent)
        });
    }
    let mut ready = Vec::new();
    // Dropping the set, when the client goes away, breaks the legs off before any final dot.
    while let Some(done) = sending.join_next().await {
        match done {
            Ok((leg, Ok(Ok(())))) => ready.push(leg),
            Ok((leg, Ok(Err(refusal)))) => {
                answer(&leg, &|_| refusal.clone());
                leg.quit().await;
            }
            Ok((leg, Err(failure))) => {
                dialer.report(leg.name(), &failure);
                tracing::warn!(home = %leg.home, %failure, "leg lost before the final dot");
                answer(&leg, &|_| reply::leg_lost());
            }
            Err(error) => tracing::error!(%error, "leg lost"),
        }
    }
    let mut open = Vec::new();
    let mut committing = JoinSet::new();
    for mut leg in ready {
        committing.spawn(async move {
            let committed = leg.commit().await;
            (leg, committed)
        });
    }
    while let Some(done) = committing.join_next().await {
        match done {
            Ok((mut leg, Ok(from_home))) => {
                answer(&leg, &|place| {
                    from_home.get(place).cloned().unwrap_or_else(reply::leg_lost)
                });
                // 421 says that the home closes (RFC 5321 section 3.8).
                if from_home.iter().all(|reply| reply.code() != 421) {
                    leg.recipients.clear();
                    open.push(leg);
                }
            }
            Ok((leg, Err(failure))) => {
                dialer.report(leg.name(), &failure);
                tracing::warn!(home = %leg.home, %failure, "leg lost after the final dot");
                answer(&leg, &|_| reply::leg_lost());
            }
            Err(error) => tracing::error!(%error, "leg lost"),
        }
    }
    (replies, open)
}
