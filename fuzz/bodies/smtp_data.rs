//! Any bytes as dot-stuffed data, in pieces.

use wire::dot::{BareLineEnds, DotDecoder, DotEncoder, Progress};

/// The end does not depend on the pieces, only CR LF `.` CR LF is one, and what was read can be sent on and is
/// read as the same.
pub(crate) fn run(data: &[u8]) {
    for policy in [BareLineEnds::Reject, BareLineEnds::Normalise] {
        let whole = decode(policy, data, data.len().max(1));
        assert_eq!(decode(policy, data, 1), whole);
        assert_eq!(decode(policy, data, 3), whole);
        let Some((message, end)) = whole else {
            assert!(!data.windows(5).any(|window| window == b"\r\n.\r\n") && !data.starts_with(b".\r\n"));
            continue;
        };
        assert!(data[..end].ends_with(b"\r\n.\r\n") || end == 3);
        assert!(!data[..end - 1].windows(5).any(|window| window == b"\r\n.\r\n"));
        if policy == BareLineEnds::Normalise {
            let mut wire = Vec::new();
            let mut encoder = DotEncoder::new();
            encoder.encode(&message, &mut wire);
            encoder.finish(&mut wire);
            assert_eq!(
                decode(BareLineEnds::Reject, &wire, 2),
                Some((message, wire.len()))
            );
        }
    }
}

fn decode(policy: BareLineEnds, data: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = DotDecoder::new(policy);
    let mut out = Vec::new();
    let mut taken = 0;
    for piece in data.chunks(step) {
        match decoder.decode(piece, &mut out) {
            Progress::Done { consumed } => return Some((out, taken + consumed)),
            Progress::More => taken += piece.len(),
        }
    }
    None
}
