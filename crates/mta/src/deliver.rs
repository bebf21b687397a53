//! Local delivery: one durable commit for all recipients of a message, then the answers.

use crate::receiver::Receiver;
use bytes::Bytes;
use model::{AccountId, ReversePath};
use std::collections::HashMap;
use std::time::Duration;
use store::{Delivered, Delivery, RepeatKey, StoreError};
use tokio::time::timeout;

/// What became of one recipient.
pub(crate) type Outcome = Result<Delivered, StoreError>;

/// A message with its trace fields, ready to be stored.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Trace fields and message.
    pub(crate) bytes: Vec<u8>,
    /// Where the client's own bytes begin.
    pub(crate) client_at: usize,
}

/// A disk that hangs must not keep sessions for ever. The message may be stored all the same; the client's next
/// attempt finds it.
const PATIENCE: Duration = Duration::from_secs(60);

fn too_late() -> StoreError {
    StoreError::Engine("no answer in time".to_owned())
}

/// Stores the message for every account of every recipient. The answer has one outcome for each recipient, in
/// their order: the worst of its accounts. An account that is reached twice gets the message once.
pub(crate) async fn deliver(
    receiver: &Receiver,
    from: &ReversePath,
    recipients: &[Vec<AccountId>],
    message: Finished,
) -> Vec<Outcome> {
    let mut accounts: Vec<AccountId> = recipients.iter().flatten().copied().collect();
    accounts.sort_unstable();
    accounts.dedup();
    let repeat = repeat_key(message.bytes.get(message.client_at..).unwrap_or_default(), from);
    let delivery = Delivery {
        repeat,
        ..Delivery::new(Bytes::from(message.bytes))
    };
    let stored = timeout(PATIENCE, receiver.parts.store.deliver_many(&delivery, &accounts)).await;
    let Ok(outcomes) = stored else {
        tracing::error!("the store has not answered for {PATIENCE:?}");
        return recipients.iter().map(|_| Err(too_late())).collect();
    };
    let outcomes: HashMap<AccountId, Outcome> = outcomes.into_iter().collect();
    let worst = |accounts: &Vec<AccountId>| {
        let mut worst = Ok(Delivered::Repeated);
        for account in accounts {
            match outcomes.get(account) {
                Some(Ok(Delivered::Repeated)) => {}
                Some(Ok(stored)) => worst = worst.map(|_| *stored),
                Some(Err(error)) => return Err(error.clone()),
                None => return Err(StoreError::NotFound("account")),
            }
        }
        worst
    };
    recipients.iter().map(worst).collect()
}

/// The key that makes a retry after a lost answer recognisable. Trace fields at the top are left out: a front
/// end writes a new one for each attempt. Without a Message-ID two equal messages may both be meant.
fn repeat_key(message: &[u8], from: &ReversePath) -> Option<RepeatKey> {
    let stable = without_leading_trace(message);
    has_message_id(stable).then(|| RepeatKey::new(stable, from))
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.split_at_checked(name.len()).is_some_and(|(head, rest)| {
        head.eq_ignore_ascii_case(name) && rest.trim_ascii_start().starts_with(b":")
    })
}

fn has_message_id(message: &[u8]) -> bool {
    message
        .split_inclusive(|byte| *byte == b'\n')
        .take_while(|line| !line.trim_ascii().is_empty())
        .any(|line| is_field(line, b"Message-ID"))
}

fn without_leading_trace(message: &[u8]) -> &[u8] {
    let mut at = 0;
    let mut in_trace = false;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        in_trace = if folded {
            in_trace
        } else {
            is_field(line, b"Received") || is_field(line, b"Return-Path")
        };
        if !in_trace {
            break;
        }
        at += line.len();
    }
    message.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repeat_key_ignores_the_hops_and_nothing_else() {
        let key = |message: &str| repeat_key(message.as_bytes(), &ReversePath::Null);
        let plain = key("Message-ID: <1@x>\r\nReceived: z\r\n\r\nbody\r\n");
        assert!(plain.is_some());
        let hop = "Received: from a\r\n\tby b;\r\n\tnow\r\nReturn-path : <x>\r\n";
        assert_eq!(
            key(&format!("{hop}Message-ID: <1@x>\r\nReceived: z\r\n\r\nbody\r\n")),
            plain
        );
        assert_ne!(key("Message-ID: <1@x>\r\nReceived: y\r\n\r\nbody\r\n"), plain);
        assert_ne!(key("Message-ID: <1@x>\r\nReceived: z\r\n\r\nbody.\r\n"), plain);
        assert_eq!(key("Subject: x\r\n\r\nMessage-ID: <1@x>\r\n"), None);
        assert_eq!(key(""), None);
        assert_eq!(key(" folded\r\n"), None);
    }
}
