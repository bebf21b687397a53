//! The directory as something that is written: the connector's writer, or a simulated one.

use directory::write::{Answered, Schema, Vocabulary, Write, WriteError, Writer, Written};
use model::BoxFuture;
use std::sync::Arc;

/// Where writes go.
pub(crate) trait Outlet: Send + Sync {
    /// How accounts and groups are said there.
    fn vocabulary(&self) -> &Vocabulary;

    /// What the server's schema knows.
    fn schema(&self) -> BoxFuture<'_, Result<Arc<Schema>, WriteError>>;

    /// One write.
    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Written, WriteError>>;

    /// Many writes of different entries that do not need one another, with an answer for each.
    fn write_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>>;

    /// The same, and each answer is told as soon as it may be.
    fn write_each(&self, writes: Vec<Write>, answered: Answered) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for answer in self.write_all(writes).await.into_iter().enumerate() {
                // Whoever asked may have gone.
                let _ = answered.send(answer);
            }
        })
    }
}

/// The writer of a connector.
pub(super) struct Real(pub(super) Arc<Writer>);

impl Outlet for Real {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn schema(&self) -> BoxFuture<'_, Result<Arc<Schema>, WriteError>> {
        Box::pin(self.0.schema())
    }

    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Written, WriteError>> {
        Box::pin(self.0.write(write, &[]))
    }

    fn write_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        Box::pin(self.0.write_all(writes, &[]))
    }

    fn write_each(&self, writes: Vec<Write>, answered: Answered) -> BoxFuture<'_, ()> {
        Box::pin(self.0.write_each(writes, &[], answered))
    }
}
