//! Any bytes as commands of an IMAP client, put together from lines and literals as a server does.

use wire::imap::{Append, Assembler, Command, Literals, Next};

/// More than any seed has, and little enough that a broken limit shows.
const LIMIT: usize = 64 * 1024;

/// What is taken can be written again, and means the same when read again.
pub(crate) fn run(data: &[u8]) {
    let mut rest = data;
    while let Some(command) = assemble(&mut rest) {
        assert!(command.len() <= LIMIT);
        if let Ok(command) = Command::parse(&command) {
            let written = command.to_bytes(Literals::NonSynchronizing).concat();
            let again = assemble(&mut &*written).expect("our own command is whole");
            let again = Command::parse(&again).expect("our own command");
            assert_eq!(again.tag, command.tag);
            assert_eq!(again.to_bytes(Literals::NonSynchronizing).concat(), written);
        }
    }
    let _ = Command::parse(data);
    let _ = Append::head(data);
}

fn assemble(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut assembler = Assembler::new(LIMIT);
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let next = assembler.line(&rest[..end]);
        *rest = &rest[end + 2..];
        match next {
            Ok(Next::Complete(command)) => return Some(command),
            Ok(Next::Literal(literal)) => {
                let size = usize::try_from(literal.size).ok()?;
                let _ = Append::head(assembler.so_far());
                let data = rest.get(..size)?;
                assembler.literal(data).ok()?;
                *rest = &rest[size..];
            }
            Err(_) => return None,
        }
    }
}
