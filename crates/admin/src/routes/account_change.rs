//! `PATCH /v1/accounts/{address}`: an administrator's edit of what people know an account by.

use super::accounts::{answer, find};
use super::edits::{aliases_after, given, in_version, refuse_undone};
use super::{Admin, Body, Named, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use ldapsync::Field;
use model::{Address, ByteSize};
use serde::Deserialize;
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

pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<Change>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    in_version(&account.address, account.version, body.version)?;
    let (fields, change) = asked(&account, body)?;
    let local = LocalId::Account(account.id);
    refuse_undone(&admin, (local, &account.address), &fields)?;
    store
        .update_account(account.id, Some(account.version), change, &origin(caller))
        .await?;
    answer(store, account.id)
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
        let (named, own) = (&account.address, &account.aliases);
        change.aliases = Some(aliases_after(
            (named, own),
            body.add_aliases,
            &body.remove_aliases,
        )?);
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
