//! Trace identifiers, and randomness for exchanges.

use model::TraceId;

/// A new random trace identifier. Should the system have no randomness, sessions share the identifier zero:
/// a trace is for reading logs, not for secrets.
#[must_use]
pub fn new_trace_id() -> TraceId {
    TraceId::new(getrandom::u64().unwrap_or_default())
}

/// Fresh randomness, for what has to be new each time.
pub fn fresh_random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(std::io::Error::other)?;
    Ok(octets)
}

/// The same for one login, where none means that it cannot go on.
pub fn fresh_nonce<const N: usize>() -> Option<[u8; N]> {
    fresh_random()
        .inspect_err(|error| tracing::error!(%error, "no randomness for a login"))
        .ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn differ() {
        assert_ne!(super::new_trace_id(), super::new_trace_id());
    }
}
