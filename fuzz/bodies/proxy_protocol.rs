//! Any bytes as the start of a connection from a load balancer.

use net::proxy_protocol::{Decoded, decode};

/// What is taken does not depend on how much has arrived: nothing shorter is a header, and what follows the
/// header changes nothing. A header always comes to an end.
pub(crate) fn run(data: &[u8]) {
    match decode(data) {
        Decoded::Header(header, len) => {
            assert!(len <= data.len());
            for end in 0..len {
                match decode(&data[..end]) {
                    Decoded::Incomplete(wanted) => assert!(wanted > end && wanted <= len.max(12)),
                    other => panic!("{other:?} after {end} of {len} octets"),
                }
            }
            let longer = [&data[..len], b"a1 LOGOUT\r\n"].concat();
            assert_eq!(decode(&longer), Decoded::Header(header, len));
        }
        Decoded::Incomplete(wanted) => assert!(wanted > data.len() && data.len() < 16 + 4096),
        Decoded::Invalid => assert_eq!(decode(&[data, b"\r\n"].concat()), Decoded::Invalid),
    }
}
