//! Somebody between the two sides of a relay.

use std::borrow::Cow;
use std::fmt;

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
