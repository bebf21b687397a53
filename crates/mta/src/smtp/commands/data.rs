//! DATA (RFC 5321 section 4.1.1.4). The session reads the message itself.

use super::super::reply;
use super::super::state::Session;
use super::Next;

pub(super) fn data(session: &Session) -> Next {
    // Refusing now spares the client the message.
    if session.receiver.memory.is_exhausted() {
        return Next::Reply(reply::data_problem(reply::DataProblem::NoMemory));
    }
    Next::Data(reply::start_data())
}
