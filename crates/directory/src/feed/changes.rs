//! The receiving end of a poll, with back-pressure: a slow consumer slows the reading of the socket.

use super::limited::Meter;
use super::{FeedError, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Steps that may wait for the consumer.
const QUEUE: usize = 4;

/// The steps of one poll.
#[derive(Debug)]
pub struct Changes {
    receiver: mpsc::Receiver<Result<Step, FeedError>>,
    reader: Option<JoinHandle<()>>,
    meter: Meter,
    ended: bool,
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct ChangesSender(mpsc::Sender<Result<Step, FeedError>>);

impl Changes {
    /// A pair of ends, for a source.
    #[must_use]
    pub fn channel() -> (ChangesSender, Self) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let changes = Self {
            receiver,
            reader: None,
            meter: Meter::default(),
            ended: false,
        };
        (ChangesSender(sender), changes)
    }

    /// Starts `read` as a task that is ended when this value is dropped.
    pub(super) fn read_by<F>(read: impl FnOnce(ChangesSender) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, mut changes) = Self::channel();
        changes.reader = Some(tokio::spawn(read(sender)));
        changes
    }

    /// The same with a limit.
    pub(super) fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// The next step; nothing after [`Step::Done`] or an error. A source that vanished is an error, never an
    /// end.
    pub async fn next(&mut self) -> Option<Result<Step, FeedError>> {
        if self.ended {
            return None;
        }
        let step = self.receiver.recv().await.unwrap_or_else(|| {
            let message = "the reader of the feed stopped".to_owned();
            Err(FeedError::Unavailable(model::Unavailable(message)))
        });
        let step = match step {
            Ok(Step::Changes(changes)) => self.meter.count(&changes).map(|()| Step::Changes(changes)),
            other => other,
        };
        self.ended = !matches!(step, Ok(Step::Changes(_)));
        Some(step)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl ChangesSender {
    /// Hands a step over, waiting for room; false when nobody reads any more.
    pub async fn send(&self, step: Result<Step, FeedError>) -> bool {
        self.0.send(step).await.is_ok()
    }
}
