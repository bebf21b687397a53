//! Several updates that take effect together or not at all (RFC 5805).

use super::client::Ticket;
use super::inner::Waiter;
use super::{Client, LdapError, Outcome};
use crate::control::{Control, TransactionSpecification};
use crate::extended::{self, EndTransaction, Ending, TransactionEnded};
use crate::message::{ExtendedResponse, Message, MessageId, Request, Response};
use bytes::Bytes;
use std::collections::VecDeque;
use std::collections::vec_deque::Drain;
use tokio::sync::oneshot;

/// Updates that wait for their receipt at once.
const AT_ONCE: usize = 64;
/// So many of them are awaited before more are sent: the server has the others to work on meanwhile.
const AWAITED: usize = AT_ONCE / 2;

/// A transaction under way. OpenLDAP has one at a time on a connection, so it is best a connection of its own;
/// one that is dropped before its end stays open at the server until the connection closes.
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    identifier: Bytes,
    updates: Vec<MessageId>,
}

/// Why a transaction did not take effect, or may not have.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct TransactionError {
    /// What the server answered, or the lack of an answer.
    pub error: LdapError,
    /// The update to blame, counted from 0, when the server says which.
    pub update: Option<usize>,
}

impl From<LdapError> for TransactionError {
    fn from(error: LdapError) -> Self {
        Self { error, update: None }
    }
}

impl Client {
    /// Begins a transaction (RFC 5805 section 2.1).
    pub async fn begin(&self) -> Result<Transaction, LdapError> {
        let response = self.extended(extended::start_transaction(), &[]).await?;
        let identifier = extended::transaction_identifier(&response)
            .map_err(|error| LdapError::Protocol(error.to_string()))?;
        Ok(Transaction {
            client: self.clone(),
            identifier,
            updates: Vec::new(),
        })
    }
}

impl Transaction {
    /// Hands in further updates, in this order. The server takes them and does nothing yet; what it refuses at
    /// once ends the transaction.
    pub async fn update(&mut self, updates: Vec<(Request, Vec<Control>)>) -> Result<(), TransactionError> {
        let part = TransactionSpecification(self.identifier.clone()).to_control();
        let mut waiting = VecDeque::with_capacity(AT_ONCE);
        for (request, mut controls) in updates {
            controls.push(part.clone());
            let (waiter, answer) = oneshot::channel();
            let start = self.client.start(Waiter::One(waiter), &request, &controls);
            let ticket = self.client.in_time(start).await?;
            self.updates.push(ticket.id());
            waiting.push_back(Receipt { ticket, answer });
            if waiting.len() >= AT_ONCE {
                self.receipts(waiting.drain(..AWAITED)).await?;
            }
        }
        self.receipts(waiting.drain(..)).await
    }

    async fn receipts(&self, waiting: Drain<'_, Receipt>) -> Result<(), TransactionError> {
        for mut receipt in waiting {
            let message = self
                .client
                .in_time(async { receipt.answer.await.map_err(|_| receipt.ticket.closed()) })
                .await?;
            receipt.ticket.finish();
            let Message {
                id,
                operation,
                controls,
            } = message;
            let result = match operation {
                Response::Add(result)
                | Response::Modify(result)
                | Response::Delete(result)
                | Response::ModifyDn(result) => result,
                _ => return Err(self.unexpected().into()),
            };
            // RFC 5805 section 3.3: success means that the update is part of the transaction now.
            if !result.is_success() {
                return Err(TransactionError {
                    error: LdapError::Result(Box::new(Outcome { result, controls })),
                    update: self.position(id),
                });
            }
        }
        Ok(())
    }

    /// Ends it with all updates done, or none (RFC 5805 section 2.3). Gives the response controls of each update,
    /// in order.
    pub async fn commit(self) -> Result<Vec<Vec<Control>>, TransactionError> {
        let response = self.end(Ending::Commit).await?;
        let ended =
            TransactionEnded::of(&response.0).map_err(|error| LdapError::Protocol(error.to_string()))?;
        if !response.0.result.is_success() {
            return Err(TransactionError {
                update: ended.failed.and_then(|id| self.position(id)),
                error: LdapError::Result(Box::new(Outcome {
                    result: response.0.result,
                    controls: response.1,
                })),
            });
        }
        let mut all = vec![Vec::new(); self.updates.len()];
        for (id, controls) in ended.controls {
            if let Some(place) = self.position(id).and_then(|at| all.get_mut(at)) {
                *place = controls;
            }
        }
        Ok(all)
    }

    /// Ends it with nothing done.
    pub async fn abort(self) -> Result<(), LdapError> {
        let (response, controls) = self.end(Ending::Abort).await?;
        if response.result.is_success() {
            return Ok(());
        }
        Err(LdapError::Result(Box::new(Outcome {
            result: response.result,
            controls,
        })))
    }

    async fn end(&self, ending: Ending) -> Result<(ExtendedResponse, Vec<Control>), LdapError> {
        let request = EndTransaction {
            ending,
            identifier: self.identifier.clone(),
        };
        let request = Request::Extended(request.to_request());
        let message = self.client.call(&request, &[]).await?;
        match message.operation {
            // The value says which update failed, so a refusal is not yet an error here.
            Response::Extended(response) => Ok((response, message.controls)),
            _ => Err(self.unexpected()),
        }
    }

    fn position(&self, id: MessageId) -> Option<usize> {
        self.updates.iter().position(|update| *update == id)
    }

    fn unexpected(&self) -> LdapError {
        self.client
            .protocol_error("an answer of another kind than the request")
    }
}

struct Receipt {
    ticket: Ticket,
    answer: oneshot::Receiver<Message<Response>>,
}
