//! Any bytes as a client of ManageSieve behind a guard.

use wire::managesieve::{Assembler, Breach, Guard, Next};

const FORBIDDEN: [&str; 3] = ["UNAUTHENTICATE", "STARTTLS", "AUTHENTICATE"];

/// Neither a home that takes literals as such nor one that takes all lines for commands hears what may not be said, and
/// nothing depends on how the network has cut it. The first octet says how it is cut.
pub(crate) fn run(data: &[u8]) {
    let Some((how, said)) = data.split_first() else {
        return;
    };
    let whole = pass(said, usize::MAX);
    for size in [1, usize::from(how & 7) + 1] {
        let (heard, breach) = pass(said, size);
        assert_eq!(breach, whole.1);
        assert!(breach.is_some() || heard == whole.0, "cut at {size}");
    }
    let heard = whole.0.to_ascii_uppercase();
    for word in ["UNAUTHENTICATE", "STARTTLS"] {
        let said = heard.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(!said, "a home that goes on anywhere hears {word}");
    }
    let mut assembler = Assembler::new(usize::MAX);
    let mut rest = &whole.0[..];
    let mut first = true;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let text = String::from_utf8_lossy(line).trim_start().to_ascii_uppercase();
        let verb = text
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default();
        assert!(!first || !FORBIDDEN.contains(&verb), "the home hears {text}");
        first = true;
        if let Ok(Next::Literal(literal)) = assembler.line(line) {
            let size = usize::try_from(literal.size)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            rest = &rest[size..];
            first = false;
        }
    }
}

/// What goes through, and how it ends.
fn pass(said: &[u8], size: usize) -> (Vec<u8>, Option<Breach>) {
    let (mut guard, mut out) = (Guard::default(), Vec::new());
    for piece in said.chunks(size.min(said.len().max(1))) {
        if let Err(breach) = guard.up(piece, &mut out) {
            return (out, Some(breach));
        }
    }
    (out, None)
}
