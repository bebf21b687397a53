//! Somebody between the two sides of a relay.

use super::{Fault, Order, Pipes, Side};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Sees what a relay moves, and decides what arrives.
pub trait Watch: fmt::Debug + Send + Sync {
    /// Takes what the client says; what the home is to get is appended. A refusal ends the session, and is said again at
    /// every later call.
    fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str>;

    /// Whether the client is not to be heard before the home has said something. What it has said already is held back
    /// until the next call of [`Watch::up`] after that.
    fn waits(&self) -> bool;

    /// Takes what the home says; what the client is to get of it.
    fn down<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]>;
}

/// Which of the two directions, and what both share.
pub(super) struct Way<'a> {
    pub(super) side: Side,
    pub(super) order: Order,
    pub(super) pipes: &'a Arc<Pipes>,
    pub(super) watch: &'a mut Option<Box<dyn Watch>>,
}

impl Way<'_> {
    /// Takes what was read; what the sink is to get.
    pub(super) fn pass<'a>(&mut self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, Fault> {
        match (&mut self.watch, self.side) {
            (None, _) => Ok(Cow::Borrowed(bytes)),
            (Some(watch), Side::Home) => Ok(watch.down(bytes)),
            (Some(watch), Side::Client) => {
                let mut out = Vec::new();
                watch.up(bytes, &mut out).map_err(Fault::Refused)?;
                Ok(Cow::Owned(out))
            }
        }
    }

    /// What was held back, and may go now; none while the source must not be heard.
    pub(super) fn released(&mut self) -> Result<Option<Bytes>, Fault> {
        match (&mut self.watch, self.side) {
            (Some(watch), Side::Client) => {
                let mut out = Vec::new();
                watch.up(&[], &mut out).map_err(Fault::Refused)?;
                Ok((!out.is_empty() || !watch.waits()).then_some(out.into()))
            }
            _ => Ok(Some(Bytes::new())),
        }
    }
}
