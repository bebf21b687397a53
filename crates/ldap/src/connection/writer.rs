//! The writer task: requests and abandons onto the wire, in order.

use super::CloseReason;
use super::inner::{Abandoned, Inner};
use crate::message::{Request, encode_request};
use bytes::{Bytes, BytesMut};
use net::Connection;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How many encoded requests wait for the writer.
pub(super) const QUEUE: usize = 64;

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a failed write waits for the reader to find a better reason.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A buffer that grew larger for one batch is given back.
const KEPT_BUFFER: usize = 64 * 1024;

pub(super) struct Writer {
    pub(super) stream: WriteHalf<Connection>,
    pub(super) requests: mpsc::Receiver<Bytes>,
    pub(super) abandoned: mpsc::UnboundedReceiver<Abandoned>,
    pub(super) inner: Arc<Inner>,
    /// How long one batch may take.
    pub(super) limit: Duration,
}

impl Writer {
    /// Writes until the connection is closed, then says goodbye.
    pub(super) async fn run(mut self) {
        let inner = self.inner.clone();
        // Set while a batch is under way: a message may then stand on the wire in part, and nothing can follow.
        let mut torn = false;
        tokio::select! {
            reason = self.write_batches(&mut torn) => {
                // A server that closes often says why before it does, and the reader is about to find it.
                let _ = timeout(LAST_WORDS, inner.closed()).await;
                inner.close(reason);
            }
            _ = inner.closed() => {}
        }
        let farewell = async {
            if !torn && matches!(inner.close_reason(), CloseReason::Local) {
                // RFC 4511 section 4.3.
                let mut out = BytesMut::new();
                encode_request(inner.fresh_id(), &Request::Unbind, &[], &mut out);
                self.stream.write_all(&out).await?;
            }
            self.stream.shutdown().await
        };
        // The connection is over whether or not the server hears it.
        let _: Result<io::Result<()>, _> = timeout(FAREWELL, farewell).await;
    }

    async fn write_batches(&mut self, torn: &mut bool) -> CloseReason {
        let mut out = BytesMut::new();
        let mut given_up = Vec::new();
        loop {
            tokio::select! {
                Some(gone) = self.abandoned.recv() => given_up.push(gone),
                Some(request) = self.requests.recv() => out.extend_from_slice(&request),
                else => return CloseReason::Local,
            }
            // An abandon comes after its request: that was in the queue before the abandon was, so the abandons
            // are taken first, then as many requests as the queue holds, and written the other way round.
            while let Ok(gone) = self.abandoned.try_recv() {
                given_up.push(gone);
            }
            for _ in 0..QUEUE {
                let Ok(request) = self.requests.try_recv() else {
                    break;
                };
                out.extend_from_slice(&request);
            }
            for gone in &given_up {
                encode_request(self.inner.fresh_id(), &Request::Abandon(gone.id), &[], &mut out);
            }
            *torn = true;
            let written = timeout(self.limit, async {
                self.stream.write_all(&out).await?;
                self.stream.flush().await
            });
            match written.await {
                Ok(Ok(())) => *torn = false,
                Ok(Err(error)) => return error.into(),
                Err(_) => return CloseReason::Unresponsive(self.limit),
            }
            given_up.clear();
            out.clear();
            if out.capacity() > KEPT_BUFFER {
                out = BytesMut::new();
            }
        }
    }
}
