//! The byte form of ENVELOPE and BODYSTRUCTURE inside a message row.

use crate::codec::{Decoded, Reader, Writer};
use model::{BodyFields, BodyStructure, Disposition, Envelope, EnvelopeAddress};

/// A row that claims to be deeper than the parser goes is corrupt.
const DEPTH: u32 = 80;

fn owned(r: &mut Reader<'_>) -> Decoded<Vec<u8>> {
    r.bytes().map(<[u8]>::to_vec)
}

fn write_text(w: &mut Writer, text: Option<&Vec<u8>>) {
    w.option(text, |w, text| {
        w.bytes(text);
    });
}

fn read_text(r: &mut Reader<'_>) -> Decoded<Option<Vec<u8>>> {
    r.option(owned)
}

fn write_list(w: &mut Writer, list: &[EnvelopeAddress]) {
    w.list(list.iter(), |w, address| {
        write_text(w, address.name.as_ref());
        write_text(w, address.mailbox.as_ref());
        write_text(w, address.host.as_ref());
    });
}

fn read_list(r: &mut Reader<'_>) -> Decoded<Vec<EnvelopeAddress>> {
    r.list(|r| {
        Ok(EnvelopeAddress {
            name: read_text(r)?,
            mailbox: read_text(r)?,
            host: read_text(r)?,
        })
    })
}

pub(crate) fn write_envelope(w: &mut Writer, envelope: &Envelope) {
    write_text(w, envelope.date.as_ref());
    write_text(w, envelope.subject.as_ref());
    write_list(w, &envelope.from);
    // Mostly the same as From, which costs one octet instead of a copy.
    for list in [&envelope.sender, &envelope.reply_to] {
        w.option((*list != envelope.from).then_some(list), |w, list| {
            write_list(w, list)
        });
    }
    write_list(w, &envelope.to);
    write_list(w, &envelope.cc);
    write_list(w, &envelope.bcc);
    write_text(w, envelope.in_reply_to.as_ref());
    write_text(w, envelope.message_id.as_ref());
}

pub(crate) fn read_envelope(r: &mut Reader<'_>) -> Decoded<Envelope> {
    let (date, subject, from) = (read_text(r)?, read_text(r)?, read_list(r)?);
    Ok(Envelope {
        date,
        subject,
        sender: r.option(read_list)?.unwrap_or_else(|| from.clone()),
        reply_to: r.option(read_list)?.unwrap_or_else(|| from.clone()),
        from,
        to: read_list(r)?,
        cc: read_list(r)?,
        bcc: read_list(r)?,
        in_reply_to: read_text(r)?,
        message_id: read_text(r)?,
    })
}

fn write_params(w: &mut Writer, params: &[(Vec<u8>, Vec<u8>)]) {
    w.list(params.iter(), |w, (name, value)| {
        w.bytes(name).bytes(value);
    });
}

fn read_params(r: &mut Reader<'_>) -> Decoded<Vec<(Vec<u8>, Vec<u8>)>> {
    r.list(|r| Ok((owned(r)?, owned(r)?)))
}

fn write_fields(w: &mut Writer, fields: &BodyFields) {
    write_params(w, &fields.params);
    write_text(w, fields.id.as_ref());
    write_text(w, fields.description.as_ref());
    w.bytes(&fields.encoding);
    write_text(w, fields.md5.as_ref());
    w.option(fields.disposition.as_ref(), |w, disposition| {
        w.bytes(&disposition.kind);
        write_params(w, &disposition.params);
    });
    w.list(fields.language.iter(), |w, language| {
        w.bytes(language);
    });
    write_text(w, fields.location.as_ref());
    for position in [fields.header, fields.body, fields.end] {
        w.num(u64::from(position));
    }
}

fn read_fields(r: &mut Reader<'_>) -> Decoded<BodyFields> {
    Ok(BodyFields {
        params: read_params(r)?,
        id: read_text(r)?,
        description: read_text(r)?,
        encoding: owned(r)?,
        md5: read_text(r)?,
        disposition: r.option(|r| {
            Ok(Disposition {
                kind: owned(r)?,
                params: read_params(r)?,
            })
        })?,
        language: r.list(owned)?,
        location: read_text(r)?,
        header: r.num32()?,
        body: r.num32()?,
        end: r.num32()?,
    })
}

pub(crate) fn write_structure(w: &mut Writer, body: &BodyStructure) {
    match body {
        BodyStructure::Multipart {
            subtype,
            parts,
            fields,
        } => {
            w.u8(0).bytes(subtype);
            write_fields(w, fields);
            w.list(parts.iter(), write_structure);
        }
        BodyStructure::Message {
            subtype,
            fields,
            envelope,
            body,
            lines,
        } => {
            w.u8(1).bytes(subtype).num(u64::from(*lines));
            write_fields(w, fields);
            write_envelope(w, envelope);
            write_structure(w, body);
        }
        BodyStructure::Text {
            subtype,
            fields,
            lines,
        } => {
            w.u8(2).bytes(subtype).num(u64::from(*lines));
            write_fields(w, fields);
        }
        BodyStructure::Basic {
            kind,
            subtype,
            fields,
        } => {
            w.u8(3).bytes(kind).bytes(subtype);
            write_fields(w, fields);
        }
    }
}

pub(crate) fn read_structure(r: &mut Reader<'_>) -> Decoded<BodyStructure> {
    read_at(r, 0)
}

fn read_at(r: &mut Reader<'_>, depth: u32) -> Decoded<BodyStructure> {
    if depth > DEPTH {
        return Err(r.corrupt());
    }
    Ok(match r.u8()? {
        0 => BodyStructure::Multipart {
            subtype: owned(r)?,
            fields: read_fields(r)?,
            parts: r.list(|r| read_at(r, depth + 1))?,
        },
        1 => {
            let (subtype, lines) = (owned(r)?, r.num32()?);
            BodyStructure::Message {
                subtype,
                lines,
                fields: read_fields(r)?,
                envelope: Box::new(read_envelope(r)?),
                body: Box::new(read_at(r, depth + 1)?),
            }
        }
        2 => {
            let (subtype, lines) = (owned(r)?, r.num32()?);
            BodyStructure::Text {
                subtype,
                lines,
                fields: read_fields(r)?,
            }
        }
        3 => BodyStructure::Basic {
            kind: owned(r)?,
            subtype: owned(r)?,
            fields: read_fields(r)?,
        },
        _ => return Err(r.corrupt()),
    })
}
