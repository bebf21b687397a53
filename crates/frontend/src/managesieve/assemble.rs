//! A whole command or response of a client: a line with its literals.

use net::{LineStream, ReadError};
use std::time::Duration;
use tokio::time::Instant;
use wire::managesieve::{Assembler, LiteralKind, Next};

/// The longest command before the login, literals included.
pub(super) const MAX_COMMAND: usize = 16 * 1024;

/// What was read.
pub(crate) enum Assembled {
    /// Literals are spliced in; the last CRLF is not part of it.
    Whole(Vec<u8>),
    /// Too long a line, which has been skipped.
    TooLong,
    /// The octets of a literal that is too long come anyway, or never: the session cannot go on.
    OutOfStep,
}

/// Reads one.
pub(crate) async fn assemble(stream: &mut LineStream, limit: Duration) -> Result<Assembled, ReadError> {
    let deadline = Instant::now() + limit;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut assembler = Assembler::new(MAX_COMMAND);
    loop {
        let line = match stream.read_line(left()).await {
            Err(ReadError::LineTooLong) => return Ok(Assembled::TooLong),
            other => other?,
        };
        match assembler.line(&line) {
            Ok(Next::Complete(whole)) => return Ok(Assembled::Whole(whole)),
            // RFC 5804 section 4: clients do not wait. One that did would wait for ever.
            Ok(Next::Literal(header))
                if header.kind == LiteralKind::NonSynchronizing && assembler.has_room(header.size) =>
            {
                let size = usize::try_from(header.size).unwrap_or(MAX_COMMAND);
                let data = stream.read_exact(size, left()).await?;
                // There is room: it was asked for above.
                let _ = assembler.literal(&data);
            }
            Ok(Next::Literal(_)) | Err(_) => return Ok(Assembled::OutOfStep),
        }
    }
}
