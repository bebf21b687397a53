//! Any bytes as lines of an SMTP or LMTP session, from either side.

use wire::smtp::{Command, Extensions, ReplyReader};

const ANNOUNCED: Extensions = Extensions::SIZE
    .with(Extensions::EIGHT_BIT_MIME)
    .with(Extensions::STARTTLS)
    .with(Extensions::AUTH)
    .with(Extensions::SMTPUTF8)
    .with(Extensions::XCLIENT)
    .with(Extensions::XFORWARD)
    .with(Extensions::XTRACE)
    .with(Extensions::CHUNKING)
    .with(Extensions::BINARYMIME)
    .with(Extensions::DSN)
    .with(Extensions::REQUIRETLS);

/// A command that is taken is one line when written, and means the same when read again. A reply that is taken
/// comes back from its wire form.
pub(crate) fn run(data: &[u8]) {
    let mut replies = ReplyReader::new();
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(command) = Command::parse(line, ANNOUNCED) {
            let mut wire = Vec::new();
            command.encode(&mut wire);
            let written = wire.strip_suffix(b"\r\n").expect("a line end");
            assert!(
                !written.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
                "{written:?}"
            );
            // VRFY and EXPN do not keep their text, which the grammar wants.
            if !matches!(command, Command::Vrfy | Command::Expn) {
                let again = Command::parse(written, ANNOUNCED).expect("our own line");
                assert_eq!(again.to_string(), command.to_string());
            }
        }
        if let Ok(Some(reply)) = replies.push_line(line) {
            let mut wire = Vec::new();
            reply.encode(&mut wire);
            let mut again = ReplyReader::new();
            let mut last = None;
            for line in wire.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                assert!(last.is_none() && line.len() <= 512, "{reply:?}");
                last = again
                    .push_line(line.strip_suffix(b"\r").expect("CRLF"))
                    .expect("our own line");
            }
            assert_eq!(last.map(|reply| reply.code()), Some(reply.code()));
        }
    }
}
