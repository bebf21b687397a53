//! Any bytes as a ManageSieve session, from either side.

use wire::managesieve::{Assembler, Capabilities, Command, Next, Response};

/// What is taken means the same when written and read again, and is one command or response.
pub(crate) fn run(data: &[u8]) {
    let mut assembler = Assembler::new(64 * 1024);
    let mut capabilities = Capabilities::default();
    let mut rest = data;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        match assembler.line(line) {
            Ok(Next::Complete(whole)) => check(&whole, &mut capabilities),
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
    check(data, &mut capabilities);
    let mut wire = Vec::new();
    capabilities.encode(&mut wire);
    let mut again = Capabilities::default();
    for line in assembled(&wire) {
        match Response::parse(&line) {
            Ok(Response::Strings(strings)) => again.add(&strings),
            other => panic!("a capability that is none: {other:?}"),
        }
    }
    assert_eq!(again, capabilities);
}

fn check(whole: &[u8], capabilities: &mut Capabilities) {
    if let Ok(command) = Command::parse(whole) {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        let lines = assembled(&wire);
        assert_eq!(lines.len(), 1, "a command was split");
        let again = Command::parse(&lines[0]).expect("our own command");
        assert_eq!(again.to_string(), command.to_string());
    }
    match Response::parse(whole) {
        Ok(Response::Status(status)) => {
            let mut wire = Vec::new();
            status.encode(&mut wire);
            let lines = assembled(&wire);
            assert_eq!(lines.len(), 1, "a response was split");
            assert_eq!(Response::parse(&lines[0]), Ok(Response::Status(status)));
        }
        Ok(Response::Strings(strings)) => capabilities.add(&strings),
        Err(_) => {}
    }
}

/// The lines of our own output, with their literals.
fn assembled(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut assembler = Assembler::new(256 * 1024);
    let mut found = Vec::new();
    while let Some(end) = wire.windows(2).position(|pair| pair == b"\r\n") {
        let line = &wire[..end];
        wire = &wire[end + 2..];
        match assembler.line(line).expect("within the limit") {
            Next::Complete(whole) => found.push(whole),
            Next::Literal(literal) => {
                let size = usize::try_from(literal.size).expect("our own size");
                assembler.literal(&wire[..size]).expect("within the limit");
                wire = &wire[size..];
            }
        }
    }
    assert!(wire.is_empty(), "an end without a line");
    found
}
