//! Address lists (RFC 5322 section 3.4, and the obsolete forms of section 4.4), leniently.

use model::EnvelopeAddress;

/// Addresses of one field that are kept.
const ADDRESSES: usize = 1000;

/// Reads a list. Groups come as the pair of markers that ENVELOPE wants.
pub(super) fn list(value: &[u8]) -> Vec<EnvelopeAddress> {
    let mut scan = Scan {
        rest: value,
        words: Vec::new(),
        spec: Vec::new(),
        comment: None,
        angle: None,
        out: Vec::new(),
        group: false,
    };
    while scan.out.len() < ADDRESSES && scan.step() {}
    scan.end_address();
    if scan.group {
        scan.out.push(EnvelopeAddress::default());
    }
    scan.out
}

struct Scan<'a> {
    rest: &'a [u8],
    /// Words in front of `<`, or of a group's `:`.
    words: Vec<Vec<u8>>,
    /// The same octets read as an addr-spec: no white space, quotes taken off.
    spec: Vec<u8>,
    /// The last comment: the old form of a display name.
    comment: Option<Vec<u8>>,
    angle: Option<Vec<u8>>,
    out: Vec<EnvelopeAddress>,
    group: bool,
}

impl Scan<'_> {
    fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Consumes one token; false at the end.
    fn step(&mut self) -> bool {
        let Some(byte) = self.bump() else { return false };
        match byte {
            b' ' | b'\t' => {}
            b',' => self.end_address(),
            b':' => self.start_group(),
            b';' => {
                self.end_address();
                if std::mem::take(&mut self.group) {
                    self.out.push(EnvelopeAddress::default());
                }
            }
            b'(' => self.comment = Some(self.comment_text()),
            b'"' => {
                let text = self.quoted();
                self.spec.extend_from_slice(&text);
                self.words.push(text);
            }
            b'<' => self.angle = Some(self.angle_text()),
            other => {
                let mut word = vec![other];
                while let Some(next) = self.rest.first().copied().filter(|byte| is_word(*byte)) {
                    word.push(next);
                    self.bump();
                }
                self.spec.extend_from_slice(&word);
                self.words.push(word);
            }
        }
        true
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(byte) = self.bump() {
            match byte {
                b'"' => break,
                b'\\' => text.extend(self.bump()),
                other => text.push(other),
            }
        }
        text
    }

    fn comment_text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 1usize;
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => text.extend(self.bump()),
                b'(' => {
                    depth += 1;
                    text.push(byte);
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    text.push(byte);
                }
                other => text.push(other),
            }
        }
        text
    }

    /// The addr-spec between `<` and `>`, without a route (`@a,@b:`).
    fn angle_text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(byte) = self.bump() {
            match byte {
                b'>' => break,
                b'"' => text.extend(self.quoted()),
                b'(' => drop(self.comment_text()),
                b':' if text.first() == Some(&b'@') => text.clear(),
                b' ' | b'\t' => {}
                other => text.push(other),
            }
        }
        text
    }

    fn start_group(&mut self) {
        if self.group {
            // No groups in groups: the colon was a stray one.
            self.end_address();
            return;
        }
        let name = self.words.join(&b' ');
        self.words.clear();
        self.spec.clear();
        self.comment = None;
        self.group = true;
        self.out.push(EnvelopeAddress {
            name: None,
            mailbox: Some(name),
            host: None,
        });
    }

    fn end_address(&mut self) {
        let words = std::mem::take(&mut self.words);
        let spec = std::mem::take(&mut self.spec);
        let comment = self.comment.take();
        let (name, spec) = match self.angle.take() {
            Some(angle) => (
                Some(words.join(&b' '))
                    .filter(|name| !name.is_empty())
                    .or(comment),
                angle,
            ),
            None if spec.is_empty() => return,
            None => (comment, spec),
        };
        let at = spec.iter().rposition(|byte| *byte == b'@');
        let (mailbox, host) = match at {
            Some(at) => (
                spec.get(..at).unwrap_or_default(),
                spec.get(at + 1..).unwrap_or_default(),
            ),
            // A missing host must not be NIL, which would mean a group.
            None => (spec.as_slice(), &b""[..]),
        };
        self.out.push(EnvelopeAddress {
            name,
            mailbox: Some(mailbox.to_vec()),
            host: Some(host.to_vec()),
        });
    }
}

fn is_word(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b',' | b':' | b';' | b'(' | b'"' | b'<')
}
