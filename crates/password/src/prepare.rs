//! SASLprep, so that one password typed on two keyboards is one password.

use model::Secret;

/// The prepared form (RFC 4013), when it differs from what the client sent. A password that is not UTF-8, or
/// that SASLprep refuses, has no other form: it is compared as it came.
pub(crate) fn prepared(password: &Secret) -> Option<Secret> {
    if password.expose().is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(password.expose()).ok()?;
    let form = stringprep::saslprep(text).ok()?;
    (form != text).then(|| Secret::new(form.as_bytes().to_vec()))
}
