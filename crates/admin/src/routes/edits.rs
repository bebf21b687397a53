//! What edits of accounts and of groups have in common: which version is meant, how aliases are named, and that nothing is
//! accepted which a connector would undo.

use super::Admin;
use crate::ApiError;
use ldapsync::Field;
use model::Address;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use store::LocalId;

/// Tells null from what is left out.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Refuses a change that was thought out for another version of the object.
pub(super) fn in_version(address: &Address, now: u64, meant: Option<u64>) -> Result<(), ApiError> {
    match meant {
        Some(version) if version != now => Err(ApiError::Conflict(format!(
            "{address} has been changed meanwhile: it is in version {now} now"
        ))),
        _ => Ok(()),
    }
}

/// The aliases of an object after some go and some come.
pub(super) fn aliases_after(
    (address, own): (&Address, &[Address]),
    add: Vec<Address>,
    remove: &[Address],
) -> Result<Vec<Address>, ApiError> {
    let mut aliases = own.to_vec();
    for gone in remove {
        let Some(at) = aliases.iter().position(|alias| alias == gone) else {
            return Err(ApiError::NotFound(format!("{gone} is no alias of {address}")));
        };
        aliases.remove(at);
    }
    aliases.extend(add);
    Ok(aliases)
}

/// The connector whose directory alone decides this field of an object.
pub(super) fn decided_by(admin: &Admin, local: LocalId, field: Field) -> Result<Option<String>, ApiError> {
    for engine in &admin.sync {
        if engine.decided_there(local)?.contains(&field) {
            return Ok(Some(engine.name().to_owned()));
        }
    }
    Ok(None)
}

/// The answer to what is not refused, although the directory will undo it: with the connector that does.
pub(super) fn told_undone(mut answer: Value, undone_by: Option<String>) -> Value {
    if let (Some(connector), Some(row)) = (undone_by, answer.as_object_mut()) {
        row.insert("undone_by".to_owned(), Value::String(connector));
    }
    answer
}

/// Refuses an edit of what the directory alone decides: it would look like a success and be undone at the next look.
pub(super) fn refuse_undone(
    admin: &Admin,
    (local, address): (LocalId, &Address),
    fields: &[Field],
) -> Result<(), ApiError> {
    let what = match local {
        LocalId::Account(_) => "account",
        LocalId::Group(_) => "group",
    };
    for field in fields {
        if let Some(connector) = decided_by(admin, local, *field)? {
            return Err(ApiError::Conflict(format!(
                "the directory decides the {field} of {address} (connector {connector}, direction ldap-to-local), so an edit here would be undone. Change the entry, or make the {what} its own first: homing sync unlink {address}"
            )));
        }
    }
    Ok(())
}
