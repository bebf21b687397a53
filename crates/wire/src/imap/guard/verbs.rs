//! The verbs that a client may say to a home that knows UNAUTHENTICATE, and the words that may not come later in a line.

/// What may not be said: the first in no place of a line. After the login homes refuse the last two themselves; one that did
/// not would be no different from one that knows UNAUTHENTICATE.
const FORBIDDEN: [&str; 5] = ["UNAUTHENTICATE", "COMPRESS", "STARTTLS", "AUTHENTICATE", "LOGIN"];

/// What homes know in a session that is logged in (RFC 9051, RFC 3501 and their extensions). A home that does not know a verb may
/// go on in the middle of its line.
const KNOWN: [&str; 50] = [
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "ENABLE",
    "ID",
    "IDLE",
    "NAMESPACE",
    "NOTIFY",
    "LANGUAGE",
    "COMPARATOR",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "XLIST",
    "RLIST",
    "RLSUB",
    "STATUS",
    "APPEND",
    "REPLACE",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "SEARCH",
    "ESEARCH",
    "SORT",
    "THREAD",
    "FETCH",
    "STORE",
    "COPY",
    "MOVE",
    "UID",
    "GETQUOTA",
    "GETQUOTAROOT",
    "SETQUOTA",
    "GETACL",
    "SETACL",
    "DELETEACL",
    "LISTRIGHTS",
    "MYRIGHTS",
    "GETMETADATA",
    "SETMETADATA",
    "GENURLAUTH",
    "URLFETCH",
];
/// What follows UID (RFC 9051 section 6.4.9, and its extensions). Some homes take any verb there.
const BY_UID: [&str; 9] = [
    "FETCH", "STORE", "COPY", "MOVE", "EXPUNGE", "SEARCH", "SORT", "THREAD", "REPLACE",
];
/// A line that a home may read in several parts. One that gives it up may go on with the next part.
const LONG: usize = 2_000;

/// Whether a client may begin a command with this.
pub(super) fn may_be_said(verb: &[u8]) -> bool {
    is_in(&KNOWN, verb)
}

/// Whether this may follow UID.
pub(super) fn is_said_of_uids(verb: &[u8]) -> bool {
    is_in(&BY_UID, verb)
}

fn is_in(verbs: &[&str], verb: &[u8]) -> bool {
    verbs
        .iter()
        .any(|known| verb.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a home that goes on in the middle of this line would find a command there that may not be said.
pub(super) fn has_another_command(line: &[u8]) -> bool {
    let has = |word: &&str| {
        let found = |part: &[u8]| part.eq_ignore_ascii_case(word.as_bytes());
        line.windows(word.len()).any(found)
    };
    let many = if line.len() < LONG { 1 } else { FORBIDDEN.len() };
    FORBIDDEN.iter().take(many).any(has)
}
