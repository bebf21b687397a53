//! Records as text.

use super::{ChangeRecord, Operation};
use crate::message::ModifyOperation;
use crate::{Attribute, Entry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Write};

/// RFC 2849, note 2 leaves the width free; OpenLDAP's tools write 76 characters too.
const WIDTH: usize = 76;

/// Writes an entry and the empty line after it.
pub fn write_entry(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    line(out, "dn", entry.dn.as_bytes())?;
    attributes(out, &entry.attributes)?;
    out.write_all(b"\n")
}

/// Writes a change record and the empty line after it.
pub fn write_change(out: &mut impl Write, record: &ChangeRecord) -> io::Result<()> {
    line(out, "dn", record.operation.dn().as_bytes())?;
    for control in &record.controls {
        let head = format!("control: {} {}", control.oid, control.critical);
        match &control.value {
            Some(value) => fold(out, format!("{head}:: {}", STANDARD.encode(value)).as_bytes())?,
            None => fold(out, head.as_bytes())?,
        }
    }
    match &record.operation {
        Operation::Add(add) => {
            line(out, "changetype", b"add")?;
            attributes(out, &add.attributes)?;
        }
        Operation::Delete(_) => line(out, "changetype", b"delete")?,
        Operation::Modify(modify) => {
            line(out, "changetype", b"modify")?;
            for change in &modify.changes {
                let kind = match change.operation {
                    ModifyOperation::Add => "add",
                    ModifyOperation::Delete => "delete",
                    ModifyOperation::Replace => "replace",
                    ModifyOperation::Increment => "increment",
                };
                line(out, kind, change.attribute.name.as_bytes())?;
                attributes(out, std::slice::from_ref(&change.attribute))?;
                out.write_all(b"-\n")?;
            }
        }
        Operation::ModifyDn(modify_dn) => {
            line(out, "changetype", b"modrdn")?;
            line(out, "newrdn", modify_dn.new_rdn.as_bytes())?;
            line(
                out,
                "deleteoldrdn",
                if modify_dn.delete_old_rdn { b"1" } else { b"0" },
            )?;
            if let Some(superior) = &modify_dn.new_superior {
                line(out, "newsuperior", superior.as_bytes())?;
            }
        }
    }
    out.write_all(b"\n")
}

fn attributes(out: &mut impl Write, attributes: &[Attribute]) -> io::Result<()> {
    for attribute in attributes {
        for value in &attribute.values {
            line(out, attribute.name.as_str(), value)?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, value: &[u8]) -> io::Result<()> {
    let mut text = name.as_bytes().to_vec();
    if is_safe(value) {
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
    } else {
        text.extend_from_slice(b":: ");
        text.extend_from_slice(STANDARD.encode(value).as_bytes());
    }
    fold(out, &text)
}

/// RFC 2849, `SAFE-STRING` and note 8: what can stand as it is, and does not end in a space. Other control
/// characters would be allowed; they are not safe on a terminal.
fn is_safe(value: &[u8]) -> bool {
    !matches!(value.first(), Some(b' ' | b':' | b'<'))
        && value.last() != Some(&b' ')
        && value.iter().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn fold(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let (first, mut rest) = text.split_at(text.len().min(WIDTH));
    out.write_all(first)?;
    while !rest.is_empty() {
        // The space that marks the continuation takes one column.
        let (next, after) = rest.split_at(rest.len().min(WIDTH - 1));
        out.write_all(b"\n ")?;
        out.write_all(next)?;
        rest = after;
    }
    out.write_all(b"\n")
}
