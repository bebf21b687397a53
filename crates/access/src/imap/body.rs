//! A message's octets on their way to a client, within memory that all sessions share.
//!
//! A large message is kept whole while it is sent if there is memory for it, and else read again piece by piece:
//! slower, but a thousand clients that ask and do not read cost no more than their pieces. Large messages are
//! read by a few at a time, and whoever reads waits for no client meanwhile.

use super::ImapService;
use super::reply::Failure;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use store::{Mailbox, Message, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Messages up to this size are not counted.
const SMALL: u64 = 64 << 10;
/// What is read at once of a message that is not kept.
const WINDOW: u64 = 256 << 10;
/// Large messages that are read at once.
const READERS: usize = 8;

/// The memory, as every session of the server shares it.
pub(super) struct Memory {
    /// KiB that messages on their way out may still take.
    kept: Arc<Semaphore>,
    readers: Semaphore,
}

impl Memory {
    pub(super) fn new(octets: u64) -> Self {
        let kib = usize::try_from(octets >> 10).unwrap_or(usize::MAX);
        Self {
            kept: Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS))),
            readers: Semaphore::new(READERS),
        }
    }
}

/// One message.
pub(super) struct Body<'a> {
    memory: &'a Memory,
    mailbox: &'a Mailbox,
    row: &'a Message,
    /// All of it, with its memory; small ones need none.
    whole: Option<(Bytes, Option<OwnedSemaphorePermit>)>,
}

impl<'a> Body<'a> {
    pub(super) fn new(service: &'a ImapService, mailbox: &'a Mailbox, row: &'a Message) -> Self {
        Self {
            memory: &service.fetch_memory,
            mailbox,
            row,
            whole: None,
        }
    }

    /// The first octets of a range, as many as can be had at once; at least one when there are any.
    pub(super) async fn next(&mut self, range: Range<u64>) -> Result<Bytes, Failure> {
        let length = range.end.saturating_sub(range.start);
        // A small part of a large message is read alone.
        let small_part = length < self.row.size && length <= SMALL;
        if self.whole.is_none() && !small_part {
            self.keep().await?;
        }
        match &self.whole {
            Some((whole, _)) => {
                let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(whole.len());
                let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
                Ok(whole.slice(start..end))
            }
            None => {
                self.some(range.start..range.start.saturating_add(length.min(WINDOW)))
                    .await
            }
        }
    }

    /// Reads the message, checked, and keeps it for the items that follow, where there is memory.
    async fn keep(&mut self) -> Result<(), Failure> {
        let memory = if self.row.size > SMALL {
            let kib = u32::try_from((self.row.size >> 10).saturating_add(1)).unwrap_or(u32::MAX);
            match Arc::clone(&self.memory.kept).try_acquire_many_owned(kib) {
                Ok(memory) => Some(memory),
                Err(_) => return Ok(()),
            }
        } else {
            None
        };
        self.whole = Some((self.mailbox.body(self.row).await?, memory));
        Ok(())
    }

    /// These octets, and no more of the message in memory than them.
    pub(super) async fn some(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let _turn = self.turn().await?;
        let length = range.end.saturating_sub(range.start);
        let part = self.mailbox.body_range(self.row, range.start, length).await?;
        // A slice would hold on to the whole.
        Ok(if self.row.size > SMALL {
            Bytes::copy_from_slice(&part)
        } else {
            part
        })
    }

    /// The whole message for somebody who lets go of it before he waits for any client, with his turn.
    pub(super) async fn borrow(&self) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Failure> {
        let turn = self.turn().await?;
        Ok((self.mailbox.body(self.row).await?, turn))
    }

    async fn turn(&self) -> Result<Option<SemaphorePermit<'a>>, Failure> {
        if self.row.size <= SMALL {
            return Ok(None);
        }
        let turn = self.memory.readers.acquire().await;
        turn.map(Some).map_err(|_| Failure::Store(StoreError::Closed))
    }
}
