//! OAUTHBEARER (RFC 7628) and XOAUTH2: messages of fields that `^A` separates.

use super::prepare::{identity, read_saslname, write_saslname};
use super::{MAX_TOKEN, SaslError};
use model::Secret;

/// Who logs in, when the client says it, and the token.
pub(super) struct BearerMessage {
    pub(super) login: Option<String>,
    pub(super) token: Secret,
}

/// `n,a=user,^Aauth=Bearer token^A^A` (RFC 7628 section 3.1).
pub(super) fn read_oauthbearer(message: &[u8]) -> Result<BearerMessage, SaslError> {
    let (header, fields) = split_once(message, 1).ok_or(SaslError::Malformed)?;
    let mut parts = header.split(|byte| *byte == b',');
    // RFC 7628 section 3.1: channel binding is not used.
    let (Some(b"n" | b"y"), Some(authzid), Some(b""), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    let login = match authzid {
        b"" => None,
        named => Some(read_saslname(
            named.strip_prefix(b"a=").ok_or(SaslError::Malformed)?,
        )?),
    };
    // RFC 7628 section 3.1: a lone separator ends the list; without any field it is an empty message.
    let token = auth_field(fields)?;
    Ok(BearerMessage { login, token })
}

/// `user=user^Aauth=Bearer token^A^A`.
pub(super) fn read_xoauth2(message: &[u8]) -> Result<BearerMessage, SaslError> {
    let (user, fields) = split_once(message, 1).ok_or(SaslError::Malformed)?;
    let user = user.strip_prefix(b"user=").ok_or(SaslError::Malformed)?;
    Ok(BearerMessage {
        login: Some(identity(user)?),
        token: auth_field(fields)?,
    })
}

/// The token of the `auth` field; the fields end with an empty one. Others (`host`, `port`) say what we know.
fn auth_field(fields: &[u8]) -> Result<Secret, SaslError> {
    let fields = fields.strip_suffix(b"\x01").ok_or(SaslError::Malformed)?;
    let mut token = None;
    for field in fields.split(|byte| *byte == 1).filter(|field| !field.is_empty()) {
        let (key, value) = split_once(field, b'=').ok_or(SaslError::Malformed)?;
        // RFC 7628 section 3.1: kvpair = key "=" value; keys are letters.
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(SaslError::Malformed);
        }
        if key == b"auth" && token.replace(bearer_token(value)?).is_some() {
            return Err(SaslError::Malformed);
        }
    }
    // Without `auth` a client asks how to get a token; it is refused with the status that tells it.
    Ok(token.unwrap_or_default())
}

/// `Bearer` in any case, spaces, and the token of RFC 6750 section 2.1.
fn bearer_token(value: &[u8]) -> Result<Secret, SaslError> {
    let (scheme, token) = split_once(value, b' ').unwrap_or((value, b""));
    let token = token.trim_ascii();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    if !scheme.eq_ignore_ascii_case(b"bearer") || token.len() > MAX_TOKEN || !token.iter().all(allowed) {
        return Err(SaslError::Malformed);
    }
    Ok(Secret::new(token))
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// RFC 7628 section 3.2.2: what the client hears of a token that is not good, before the command fails.
pub(super) fn failure(discovery: Option<&str>) -> String {
    let mut text = String::from("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"");
    if let Some(url) = discovery {
        // A URL has neither quotes nor backslashes unless somebody made it so by hand.
        let plain = url
            .chars()
            .filter(|c| c.is_ascii_graphic() && !"\"\\".contains(*c));
        text.push_str(",\"openid-configuration\":\"");
        text.extend(plain);
        text.push('"');
    }
    text.push('}');
    text
}

pub(super) fn write_oauthbearer(login: &str, token: &Secret) -> Secret {
    let name = write_saslname(login);
    let authzid = if name.is_empty() {
        name
    } else {
        format!("a={name}")
    };
    join(&format!("n,{authzid},\x01auth=Bearer "), token)
}

pub(super) fn write_xoauth2(login: &str, token: &Secret) -> Secret {
    join(&format!("user={login}\x01auth=Bearer "), token)
}

fn join(head: &str, token: &Secret) -> Secret {
    let mut message = Vec::with_capacity(head.len() + token.expose().len() + 2);
    message.extend_from_slice(head.as_bytes());
    message.extend_from_slice(token.expose());
    message.extend_from_slice(b"\x01\x01");
    Secret::new(message)
}
