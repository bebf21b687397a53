//! Whether a client's own connection is encrypted, as one front end tells it to the next server, in Dovecot's words:
//! `CLIENT-TRANSPORT` where XCLIENT has it, a forward field elsewhere.

use crate::sasl::{decode_base64, encode_base64};
use model::TlsState;

/// The name of the forward field; Dovecot shows it as `%{passdb:forward_transport}`.
const FIELD: &str = "transport";

/// The value.
#[must_use]
pub const fn word(state: TlsState) -> &'static str {
    match state {
        TlsState::Encrypted => "TLS",
        TlsState::Plain => "insecure",
    }
}

/// Reads the value; the version of TLS may follow. None for one that says neither.
#[must_use]
pub fn parse(value: &str) -> Option<TlsState> {
    let starts = |word: &str| {
        let start = value.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if starts(word(TlsState::Encrypted)) {
        Some(TlsState::Encrypted)
    } else if value.eq_ignore_ascii_case(word(TlsState::Plain)) {
        Some(TlsState::Plain)
    } else {
        None
    }
}

/// The value of `FORWARD` in XCLIENT: base64 of fields with a tab between them.
#[must_use]
pub fn forward(state: TlsState) -> String {
    encode_base64(format!("{FIELD}={}", word(state)).as_bytes())
}

/// What `FORWARD` says of the transport; other fields are passed over.
#[must_use]
pub fn from_forward(value: &str) -> Option<TlsState> {
    let fields = decode_base64(value.as_bytes()).ok()?;
    let fields = std::str::from_utf8(fields.expose()).ok()?;
    let named = fields.split('\t').filter_map(|field| field.split_once('='));
    let mut values = named.filter(|(name, _)| *name == FIELD).map(|(_, value)| value);
    parse(values.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for state in [TlsState::Plain, TlsState::Encrypted] {
            assert_eq!(parse(word(state)), Some(state));
            assert_eq!(from_forward(&forward(state)), Some(state));
        }
        for (value, state) in [
            ("tls", Some(TlsState::Encrypted)),
            ("TLSv1.3", Some(TlsState::Encrypted)),
            ("Insecure", Some(TlsState::Plain)),
            ("insecure?", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(parse(value), state, "{value}");
        }
        let of = |text: &str| from_forward(&encode_base64(text.as_bytes()));
        assert_eq!(of("a=b\ttransport=TLS\tc"), Some(TlsState::Encrypted));
        assert_eq!(
            (of("transport"), of("x=TLS"), from_forward("?")),
            (None, None, None)
        );
    }
}
