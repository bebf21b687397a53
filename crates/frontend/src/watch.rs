//! The guards of homes that know UNAUTHENTICATE, as the relay sees them.
//!
//! With every other home the relay copies octets, and nobody reads them.

use net::Watch;
use std::borrow::Cow;
use wire::imap::Breach;
use wire::{imap, managesieve};

/// By this the home would let the client log in again, past us: RFC 8437, RFC 5804 section 2.14.1.
pub(crate) const UNAUTHENTICATE: &str = "UNAUTHENTICATE";

/// A guard, and why it lets nothing through any more.
#[derive(Debug)]
struct Watched<G> {
    guard: G,
    breach: Option<Breach>,
}

/// For a session of IMAP.
pub(crate) fn imap() -> Box<dyn Watch> {
    let guard = imap::Guard::default();
    Box::new(Watched { guard, breach: None })
}

/// For a session of ManageSieve.
pub(crate) fn managesieve() -> Box<dyn Watch> {
    let guard = managesieve::Guard::default();
    Box::new(Watched { guard, breach: None })
}

/// Capabilities of an IMAP home, without what its guard keeps from it.
pub(crate) fn for_clients(capabilities: Vec<String>) -> Vec<String> {
    let hidden = |word: &String| {
        let (name, _) = word.split_once('=').unwrap_or((word, ""));
        name.eq_ignore_ascii_case(UNAUTHENTICATE) || name.eq_ignore_ascii_case("COMPRESS")
    };
    capabilities.into_iter().filter(|word| !hidden(word)).collect()
}

impl<G> Watched<G> {
    fn judge(
        &mut self,
        out: &mut Vec<u8>,
        up: impl FnOnce(&mut G, &mut Vec<u8>) -> Result<(), Breach>,
    ) -> Result<(), &'static str> {
        if self.breach.is_none() {
            self.breach = up(&mut self.guard, out).err();
        }
        self.breach.map_or(Ok(()), |breach| Err(breach.why()))
    }
}

impl Watch for Watched<imap::Guard> {
    fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.judge(out, |guard, out| guard.up(bytes, out))
    }

    fn waits(&self) -> bool {
        self.guard.waits()
    }

    fn down<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.guard.down(bytes)
    }
}

impl Watch for Watched<managesieve::Guard> {
    fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.judge(out, |guard, out| guard.up(bytes, out))
    }

    fn waits(&self) -> bool {
        false
    }

    fn down<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(bytes)
    }
}
