//! `PATCH /v1/accounts/{address}`: an administrator's edit of what people know an account by.

use super::accounts::{answer, find};
use super::{Admin, Body, Named, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use ldapsync::Field;
use model::{Address, ByteSize};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::sync::Arc;
use store::{Account, AccountChange, LocalId};

/// What is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The new address; mail stays, and the old one is free.
    #[serde(default)]
    address: Option<Address>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    display_name: Option<Option<String>>,
    /// Null is no limit.
    #[serde(default, deserialize_with = "given")]
    quota: Option<Option<ByteSize>>,
    #[serde(default)]
    add_aliases: Vec<Address>,
    #[serde(default)]
    remove_aliases: Vec<Address>,
    /// The `version` of the account that the change was thought out for: in any other one it is refused.
    #[serde(default)]
    version: Option<u64>,
}

/// Tells null from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<Change>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    if body.version.is_some_and(|version| version != account.version) {
        return Err(ApiError::Conflict(format!(
            "{} has been changed meanwhile: it is in version {} now",
            account.address, account.version
        )));
    }
    let (fields, change) = asked(&account, body)?;
    for field in fields {
        if let Some(connector) = decided_by(&admin, &account, field)? {
            return Err(ApiError::Conflict(format!(
                "the directory decides the {field} of {0} (connector {connector}, direction ldap-to-local), so an edit here would be undone. Change the entry, or make the account its own first: homing sync unlink {0}",
                account.address
            )));
        }
    }
    store
        .update_account(account.id, Some(account.version), change, &origin(caller))
        .await?;
    answer(store, account.id)
}

/// The connector whose directory alone decides this field of an account.
pub(super) fn decided_by(admin: &Admin, account: &Account, field: Field) -> Result<Option<String>, ApiError> {
    for engine in &admin.sync {
        let decided = engine.decided_there(LocalId::Account(account.id))?;
        if decided.contains(&field) {
            return Ok(Some(engine.name().to_owned()));
        }
    }
    Ok(None)
}

fn asked(account: &Account, body: Change) -> Result<(Vec<Field>, AccountChange), ApiError> {
    let mut fields = Vec::new();
    let mut change = AccountChange {
        // An empty name is none.
        display_name: body.display_name.map(|name| name.filter(|name| !name.is_empty())),
        quota: body.quota,
        ..AccountChange::default()
    };
    if !body.add_aliases.is_empty() || !body.remove_aliases.is_empty() {
        fields.push(Field::Aliases);
        let mut aliases = account.aliases.clone();
        for gone in &body.remove_aliases {
            let Some(at) = aliases.iter().position(|alias| alias == gone) else {
                let text = format!("{gone} is no alias of {}", account.address);
                return Err(ApiError::NotFound(text));
            };
            aliases.remove(at);
        }
        aliases.extend(body.add_aliases);
        change.aliases = Some(aliases);
    }
    fields.extend(change.display_name.as_ref().map(|_| Field::DisplayName));
    fields.extend(change.quota.map(|_| Field::Quota));
    if let Some(address) = body.address {
        fields.push(Field::Address);
        change.address = Some(address);
    }
    if fields.is_empty() {
        return Err(ApiError::BadRequest("nothing is to be changed".to_owned()));
    }
    Ok((fields, change))
}
