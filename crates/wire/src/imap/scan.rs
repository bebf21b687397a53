//! The lexical layer: a cursor over one assembled command or response (RFC 3501 section 9).

use super::literal::literal_at_end_of_line;
use std::borrow::Cow;

/// Why bytes are not what the grammar wants. The texts are fixed, so they can be shown to the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at octet {at}")]
pub struct Malformed {
    /// Offset into the assembled command.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

/// A cursor. Every method either consumes what it names or reports what it wanted.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
}

/// `atom-specials` and CTL are out; what remains is ATOM-CHAR.
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(crate) fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// `list-char = ATOM-CHAR / list-wildcards / resp-specials`
pub(crate) fn is_list_char(byte: u8) -> bool {
    is_astring_char(byte) || byte == b'%' || byte == b'*'
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.input.len()
    }

    pub(crate) fn fail<T>(&self, expected: &'static str) -> Result<T, Malformed> {
        Err(Malformed {
            at: self.at,
            expected,
        })
    }

    /// Consumes the byte when it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Consumes the text, without regard to ASCII case, when it is next.
    pub(crate) fn eat_text(&mut self, text: &str) -> bool {
        let found = self
            .rest()
            .get(..text.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()));
        if found {
            self.at += text.len();
        }
        found
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.eat(byte) {
            Ok(())
        } else {
            self.fail(expected)
        }
    }

    pub(crate) fn space(&mut self) -> Result<(), Malformed> {
        self.expect(b' ', "a space")
    }

    /// The end of the command. Blanks before it are forgiven: several clients send them.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.take_while(|byte| byte == b' ');
        if self.is_end() {
            Ok(())
        } else {
            self.fail("the end of the line")
        }
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// One or more bytes of a class. The class must be a part of ASCII.
    pub(crate) fn word(
        &mut self,
        wanted: impl Fn(u8) -> bool,
        expected: &'static str,
    ) -> Result<&'a str, Malformed> {
        let start = self.clone();
        let word = self.take_while(wanted);
        match std::str::from_utf8(word) {
            Ok(word) if !word.is_empty() => Ok(word),
            _ => {
                *self = start;
                self.fail(expected)
            }
        }
    }

    pub(crate) fn atom(&mut self) -> Result<&'a str, Malformed> {
        self.word(is_atom_char, "an atom")
    }

    /// A number of at most 32 bits.
    pub(crate) fn number(&mut self) -> Result<u32, Malformed> {
        let start = self.clone();
        match u32::try_from(self.number64()?) {
            Ok(number) => Ok(number),
            Err(_) => start.fail("a number of 32 bits"),
        }
    }

    /// A number of at most 63 bits (RFC 9051 section 9, `number64`).
    pub(crate) fn number64(&mut self) -> Result<u64, Malformed> {
        let start = self.clone();
        let digits = self.word(|byte| byte.is_ascii_digit(), "a number")?;
        match digits.parse::<u64>() {
            Ok(number) if number <= i64::MAX as u64 => Ok(number),
            _ => start.fail("a number of 63 bits"),
        }
    }

    pub(crate) fn nz_number(&mut self) -> Result<u32, Malformed> {
        let start = self.clone();
        match self.number()? {
            0 => start.fail("a number above zero"),
            number => Ok(number),
        }
    }

    /// `quoted`, after which the cursor stands behind the closing quote.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.expect(b'"', "a quoted string")?;
        let plain = self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut value = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(value));
                }
                Some(b'\\') => {
                    self.at += 1;
                    // RFC 3501 section 9: only a quote or a backslash may be escaped.
                    match self.peek() {
                        Some(byte @ (b'"' | b'\\')) => {
                            self.at += 1;
                            value.push(byte);
                        }
                        _ => return self.fail("a quote or a backslash after the backslash"),
                    }
                }
                None | Some(b'\r' | b'\n' | 0) => return self.fail("the closing quote"),
                Some(_) => {
                    value.extend_from_slice(
                        self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0)),
                    );
                }
            }
        }
    }

    /// A literal whose data was spliced in behind its header by the assembler.
    fn literal(&mut self) -> Result<&'a [u8], Malformed> {
        let rest = self.rest();
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n");
        let header = line_end.and_then(|end| rest.get(..end));
        let Some(literal) = header.and_then(literal_at_end_of_line) else {
            return self.fail("a literal");
        };
        if header.map(<[u8]>::len) != Some(literal.header_len) {
            return self.fail("a literal");
        }
        let start = literal.header_len + 2;
        let data = usize::try_from(literal.size)
            .ok()
            .and_then(|size| start.checked_add(size))
            .and_then(|end| rest.get(start..end));
        match data {
            Some(data) => {
                self.at += start + data.len();
                Ok(data)
            }
            None => self.fail("the whole literal"),
        }
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            // `~{n}`; a tilde alone begins an atom.
            Some(b'~') if self.rest().starts_with(b"~{") => self.literal().map(Cow::Borrowed),
            _ => self.fail("a string"),
        }
    }

    pub(crate) fn astring(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.string_or(is_astring_char, "an atom or a string")
    }

    /// `list-mailbox`
    pub(crate) fn list_mailbox(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.string_or(is_list_char, "a mailbox pattern")
    }

    fn string_or(
        &mut self,
        wanted: fn(u8) -> bool,
        expected: &'static str,
    ) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            Some(b'~') if self.rest().starts_with(b"~{") => self.string(),
            _ => self
                .word(wanted, expected)
                .map(|word| Cow::Borrowed(word.as_bytes())),
        }
    }

    /// `nstring`: none for NIL.
    pub(crate) fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, Malformed> {
        if self.eat_text("NIL") {
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// `"(" item *(SP item) ")"`, or `"()"` where the grammar at hand allows an empty list.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.expect(b'(', "an opening parenthesis")?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.space()?;
        }
    }
}
