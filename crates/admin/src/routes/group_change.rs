//! `PATCH /v1/groups/{address}`: an administrator's edit of what people know a group by.

use super::edits::{aliases_after, given, in_version, refuse_undone};
use super::groups::{answer, find};
use super::{Admin, Body, Named, address, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use ldapsync::Field;
use model::Address;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use store::{Group, GroupChange, LocalId};

/// What is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The new address; the old one is free. Groups that it is a member of follow.
    #[serde(default)]
    address: Option<Address>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    display_name: Option<Option<String>>,
    #[serde(default)]
    add_aliases: Vec<Address>,
    #[serde(default)]
    remove_aliases: Vec<Address>,
    /// The `version` of the group that the change was thought out for: in any other one it is refused.
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
    let group = find(store, &address(&name)?)?;
    in_version(&group.address, group.version, body.version)?;
    let (fields, change) = asked(&group, body)?;
    refuse_undone(&admin, (LocalId::Group(group.id), &group.address), &fields)?;
    let changed = store
        .update_group(group.id, Some(group.version), change, &origin(caller))
        .await?;
    answer(store, &changed.address)
}

fn asked(group: &Group, body: Change) -> Result<(Vec<Field>, GroupChange), ApiError> {
    let mut fields = Vec::new();
    let mut change = GroupChange {
        // An empty name is none.
        display_name: body.display_name.map(|name| name.filter(|name| !name.is_empty())),
        ..GroupChange::default()
    };
    if !body.add_aliases.is_empty() || !body.remove_aliases.is_empty() {
        fields.push(Field::Aliases);
        let (named, own) = (&group.address, &group.aliases);
        change.aliases = Some(aliases_after(
            (named, own),
            body.add_aliases,
            &body.remove_aliases,
        )?);
    }
    fields.extend(change.display_name.as_ref().map(|_| Field::DisplayName));
    if let Some(address) = body.address {
        fields.push(Field::Address);
        change.address = Some(address);
    }
    if fields.is_empty() {
        return Err(ApiError::BadRequest("nothing is to be changed".to_owned()));
    }
    Ok((fields, change))
}
