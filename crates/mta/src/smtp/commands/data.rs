//! DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030 section 2). The session reads the message itself.

use super::super::reply;
use super::super::state::{Phase, Session, State};
use super::Next;

pub(super) fn data(session: &Session) -> Next {
    // Refusing now spares the client the message.
    if session.receiver.memory.is_exhausted() {
        return Next::Reply(reply::data_problem(reply::DataProblem::NoMemory));
    }
    Next::Data(reply::start_data())
}

/// A chunk. A refused one ends the transaction: the next must not begin a message that lacks it.
pub(super) fn bdat(session: &mut Session, size: u64, last: bool) -> Next {
    let phase = session.phase();
    let refusal = match phase {
        Phase::Start | Phase::Ready | Phase::Mail => Some(reply::bad_sequence(phase)),
        Phase::Rcpt if session.receiver.memory.is_exhausted() => {
            Some(reply::data_problem(reply::DataProblem::NoMemory))
        }
        Phase::Rcpt | Phase::Chunks => None,
    };
    if let Some(refusal) = refusal {
        session.end_transaction();
        return Next::Skip(size, refusal);
    }
    if let State::Mail(_, transaction) = &mut session.state {
        transaction.begun = true;
    }
    if size > 0 {
        session.idle_commands = 0;
    }
    Next::Chunk { size, last }
}
