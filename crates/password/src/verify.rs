//! One offered password against all values of an entry's attribute.

use crate::prepare::prepared;
use crate::scheme::{Encoding, Scheme, SchemeError, StoredPassword};
use model::Secret;

/// A longer password than this matches nothing: the crypt methods take time in the square of its length.
const MAX_PASSWORD: usize = 1024;

/// What the values say about an offered password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One of the values matches; its scheme, so that weak ones can be reported.
    Match(Scheme),
    /// At least one value could be checked, and none matches. Values that could not be checked are listed.
    Mismatch(Vec<SchemeError>),
    /// No value could be checked at all: an administrator must look at the entry.
    Unusable(Vec<SchemeError>),
}

/// [`crate::VerifyPool::verify`] without the pool.
#[cfg(test)]
pub(crate) fn verify_any<V: AsRef<[u8]>>(values: &[V], encoding: Encoding, password: &Secret) -> Verdict {
    let (stored, errors) = parse_all(values, encoding);
    verify_stored(&stored, errors, password)
}

pub(crate) fn parse_all<V: AsRef<[u8]>>(
    values: &[V],
    encoding: Encoding,
) -> (Vec<StoredPassword>, Vec<SchemeError>) {
    let mut stored = Vec::with_capacity(values.len());
    let mut errors = Vec::new();
    for value in values {
        match StoredPassword::parse(value.as_ref(), encoding) {
            Ok(value) => stored.push(value),
            Err(error) => errors.push(error),
        }
    }
    (stored, errors)
}

/// Checks `password` against every value; any match counts (RFC 4519 section 2.41: several values are several
/// passwords). An empty password matches nothing.
pub(crate) fn verify_stored(
    stored: &[StoredPassword],
    errors: Vec<SchemeError>,
    password: &Secret,
) -> Verdict {
    if stored.is_empty() {
        return Verdict::Unusable(errors);
    }
    // RFC 4616 section 2: a password has no NUL. HMAC would ignore one at the end, and crypt(3) ends there.
    let offered = password.expose();
    if offered.is_empty() || offered.len() > MAX_PASSWORD || offered.contains(&0) {
        return Verdict::Mismatch(errors);
    }
    let form = prepared(password);
    for offered in std::iter::once(password).chain(form.as_ref()) {
        if let Some(found) = stored.iter().find(|value| value.verify(offered.expose())) {
            return Verdict::Match(found.scheme());
        }
    }
    Verdict::Mismatch(errors)
}
