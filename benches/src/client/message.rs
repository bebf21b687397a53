//! The message that is delivered, a different one each time.

/// A message of a given size with a place for a number, so that no server takes two for the same one.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    number_at: usize,
}

/// Hexadecimal digits of the number.
const DIGITS: usize = 32;

impl Message {
    /// A plain text message of `size` bytes (at least its header).
    pub(crate) fn new(size: usize) -> Self {
        let mut text = String::from(
            "From: Load <load@bench.test>\r\nTo: Somebody <somebody@bench.test>\r\n\
             Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nSubject: A message of the load generator\r\nMessage-ID: <",
        );
        let number_at = text.len();
        text.push_str(&"0".repeat(DIGITS));
        text.push_str(
            "@bench.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
        );
        let line = "The quick brown fox jumps over the lazy dog, and nobody ever asked the dog.\r\n";
        while text.len() + line.len() <= size {
            text.push_str(line);
        }
        if text.len() + 2 <= size {
            text.push_str(&"x".repeat(size - text.len() - 2));
            text.push_str("\r\n");
        }
        Self {
            bytes: text.into_bytes(),
            number_at,
        }
    }

    /// The message with this number in it.
    pub(crate) fn numbered(&mut self, round: u64, worker: usize, serial: u64) -> &[u8] {
        let number = format!("{round:010x}{worker:06x}{serial:016x}");
        let place = self.number_at..self.number_at + DIGITS;
        if let Some(place) = self.bytes.get_mut(place) {
            place.copy_from_slice(number.as_bytes().get(..DIGITS).unwrap_or(place_holder()));
        }
        &self.bytes
    }
}

fn place_holder() -> &'static [u8] {
    &[b'f'; DIGITS]
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn a_message_has_its_size_and_its_number() {
        for size in [1000, 4096, 1 << 20] {
            let mut message = Message::new(size);
            let first = message.numbered(1, 2, 3).to_vec();
            assert!(first.len() <= size && first.len() + 2 > size, "{}", first.len());
            assert!(first.ends_with(b"\r\n") && !first.windows(3).any(|three| three == b"\n.\r"));
            assert_ne!(first, message.numbered(1, 2, 4));
        }
    }
}
