//! What one front end tells another.

use super::{BOUNDS, Logout};

/// Octets of one logout among others.
const RECORD: usize = 40;
/// The longest text that is taken from another front end.
pub(in crate::http) const MAX_TEXT: usize = 1 + BOUNDS.all * RECORD;

/// Logouts on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Tidings {
    /// Whether everything is wanted back.
    pub(in crate::http) wants_all: bool,
    pub(in crate::http) logouts: Vec<Logout>,
}

impl Tidings {
    pub(in crate::http) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(1 + self.logouts.len() * RECORD);
        text.push(u8::from(self.wants_all));
        for logout in &self.logouts {
            text.extend_from_slice(&logout.ticket);
            text.extend_from_slice(&logout.owner);
            text.extend_from_slice(&logout.given_up.to_be_bytes());
            text.extend_from_slice(&logout.expires.to_be_bytes());
        }
        text
    }

    pub(in crate::http) fn decode(text: &[u8]) -> Option<Self> {
        let (flag, mut rest) = text.split_first()?;
        let mut logouts = Vec::with_capacity(rest.len() / RECORD);
        while !rest.is_empty() {
            let (ticket, tail) = rest.split_first_chunk::<16>()?;
            let (owner, tail) = tail.split_first_chunk::<8>()?;
            let (given_up, tail) = tail.split_first_chunk::<8>()?;
            let (expires, tail) = tail.split_first_chunk::<8>()?;
            logouts.push(Logout {
                ticket: *ticket,
                owner: *owner,
                given_up: u64::from_be_bytes(*given_up),
                expires: u64::from_be_bytes(*expires),
            });
            rest = tail;
        }
        (*flag <= 1).then_some(Self {
            wants_all: *flag == 1,
            logouts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_decoded_as_it_would_be_written_or_refused(text: Vec<u8>) {
            if let Some(tidings) = Tidings::decode(&text) {
                prop_assert_eq!(tidings.encode(), text);
            }
        }

        #[test]
        fn tidings_arrive(wants_all: bool, all: Vec<([u8; 16], [u8; 8], u64, u64)>) {
            let logouts = all.into_iter().map(|(ticket, owner, given_up, expires)| Logout {
                ticket,
                owner,
                given_up,
                expires,
            });
            let tidings = Tidings { wants_all, logouts: logouts.collect() };
            prop_assert_eq!(Tidings::decode(&tidings.encode()), Some(tidings));
        }
    }
}
