//! An answer of JSON lines that is written while it is made: a list of any length in bounded memory.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Lines that wait for a slow reader; whoever makes them waits then.
const WAITING: usize = 64;

/// The answer.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

/// Where the lines are told.
pub(super) struct Teller(mpsc::Sender<Bytes>);

/// Nobody listens any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Lines {
    pub(super) fn new() -> (Self, Teller) {
        let (to, from) = mpsc::channel(WAITING);
        (Self(from), Teller(to))
    }
}

impl Teller {
    pub(super) async fn tell(&self, value: &impl serde::Serialize) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).map_err(|_| Gone)?;
        line.push(b'\n');
        self.0.send(Bytes::from(line)).await.map_err(|_| Gone)
    }

    /// Waits until nobody listens any more.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(self)).into_response()
    }
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
