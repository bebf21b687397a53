//! Any bytes as responses of an IMAP server.

use wire::imap::{Assembler, Next, Response, Untagged};

/// A status response that is taken is one line when written, and means the same when read again.
pub(crate) fn run(data: &[u8]) {
    let mut assembler = Assembler::new(64 * 1024);
    let mut rest = data;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        match assembler.response_line(line) {
            Ok(Next::Complete(response)) => check(&response),
            Ok(Next::Literal(literal)) => {
                let size = usize::try_from(literal.size)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                let _ = assembler.literal(&rest[..size]);
                rest = &rest[size..];
            }
            Err(_) => {}
        }
    }
    check(data);
}

fn check(response: &[u8]) {
    let (tag, status) = match Response::parse(response) {
        Ok(Response::Tagged(tag, status)) => (Some(tag), status),
        Ok(Response::Untagged(Untagged::Status(status))) => (None, status),
        _ => return,
    };
    let mut written = Vec::new();
    status.write(&mut written, tag.as_ref());
    let line = written.strip_suffix(b"\r\n").expect("a line end");
    assert!(
        !line.contains(&b'\n') || response.contains(&b'\n'),
        "a response was split"
    );
    assert!(Response::parse(line).is_ok());
}
