//! Any bytes as lines of a POP3 session, from either side.

use wire::pop3::{Capabilities, Command, Response};

/// What is taken is one line when written, and means the same when read again.
pub(crate) fn run(data: &[u8]) {
    let mut capabilities = Capabilities::default();
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        capabilities.add_line(line);
        if let Ok(command) = Command::parse(line) {
            let mut wire = Vec::new();
            command.encode(&mut wire);
            let again =
                Command::parse(wire.strip_suffix(b"\r\n").expect("a line end")).expect("our own line");
            assert_eq!(again.to_string(), command.to_string());
        }
        if let Ok(response) = Response::parse(line) {
            let mut wire = Vec::new();
            response.encode(&mut wire);
            assert_eq!(wire.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert!(Response::parse(wire.strip_suffix(b"\r\n").expect("a line end")).is_ok());
        }
    }
    let mut again = Capabilities::default();
    for line in capabilities.lines() {
        again.add_line(line.as_bytes());
    }
    assert_eq!(again.sasl, capabilities.sasl);
}
