//! Content-Type, Content-Disposition and their parameters (RFC 2045 section 5.1, RFC 2183).
//!
//! Extended parameters (RFC 2231) stay as they are written: clients decode them.

/// Parameters that are kept, and octets of each.
const PARAMS: usize = 64;
const VALUE: usize = 4096;

/// A value with parameters.
pub(super) type Params = Vec<(Vec<u8>, Vec<u8>)>;

/// `type/subtype; name=value`. None when there is no valid type.
pub(super) fn content_type(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Params)> {
    let mut scan = Scan(value);
    let kind = scan.token()?;
    scan.skip();
    scan.eat(b'/').then_some(())?;
    let subtype = scan.token()?;
    Some((kind, subtype, scan.params()))
}

/// `kind; name=value`.
pub(super) fn disposition(value: &[u8]) -> Option<(Vec<u8>, Params)> {
    let mut scan = Scan(value);
    let kind = scan.token()?;
    Some((kind, scan.params()))
}

/// The first token, as in Content-Transfer-Encoding.
pub(super) fn token(value: &[u8]) -> Option<Vec<u8>> {
    Scan(value).token()
}

/// Tokens between commas, as in Content-Language.
pub(super) fn tokens(value: &[u8]) -> Vec<Vec<u8>> {
    value
        .split(|byte| *byte == b',')
        .filter_map(token)
        .take(PARAMS)
        .collect()
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        if found {
            self.bump();
        }
        found
    }

    /// White space and comments.
    fn skip(&mut self) {
        while let Some(byte) = self.0.first() {
            match byte {
                b' ' | b'\t' => drop(self.bump()),
                b'(' => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => drop(self.bump()),
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn token(&mut self) -> Option<Vec<u8>> {
        self.skip();
        let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte);
        let len = self.0.iter().take_while(|byte| is_token(byte)).count();
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        (!head.is_empty()).then(|| head.get(..VALUE).unwrap_or(head).to_vec())
    }

    fn params(&mut self) -> Params {
        let mut params = Params::new();
        while params.len() < PARAMS {
            // Whatever stands in front of the next semicolon is not understood.
            loop {
                self.skip();
                match self.bump() {
                    None => return params,
                    Some(b';') => break,
                    Some(b'"') => drop(self.quoted()),
                    Some(_) => {}
                }
            }
            let Some(name) = self.token() else { continue };
            self.skip();
            if !self.eat(b'=') {
                continue;
            }
            self.skip();
            let mut value = if self.eat(b'"') {
                self.quoted()
            } else {
                self.loose()
            };
            value.truncate(VALUE);
            params.push((name, value));
        }
        params
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

    /// An unquoted value: a token by the book, but people write `name=a b.pdf` and `charset=x/y`.
    fn loose(&mut self) -> Vec<u8> {
        let len = self.0.iter().take_while(|byte| **byte != b';').count();
        let (head, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        head.trim_ascii().to_vec()
    }
}
