//! The parts of a line: atoms, strings, parentheses (RFC 5804 section 4).

/// RFC 5804 section 4: a quoted string has 1024 octets at most.
const MAX_QUOTED: usize = 1024;

/// One part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or a number.
    Atom(Vec<u8>),
    /// What a quoted string or a literal says.
    Text(Vec<u8>),
    Open,
    Close,
}

/// The line does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Takes a whole command or response apart, with its literals spliced in.
pub(super) fn tokens(mut line: &[u8]) -> Result<Vec<Token>, Malformed> {
    let mut found = Vec::new();
    loop {
        line = line.trim_ascii_start();
        let (token, rest) = match line.first() {
            None => return Ok(found),
            Some(b'"') => quoted(line)?,
            Some(b'{') => literal(line)?,
            Some(b'(') => (Token::Open, line.get(1..).unwrap_or_default()),
            Some(b')') => (Token::Close, line.get(1..).unwrap_or_default()),
            Some(_) => atom(line)?,
        };
        found.push(token);
        line = rest;
    }
}

fn atom(line: &[u8]) -> Result<(Token, &[u8]), Malformed> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'(' | b')' | b'"' | b'{');
    let (word, rest) = line.split_at(line.iter().position(ends).unwrap_or(line.len()));
    if word.is_empty() || !word.iter().all(u8::is_ascii_graphic) {
        return Err(Malformed);
    }
    Ok((Token::Atom(word.to_vec()), rest))
}

fn quoted(line: &[u8]) -> Result<(Token, &[u8]), Malformed> {
    let mut text = Vec::new();
    let mut bytes = line.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((Token::Text(text), line.get(at + 1..).unwrap_or_default())),
            b'\\' => match bytes.next() {
                Some((_, escaped @ (b'"' | b'\\'))) => text.push(*escaped),
                _ => return Err(Malformed),
            },
            b'\r' | b'\n' | 0 => return Err(Malformed),
            other => text.push(*other),
        }
        // Some clients send longer ones; the whole line has its own limit.
        if text.len() > 16 * MAX_QUOTED {
            return Err(Malformed);
        }
    }
    Err(Malformed)
}

/// `{n}` or `{n+}`, CRLF, and so many octets.
fn literal(line: &[u8]) -> Result<(Token, &[u8]), Malformed> {
    let inner = line.get(1..).unwrap_or_default();
    let digits = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = inner.split_at(digits);
    let rest = rest.strip_prefix(b"+").unwrap_or(rest);
    let rest = rest.strip_prefix(b"}\r\n").ok_or(Malformed)?;
    let number = std::str::from_utf8(number).map_err(|_| Malformed)?;
    let size: usize = number.parse().map_err(|_| Malformed)?;
    let (data, rest) = rest.split_at_checked(size).ok_or(Malformed)?;
    Ok((Token::Text(data.to_vec()), rest))
}

/// Whether a string can stand between quotes.
fn fits_quotes(text: &[u8]) -> bool {
    text.len() <= MAX_QUOTED
        && std::str::from_utf8(text).is_ok()
        && !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Appends a string: quoted when that can be, else a literal whose header ends with `mark` (`+` from clients,
/// nothing from servers).
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8], mark: &str) {
    if !fits_quotes(text) {
        out.extend_from_slice(format!("{{{}{mark}}}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
