//! Trace identifiers.

use model::TraceId;

/// A new random trace identifier. Should the system have no randomness, sessions share the identifier zero:
/// a trace is for reading logs, not for secrets.
#[must_use]
pub fn new_trace_id() -> TraceId {
    TraceId::new(getrandom::u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn differ() {
        assert_ne!(super::new_trace_id(), super::new_trace_id());
    }
}
