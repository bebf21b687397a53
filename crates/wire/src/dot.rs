//! Dot-stuffed data: the message inside SMTP's DATA (RFC 5321 section 4.5.2) and POP3's multi-line replies
//! (RFC 1939 section 3).
//!
//! Owns the streaming decoder and encoder, and the decoder for data in chunks (RFC 3030). All keep a few bytes of state, whatever the message's size.
//!
//! Strict about line ends: only CR LF ends a line, and only CR LF `.` CR LF ends the data. A bare LF or CR
//! never does either; that is how SMTP smuggling is made (CVE-2023-51764 and its kin).

/// What becomes of a CR or LF that stands alone inside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareLineEnds {
    /// The data is read to its end and then refused: [`DotDecoder::saw_bare_line_end`] tells.
    Reject,
    /// Each becomes CR LF in what is kept. It still ends neither the data nor, for the meaning of a dot, a line.
    Normalise,
}

impl BareLineEnds {
    fn keep(self, byte: u8, out: &mut Vec<u8>) {
        match self {
            Self::Reject => out.push(byte),
            Self::Normalise => out.extend_from_slice(b"\r\n"),
        }
    }
}

/// How far one call of [`DotDecoder::decode`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All input is taken; the data goes on.
    More,
    /// The final dot was the last of these input bytes; what follows them is the next command.
    Done {
        /// How many bytes of the input belong to the data and its end.
        consumed: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a line.
    LineStart,
    /// A dot opened the line.
    Dot,
    /// A dot, then CR.
    DotCr,
    /// Inside a line.
    Text,
    /// Inside a line, after CR.
    Cr,
    /// After the end.
    Done,
}

/// Reads dot-stuffed data, in pieces of any size.
#[derive(Debug)]
pub struct DotDecoder {
    state: State,
    policy: BareLineEnds,
    bare: bool,
}

impl DotDecoder {
    /// A decoder at the start of the data.
    #[must_use]
    pub const fn new(policy: BareLineEnds) -> Self {
        Self {
            state: State::LineStart,
            policy,
            bare: false,
        }
    }

    /// True once a CR or LF stood alone.
    #[must_use]
    pub const fn saw_bare_line_end(&self) -> bool {
        self.bare
    }

    /// Takes a piece of input and appends what it means to `out`, at most twice its length plus three.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.state == State::Text {
                // The common case: copy all up to the next line end at once.
                let run = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                let (text, more) = rest
                    .split_at_checked(run.unwrap_or(rest.len()))
                    .unwrap_or((rest, &[]));
                if !text.is_empty() {
                    out.extend_from_slice(text);
                    rest = more;
                    continue;
                }
            }
            rest = tail;
            self.step(byte, out);
            if self.state == State::Done {
                return Progress::Done {
                    consumed: input.len() - rest.len(),
                };
            }
        }
        Progress::More
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, byte) {
            (State::LineStart, b'.') => State::Dot,
            (State::Dot, b'\r') => State::DotCr,
            (State::DotCr, b'\n') | (State::Done, _) => State::Done,
            (State::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                State::LineStart
            }
            // The CR before this byte stood alone. The dot before it was stuffing: a first dot with anything
            // but CR LF after it is dropped (RFC 5321 section 4.5.2).
            (State::Cr | State::DotCr, _) => {
                self.bare_line_end(b'\r', out);
                self.text(byte, out)
            }
            (State::LineStart | State::Dot | State::Text, _) => self.text(byte, out),
        };
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            b'\r' => return State::Cr,
            b'\n' => self.bare_line_end(b'\n', out),
            other => out.push(other),
        }
        State::Text
    }

    fn bare_line_end(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.bare = true;
        self.policy.keep(byte, out);
    }
}

/// Reads data that comes in chunks of a known size (RFC 3030): there are no dots and no end to look for, but the
/// line ends of text are judged as those of dot-stuffed data are.
#[derive(Debug)]
pub struct ChunkDecoder {
    policy: Option<BareLineEnds>,
    bare: bool,
    cr: bool,
}

impl ChunkDecoder {
    /// A decoder for text.
    #[must_use]
    pub const fn text(policy: BareLineEnds) -> Self {
        Self {
            policy: Some(policy),
            bare: false,
            cr: false,
        }
    }

    /// A decoder for binary data (RFC 3030 section 3), where CR and LF mean nothing.
    #[must_use]
    pub const fn binary() -> Self {
        Self {
            policy: None,
            bare: false,
            cr: false,
        }
    }

    /// True once a CR or LF of text stood alone.
    #[must_use]
    pub const fn saw_bare_line_end(&self) -> bool {
        self.bare
    }

    /// Takes a piece and appends what it means to `out`, at most twice its length plus two.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(policy) = self.policy else {
            out.extend_from_slice(input);
            return;
        };
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            match (std::mem::take(&mut self.cr), byte) {
                (true, b'\n') => out.extend_from_slice(b"\r\n"),
                // The CR before this octet stood alone; the octet is judged again.
                (true, _) => {
                    self.bare_line_end(policy, b'\r', out);
                    continue;
                }
                (false, b'\r') => self.cr = true,
                (false, b'\n') => self.bare_line_end(policy, b'\n', out),
                (false, _) => {
                    let run = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let (text, more) = rest
                        .split_at_checked(run.unwrap_or(rest.len()))
                        .unwrap_or((rest, &[]));
                    out.extend_from_slice(text);
                    rest = more;
                    continue;
                }
            }
            rest = tail;
        }
    }

    /// The last chunk has been read.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let (true, Some(policy)) = (std::mem::take(&mut self.cr), self.policy) {
            self.bare_line_end(policy, b'\r', out);
        }
    }

    fn bare_line_end(&mut self, policy: BareLineEnds, byte: u8, out: &mut Vec<u8>) {
        self.bare = true;
        policy.keep(byte, out);
    }
}

/// Writes dot-stuffed data. Whatever the input, no bare CR or LF leaves it: each becomes CR LF, so that
/// nothing that we send can smuggle.
#[derive(Debug)]
pub struct DotEncoder {
    state: State,
}

impl Default for DotEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DotEncoder {
    /// An encoder at the start of the data.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::LineStart,
        }
    }

    /// Takes a piece of the message and appends its stuffed form to `out`.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len());
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.state == State::Cr {
                // Either the LF of CR LF, or a bare CR that becomes one.
                out.extend_from_slice(b"\r\n");
                self.state = State::LineStart;
                if byte == b'\n' {
                    rest = tail;
                }
                continue;
            }
            match byte {
                b'\r' => {
                    self.state = State::Cr;
                    rest = tail;
                }
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.state = State::LineStart;
                    rest = tail;
                }
                first => {
                    if self.state == State::LineStart && first == b'.' {
                        out.push(b'.');
                    }
                    let run = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let (text, more) = rest
                        .split_at_checked(run.unwrap_or(rest.len()))
                        .unwrap_or((rest, &[]));
                    out.extend_from_slice(text);
                    self.state = State::Text;
                    rest = more;
                }
            }
        }
    }

    /// Ends the last line if it is open, then the data.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.state != State::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes in pieces of `step` bytes; gives the message, the rest, and whether a line end stood alone.
    fn decode(policy: BareLineEnds, wire: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>, bool)> {
        let mut decoder = DotDecoder::new(policy);
        let mut out = Vec::new();
        let mut taken = 0;
        for piece in wire.chunks(step) {
            if let Progress::Done { consumed } = decoder.decode(piece, &mut out) {
                taken += consumed;
                return Some((out, wire[taken..].to_vec(), decoder.saw_bare_line_end()));
            }
            taken += piece.len();
        }
        None
    }

    #[test]
    fn rfc5321_4_5_2() {
        for (wire, message, rest) in [
            ("a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"),
            (".\r\n", "", ""),
            ("..\r\n.\r\n", ".\r\n", ""),
            ("..a\r\n.b\r\n.\r\n", ".a\r\nb\r\n", ""),
            ("a.\r\n.\r\n", "a.\r\n", ""),
            ("\r\n\r\n.\r\n", "\r\n\r\n", ""),
        ] {
            for step in 1..8 {
                let got = decode(BareLineEnds::Reject, wire.as_bytes(), step);
                assert_eq!(
                    got,
                    Some((message.as_bytes().to_vec(), rest.as_bytes().to_vec(), false)),
                    "{wire:?} in pieces of {step}"
                );
            }
        }
    }

    #[test]
    fn smuggling_never_ends_the_data() {
        for ending in [
            "\n.\n",
            "\r.\r",
            "\n.\r\n",
            "\r.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\n\n.\r\n",
            "\r\n\0.\r\n",
            "\r\n.\r\r\n",
        ] {
            for policy in [BareLineEnds::Reject, BareLineEnds::Normalise] {
                let wire = format!("a{ending}MAIL FROM:<x@y.test>\r\nb\r\n.\r\n");
                let (message, rest, bare) =
                    decode(policy, wire.as_bytes(), 3).expect("it ends at the last dot");
                let message = String::from_utf8(message).expect("text");
                assert!(message.contains("MAIL FROM"), "{ending:?}");
                assert!(rest.is_empty(), "{ending:?}");
                assert_eq!(bare, !ending.contains('\0'), "{ending:?}");
                if policy == BareLineEnds::Normalise {
                    assert!(!message.replace("\r\n", "").contains(['\r', '\n']), "{message:?}");
                }
            }
        }
    }

    /// RFC 3030 section 2: the size alone says where a chunk ends.
    #[test]
    fn chunks_of_text_and_of_binary_data() {
        for (wire, message, bare) in [
            ("a\r\n.\r\nb", "a\r\n.\r\nb", false),
            ("..a\r\n", "..a\r\n", false),
            ("a\nb", "a\r\nb", true),
            ("a\rb\r", "a\r\nb\r\n", true),
            ("a\r\r\nb\r\r", "a\r\n\r\nb\r\n\r\n", true),
            ("", "", false),
        ] {
            for step in 1..8 {
                for (mut decoder, wanted, seen) in [
                    (ChunkDecoder::text(BareLineEnds::Normalise), message, bare),
                    (ChunkDecoder::text(BareLineEnds::Reject), wire, bare),
                    (ChunkDecoder::binary(), wire, false),
                ] {
                    let mut out = Vec::new();
                    for piece in wire.as_bytes().chunks(step) {
                        decoder.decode(piece, &mut out);
                    }
                    decoder.finish(&mut out);
                    let out = String::from_utf8(out).expect("text");
                    assert_eq!(
                        (out.as_str(), decoder.saw_bare_line_end()),
                        (wanted, seen),
                        "{wire:?} {step}"
                    );
                }
            }
        }
    }

    #[test]
    fn encodes_every_dot_and_every_bare_line_end() {
        for (message, wire) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\n.\r\n", "a\r\n..\r\n.\r\n"),
            ("\r\r\n", "\r\n\r\n.\r\n"),
        ] {
            let mut out = Vec::new();
            let mut encoder = DotEncoder::new();
            for byte in message.as_bytes() {
                encoder.encode(&[*byte], &mut out);
            }
            encoder.finish(&mut out);
            assert_eq!(String::from_utf8(out).expect("text"), wire, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(lines in proptest::collection::vec("[.a\u{fc}]{0,5}", 0..8), step in 1usize..9) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut wire = Vec::new();
            let mut encoder = DotEncoder::new();
            for piece in message.as_bytes().chunks(step) {
                encoder.encode(piece, &mut wire);
            }
            encoder.finish(&mut wire);
            wire.extend_from_slice(b"NOOP");
            let got = decode(BareLineEnds::Reject, &wire, step);
            prop_assert_eq!(got, Some((message.into_bytes(), b"NOOP".to_vec(), false)));
        }

        /// Anything we decode and send on again arrives as one message with the same text.
        #[test]
        fn relayed_data_never_smuggles(junk in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..40)) {
            let mut wire = junk;
            wire.extend_from_slice(b"\r\n.\r\n");
            let Some((message, _, _)) = decode(BareLineEnds::Normalise, &wire, 7) else { panic!("no end") };
            let mut again = Vec::new();
            let mut encoder = DotEncoder::new();
            encoder.encode(&message, &mut again);
            encoder.finish(&mut again);
            let back = decode(BareLineEnds::Reject, &again, 5);
            prop_assert_eq!(back, Some((message, Vec::new(), false)));
        }
    }
}
