//! Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3) and patterns of LIST.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The alphabet has `,` for `/`, and there is no padding.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Encodes a name.
#[must_use]
pub fn encode(name: &str) -> String {
    fn flush(out: &mut String, pending: &mut Vec<u8>) {
        if !pending.is_empty() {
            out.push('&');
            ENGINE.encode_string(&*pending, out);
            out.push('-');
            pending.clear();
        }
    }
    let mut out = String::with_capacity(name.len());
    let mut pending: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut out, &mut pending);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                pending.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut out, &mut pending);
    out
}

/// Decodes a name. None when it is not modified UTF-7: 8-bit or control octets, a shift that does not end,
/// broken base64 or UTF-16, or printable ASCII in base64, which would give one mailbox two names.
#[must_use]
pub fn decode(name: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        match first {
            b'&' => {
                let end = tail.iter().position(|byte| *byte == b'-')?;
                let (shifted, after) = tail.split_at(end);
                decode_shifted(shifted, &mut out)?;
                rest = after.get(1..)?;
                // Two shifts side by side would be a second spelling of the same name.
                if !shifted.is_empty() && rest.starts_with(b"&") && !rest.starts_with(b"&-") {
                    return None;
                }
            }
            b' '..=b'~' => {
                out.push(char::from(*first));
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(out)
}

fn decode_shifted(shifted: &[u8], out: &mut String) -> Option<()> {
    if shifted.is_empty() {
        out.push('&');
        return Some(());
    }
    let bytes = ENGINE.decode(shifted).ok()?;
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units = pairs.filter_map(|pair| <[u8; 2]>::try_from(pair).ok().map(u16::from_be_bytes));
    for c in char::decode_utf16(units) {
        match c {
            Ok(' '..='~') | Err(_) => return None,
            Ok(c) => out.push(c),
        }
    }
    Some(())
}

/// A pattern of LIST (RFC 3501 section 6.3.8): `*` matches everything, `%` everything but the separator. INBOX is
/// matched without regard to case.
#[derive(Debug, Clone)]
pub struct Pattern {
    characters: Vec<char>,
    separator: char,
}

impl Pattern {
    /// Prepares a pattern, which was decoded from modified UTF-7.
    #[must_use]
    pub fn new(pattern: &str, separator: char) -> Self {
        Self {
            characters: fold_inbox(pattern, separator).chars().collect(),
            separator,
        }
    }

    /// Whether it names this mailbox; none when `steps` are used up. At worst it takes as many as pattern times
    /// name have characters, and as many as the name has when there is no wildcard.
    #[must_use]
    pub fn matches(&self, name: &str, steps: &mut u64) -> Option<bool> {
        let pattern = self.characters.as_slice();
        // Positions of the pattern up to which what was read of the name can match, ascending.
        let mut reachable = Vec::new();
        spread(pattern, 0, &mut reachable);
        for c in name.chars() {
            *steps = steps.checked_sub(reachable.len() as u64)?;
            let mut next = Vec::new();
            for at in reachable {
                match pattern.get(at) {
                    Some('*') => spread(pattern, at, &mut next),
                    Some('%') if c != self.separator => spread(pattern, at, &mut next),
                    Some(wanted) if *wanted == c && c != '%' => spread(pattern, at + 1, &mut next),
                    _ => {}
                }
            }
            if next.is_empty() {
                return Some(false);
            }
            reachable = next;
        }
        Some(reachable.last() == Some(&pattern.len()))
    }
}

/// Adds a position, and those behind the wildcards there, which may match nothing.
fn spread(pattern: &[char], at: usize, reachable: &mut Vec<usize>) {
    let mut at = at;
    loop {
        if reachable.last().is_none_or(|last| *last < at) {
            reachable.push(at);
        }
        match pattern.get(at) {
            Some('*' | '%') => at += 1,
            _ => return,
        }
    }
}

/// A pattern whose first level is any spelling of INBOX means INBOX.
fn fold_inbox(pattern: &str, separator: char) -> String {
    let (first, rest) = match pattern.find([separator, '*', '%']) {
        Some(at) => pattern.split_at(at),
        None => (pattern, ""),
    };
    if first.eq_ignore_ascii_case("INBOX") && !rest.starts_with(['%', '*']) {
        format!("INBOX{rest}")
    } else {
        pattern.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("a&b", "a&-b"),
            // RFC 3501 section 5.1.3.
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
            ("&ü", "&-&APw-"),
            ("", ""),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(name));
        }
        for bad in [
            "&",
            "&U,BTFw",
            "&AGE-",
            "a\u{7f}",
            "ü",
            "&2D0-",
            "&AA-",
            "&APw-&APw-",
            "&====-",
            "a\nb",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    fn names(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern, '/')
            .matches(name, &mut 1_000_000)
            .expect("enough steps")
    }

    #[test]
    fn steps_run_out() {
        let (pattern, name) = (Pattern::new(&"*a".repeat(200), '/'), "a".repeat(190));
        let mut steps = 5_000;
        assert_eq!(pattern.matches(&name, &mut steps), None);
        let mut steps = 5;
        assert_eq!(Pattern::new("abc", '/').matches("abc", &mut steps), Some(true));
        assert_eq!(steps, 2);
    }

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("*", "a/b", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a*c", "a/b/c", true),
            ("%/c", "a/b/c", false),
            ("inbox", "INBOX", true),
            ("InBox/%", "INBOX/x", true),
            ("inbo", "INBOX", false),
            ("%%", "ab", true),
            ("*%*", "a/b", true),
            ("", "a", false),
            ("", "", true),
            ("é%", "éa", true),
        ] {
            assert_eq!(names(pattern, name), want, "{pattern} {name}");
        }
        // A pattern made to blow up a backtracking matcher.
        assert!(!names(&"*a".repeat(200), &"a".repeat(190)));
    }

    proptest! {
        #[test]
        fn round_trip(name in "\\PC{0,40}") {
            prop_assume!(!name.chars().any(char::is_control));
            let wire = encode(&name);
            prop_assert!(wire.is_ascii());
            prop_assert_eq!(decode(wire.as_bytes()), Some(name));
        }

        #[test]
        fn patterns_mean_what_the_simple_definition_says(pattern in "[ab/*%]{0,8}", name in "[ab/]{0,8}") {
            fn simple(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|taken| simple(rest, &name[taken..])),
                    Some((b'%', rest)) => (0..=name.len())
                        .take_while(|taken| !name[..*taken].contains(&b'/'))
                        .any(|taken| simple(rest, &name[taken..])),
                    Some((first, rest)) => name.first() == Some(first) && simple(rest, &name[1..]),
                }
            }
            prop_assert_eq!(names(&pattern, &name), simple(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn what_decodes_encodes_to_the_same(wire in "[ -~]{0,30}") {
            if let Some(name) = decode(wire.as_bytes()) {
                prop_assert_eq!(encode(&name), wire);
            }
        }
    }
}
