//! Any bytes as dot-stuffed data, in pieces.

use wire::dot::{BareLineEnds, ChunkDecoder, DotDecoder, DotEncoder, Progress};

/// The end does not depend on the pieces, only CR LF `.` CR LF is one, and what was read can be sent on and is
/// read as the same.
pub(crate) fn run(data: &[u8]) {
    chunks(data);
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

/// The same data in chunks: no octet is lost, and normalised text has no line end that stands alone.
fn chunks(data: &[u8]) {
    let read = |mut decoder: ChunkDecoder, step: usize| {
        let mut out = Vec::new();
        for piece in data.chunks(step) {
            decoder.decode(piece, &mut out);
        }
        decoder.finish(&mut out);
        out
    };
    assert_eq!(read(ChunkDecoder::binary(), 3), data);
    assert_eq!(read(ChunkDecoder::text(BareLineEnds::Reject), 3), data);
    let text = read(ChunkDecoder::text(BareLineEnds::Normalise), data.len().max(1));
    assert_eq!(read(ChunkDecoder::text(BareLineEnds::Normalise), 1), text);
    let bare = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    let ends = text.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(bare(&text), ends * 2);
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
