//! ENVELOPE and BODYSTRUCTURE on the wire (RFC 3501 section 7.4.2).

use super::write::{nstring, string};
use model::{BodyFields, BodyStructure, Disposition, Envelope, EnvelopeAddress};

/// `BODY` or `BODYSTRUCTURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extensions {
    /// `BODY`: without extension data.
    Without,
    /// `BODYSTRUCTURE`.
    With,
}

/// `envelope`
pub fn envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    out.push(b'(');
    nstring(out, envelope.date.as_deref());
    out.push(b' ');
    nstring(out, envelope.subject.as_deref());
    for list in [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.push(b' ');
        addresses(out, list);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to.as_deref());
    out.push(b' ');
    nstring(out, envelope.message_id.as_deref());
    out.push(b')');
}

fn addresses(out: &mut Vec<u8>, list: &[EnvelopeAddress]) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        nstring(out, address.name.as_deref());
        // The source route, which nobody has any more.
        out.extend_from_slice(b" NIL ");
        nstring(out, address.mailbox.as_deref());
        out.push(b' ');
        nstring(out, address.host.as_deref());
        out.push(b')');
    }
    out.push(b')');
}

/// `body`. The depth of the structure is bounded by who built it.
pub fn body_structure(out: &mut Vec<u8>, body: &BodyStructure, extensions: Extensions) {
    out.push(b'(');
    match body {
        BodyStructure::Multipart {
            subtype,
            parts,
            fields,
        } => {
            if parts.is_empty() {
                // The grammar wants at least one part.
                out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
            }
            for part in parts {
                body_structure(out, part, extensions);
            }
            out.push(b' ');
            string(out, subtype);
            if extensions == Extensions::With {
                out.push(b' ');
                parameters(out, &fields.params);
                extension_tail(out, fields);
            }
        }
        BodyStructure::Text {
            subtype,
            fields,
            lines,
        } => {
            out.extend_from_slice(b"\"TEXT\" ");
            basic_fields(out, subtype, fields);
            number(out, *lines);
            single_extensions(out, fields, extensions);
        }
        BodyStructure::Message {
            subtype,
            fields,
            envelope: inner,
            body,
            lines,
        } => {
            out.extend_from_slice(b"\"MESSAGE\" ");
            basic_fields(out, subtype, fields);
            out.push(b' ');
            envelope(out, inner);
            out.push(b' ');
            body_structure(out, body, extensions);
            number(out, *lines);
            single_extensions(out, fields, extensions);
        }
        BodyStructure::Basic {
            kind,
            subtype,
            fields,
        } => {
            string(out, kind);
            out.push(b' ');
            basic_fields(out, subtype, fields);
            single_extensions(out, fields, extensions);
        }
    }
    out.push(b')');
}

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(format!(" {number}").as_bytes());
}

/// The subtype and `body-fields`.
fn basic_fields(out: &mut Vec<u8>, subtype: &[u8], fields: &BodyFields) {
    string(out, subtype);
    out.push(b' ');
    parameters(out, &fields.params);
    out.push(b' ');
    nstring(out, fields.id.as_deref());
    out.push(b' ');
    nstring(out, fields.description.as_deref());
    out.push(b' ');
    string(out, &fields.encoding);
    number(out, fields.end.saturating_sub(fields.body));
}

/// `body-ext-1part`
fn single_extensions(out: &mut Vec<u8>, fields: &BodyFields, extensions: Extensions) {
    if extensions == Extensions::With {
        out.push(b' ');
        nstring(out, fields.md5.as_deref());
        extension_tail(out, fields);
    }
}

/// Disposition, language and location, which both kinds of extension data end with.
fn extension_tail(out: &mut Vec<u8>, fields: &BodyFields) {
    out.push(b' ');
    match &fields.disposition {
        None => out.extend_from_slice(b"NIL"),
        Some(Disposition { kind, params }) => {
            out.push(b'(');
            string(out, kind);
            out.push(b' ');
            parameters(out, params);
            out.push(b')');
        }
    }
    out.push(b' ');
    match fields.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => string(out, one),
        several => {
            for (index, language) in several.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                string(out, language);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, fields.location.as_deref());
}

fn parameters(out: &mut Vec<u8>, params: &[(Vec<u8>, Vec<u8>)]) {
    if params.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (name, value)) in params.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        string(out, name);
        out.push(b' ');
        string(out, value);
    }
    out.push(b')');
}
