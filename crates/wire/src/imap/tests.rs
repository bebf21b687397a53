//! Tables by RFC section, round trips, mutations, and comparison with `imap-codec`.

mod differential;
mod roundtrip;
mod table;

use super::{Assembler, Command, CommandError, Next};

/// Assembles and parses a command whose literals are all there, as a server would.
fn parse(bytes: &[u8]) -> Result<Command, CommandError> {
    Command::parse(&assemble(bytes, Assembler::line).expect("a whole command"))
}

/// Splits bytes into lines and literals and puts them together again.
fn assemble(
    bytes: &[u8],
    line: fn(&mut Assembler, &[u8]) -> Result<Next, super::CommandTooLarge>,
) -> Option<Vec<u8>> {
    let mut assembler = Assembler::new(1 << 20);
    let mut rest = bytes;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        match line(&mut assembler, &rest[..end]).ok()? {
            Next::Complete(command) => return Some(command),
            Next::Literal(literal) => {
                let size = usize::try_from(literal.size).ok()?;
                let data = rest.get(end + 2..)?.get(..size)?;
                assembler.literal(data).ok()?;
                rest = &rest[end + 2 + size..];
            }
        }
    }
}
