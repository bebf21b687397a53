//! Records out of logical lines.

use super::lines::{Line, Lines, Next};
use super::{ChangeRecord, LdifError, Operation, Problem, Record};
use crate::message::{Add, Modification, Modify, ModifyDn, ModifyOperation};
use crate::{Attribute, Control, Entry, Values};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::io::BufRead;

/// The longest record that is read by default: as large as the largest message of a connection.
const MAX_RECORD: usize = 16 * 1024 * 1024;

/// Reads records from text, one at a time. After an error it yields nothing more.
pub struct LdifReader<R> {
    lines: Lines<R>,
    /// A line that was read to see that the part before it had ended.
    back: Option<Field>,
    started: bool,
    failed: bool,
}

/// `name: value`, decoded.
struct Field {
    line: u64,
    name: String,
    value: Bytes,
}

impl<R: BufRead> LdifReader<R> {
    /// A reader with the default limit of 16 MiB a record.
    pub fn new(input: R) -> Self {
        Self::with_limit(input, MAX_RECORD)
    }

    /// A reader that refuses a record longer than `limit` bytes of text.
    pub fn with_limit(input: R, limit: usize) -> Self {
        Self {
            lines: Lines::new(input, limit),
            back: None,
            started: false,
            failed: false,
        }
    }

    fn record(&mut self) -> Result<Option<Record>, LdifError> {
        let Some(mut first) = self.first_field()? else {
            return Ok(None);
        };
        if !self.started && first.name.eq_ignore_ascii_case("version") {
            if *first.value != *b"1" {
                return Err(Problem::Version.at(first.line));
            }
            first = match self.first_field()? {
                Some(first) => first,
                None => return Ok(None),
            };
        }
        self.started = true;
        if !first.name.eq_ignore_ascii_case("dn") {
            return Err(Problem::Expected("dn:").at(first.line));
        }
        let dn = text(&first)?;
        let mut controls = Vec::new();
        loop {
            match self.field()? {
                Some(field) if field.name.eq_ignore_ascii_case("control") => controls.push(control(&field)?),
                Some(field) if field.name.eq_ignore_ascii_case("changetype") => {
                    let operation = self.operation(&field, dn)?;
                    return Ok(Some(Record::Change(ChangeRecord { controls, operation })));
                }
                Some(field) if !controls.is_empty() => {
                    return Err(Problem::Expected("changetype:").at(field.line));
                }
                Some(field) => {
                    self.back = Some(field);
                    let attributes = self.attributes()?;
                    return Ok(Some(Record::Entry(Entry { dn, attributes })));
                }
                None if controls.is_empty() => {
                    return Ok(Some(Record::Entry(Entry {
                        dn,
                        attributes: Vec::new(),
                    })));
                }
                None => return Err(Problem::Expected("changetype:").at(first.line)),
            }
        }
    }

    /// The rest of a change record, up to and with its end.
    fn operation(&mut self, kind: &Field, dn: String) -> Result<Operation, LdifError> {
        match kind.value.to_ascii_lowercase().as_slice() {
            b"add" => Ok(Operation::Add(Add {
                dn,
                attributes: self.attributes()?,
            })),
            b"delete" => self.end().map(|()| Operation::Delete(dn)),
            b"modify" => Ok(Operation::Modify(Modify {
                dn,
                changes: self.changes()?,
            })),
            b"modrdn" | b"moddn" => self.modify_dn(kind.line, dn).map(Operation::ModifyDn),
            _ => Err(Problem::ChangeType.at(kind.line)),
        }
    }

    /// The attributes, up to and with the end of the record. Lines of one attribute need not stand together.
    fn attributes(&mut self) -> Result<Vec<Attribute>, LdifError> {
        let mut attributes: Vec<Attribute> = Vec::new();
        let mut places = std::collections::HashMap::new();
        while let Some(field) = self.field()? {
            let place = *places
                .entry(field.name.to_ascii_lowercase())
                .or_insert(attributes.len());
            match attributes.get_mut(place) {
                Some(attribute) => attribute.values.push(field.value),
                None => attributes.push(Attribute::new(field.name, field.value)),
            }
        }
        Ok(attributes)
    }

    fn changes(&mut self) -> Result<Vec<Modification>, LdifError> {
        let mut changes = Vec::new();
        while let Some(head) = self.field()? {
            let operation = match head.name.to_ascii_lowercase().as_str() {
                "add" => ModifyOperation::Add,
                "delete" => ModifyOperation::Delete,
                "replace" => ModifyOperation::Replace,
                "increment" => ModifyOperation::Increment,
                _ => return Err(Problem::Expected("add:, delete:, replace: or increment:").at(head.line)),
            };
            let name = text(&head)?;
            let mut values = Values::none();
            // RFC 2849 ends each modification with "-"; readers have always let the last one go without.
            while let Some(field) = self.field_or_dash()? {
                let Some(field) = field else { break };
                if !field.name.eq_ignore_ascii_case(&name) {
                    return Err(Problem::OtherAttribute.at(field.line));
                }
                values.push(field.value);
            }
            changes.push(Modification {
                operation,
                attribute: Attribute::new(name, values),
            });
        }
        Ok(changes)
    }

    fn modify_dn(&mut self, line: u64, dn: String) -> Result<ModifyDn, LdifError> {
        let mut expect = |name: &'static str| match self.field()? {
            Some(field) if field.name.eq_ignore_ascii_case(name.trim_end_matches(':')) => Ok(field),
            Some(field) => Err(Problem::Expected(name).at(field.line)),
            None => Err(Problem::Expected(name).at(line)),
        };
        let new_rdn = text(&expect("newrdn:")?)?;
        let delete = expect("deleteoldrdn:")?;
        let delete_old_rdn = match &*delete.value {
            b"0" => false,
            b"1" => true,
            _ => return Err(Problem::Expected("deleteoldrdn: 0 or 1").at(delete.line)),
        };
        let new_superior = match self.field()? {
            Some(field) if field.name.eq_ignore_ascii_case("newsuperior") => {
                let superior = text(&field)?;
                self.end()?;
                Some(superior)
            }
            Some(field) => return Err(Problem::Expected("newsuperior:").at(field.line)),
            None => None,
        };
        Ok(ModifyDn {
            dn,
            new_rdn,
            delete_old_rdn,
            new_superior,
        })
    }

    /// Nothing more may stand in this record.
    fn end(&mut self) -> Result<(), LdifError> {
        match self.field()? {
            None => Ok(()),
            Some(field) => Err(Problem::Trailing.at(field.line)),
        }
    }

    /// The first field of the next record; none at the end of the input.
    fn first_field(&mut self) -> Result<Option<Field>, LdifError> {
        if let Some(field) = self.back.take() {
            return Ok(Some(field));
        }
        loop {
            match self.lines.next()? {
                Next::Line(line) => return field(line).map(Some),
                Next::Gap => {}
                Next::End => return Ok(None),
            }
        }
    }

    /// The next field of this record; none at its end.
    fn field(&mut self) -> Result<Option<Field>, LdifError> {
        if let Some(field) = self.back.take() {
            return Ok(Some(field));
        }
        match self.lines.next()? {
            Next::Line(line) => field(line).map(Some),
            Next::Gap | Next::End => Ok(None),
        }
    }

    /// The next field of this record or, as `Some(None)`, the dash that ends a modification.
    fn field_or_dash(&mut self) -> Result<Option<Option<Field>>, LdifError> {
        match self.lines.next()? {
            Next::Line(line) if line.text.trim_ascii_end() == b"-" => Ok(Some(None)),
            Next::Line(line) => field(line).map(|field| Some(Some(field))),
            Next::Gap | Next::End => Ok(None),
        }
    }
}

impl<R: BufRead> Iterator for LdifReader<R> {
    type Item = Result<Record, LdifError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record().transpose();
        self.failed = !matches!(record, Some(Ok(_)));
        record
    }
}

/// Decodes `name: text`, `name:: base64`. RFC 2849, `attrval-spec` and `value-spec`.
fn field(line: Line) -> Result<Field, LdifError> {
    let number = line.number;
    let colon = line.text.iter().position(|byte| *byte == b':');
    let (name, rest) = match colon.and_then(|colon| line.text.split_at_checked(colon)) {
        Some((name, rest)) if !name.is_empty() => (name, rest.strip_prefix(b":").unwrap_or_default()),
        _ => return Err(Problem::NoAttribute.at(number)),
    };
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b';' | b'.' | b'=' | b'_');
    if !name.iter().all(sound) {
        return Err(Problem::NoAttribute.at(number));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let value = match rest.first() {
        Some(b':') => {
            base64(rest.strip_prefix(b":").unwrap_or_default()).ok_or(Problem::Base64.at(number))?
        }
        Some(b'<') => return Err(Problem::Url.at(number)),
        _ => Bytes::copy_from_slice(skip_fill(rest)),
    };
    Ok(Field {
        line: number,
        name,
        value,
    })
}

/// RFC 2849, `FILL`.
fn skip_fill(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    text
}

fn base64(text: &[u8]) -> Option<Bytes> {
    STANDARD
        .decode(skip_fill(text).trim_ascii_end())
        .ok()
        .map(Bytes::from)
}

fn text(field: &Field) -> Result<String, LdifError> {
    match std::str::from_utf8(&field.value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Problem::NotUtf8.at(field.line)),
    }
}

/// RFC 2849, `control`: an OID, an optional criticality, an optional value after another colon.
fn control(field: &Field) -> Result<Control, LdifError> {
    let problem = || Problem::Expected("control: OID [true|false][: value]").at(field.line);
    let (head, value) = match field.value.iter().position(|byte| *byte == b':') {
        Some(colon) => field.value.split_at_checked(colon).unwrap_or_default(),
        None => (&*field.value, &[][..]),
    };
    let value = match value.strip_prefix(b":") {
        None => None,
        Some(rest) => Some(match rest.first() {
            Some(b':') => base64(rest.strip_prefix(b":").unwrap_or_default())
                .ok_or_else(|| Problem::Base64.at(field.line))?,
            Some(b'<') => return Err(Problem::Url.at(field.line)),
            _ => Bytes::copy_from_slice(skip_fill(rest)),
        }),
    };
    let head = std::str::from_utf8(head).map_err(|_| problem())?;
    let mut words = head.split_ascii_whitespace();
    let oid = words
        .next()
        .filter(|oid| crate::dn::is_attribute_type(oid))
        .ok_or_else(problem)?;
    let critical = match words.next() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(problem()),
    };
    if words.next().is_some() {
        return Err(problem());
    }
    Ok(Control {
        oid: oid.to_owned().into(),
        critical,
        value,
    })
}
