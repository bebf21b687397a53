//! `/v1/groups`

use super::{Admin, Body, Named, address, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use model::Address;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Group, GroupChange, LocalId, Member, NewGroup, Store, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    address: Address,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    members: Vec<Address>,
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Create>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let mut new = NewGroup::new(body.address.clone());
    new.display_name = body.display_name;
    new.members = body.members.into_iter().map(Member::Local).collect();
    store.create_group(new, &origin(caller)).await?;
    answer(store, &body.address)
}

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_groups(after, 256)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for group in &page {
            rows.push(row(store, group)?);
        }
    }
    Ok(Json(Value::Array(rows)))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    answer(admin.store()?, &address(&name)?)
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let group = find(store, &address(&name)?)?;
    store.delete_group(group.id, &origin(caller)).await?;
    Ok(Json(json!({ "address": group.address })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddMember {
    member: Address,
}

pub(super) async fn add_member(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<AddMember>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let group = find(store, &address(&name)?)?;
    let mut members = group.members.clone();
    if members.iter().any(|member| *member.address() == body.member) {
        return Err(ApiError::Conflict(format!("{} is a member already", body.member)));
    }
    members.push(Member::Local(body.member));
    change_members(store, &group, members, caller).await
}

pub(super) async fn remove_member(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named((name, member)): Named<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let (group, member) = (find(store, &address(&name)?)?, address(&member)?);
    let members: Vec<Member> = group
        .members
        .iter()
        .filter(|known| *known.address() != member)
        .cloned()
        .collect();
    if members.len() == group.members.len() {
        return Err(ApiError::NotFound(format!(
            "{member} is no member of {}",
            group.address
        )));
    }
    change_members(store, &group, members, caller).await
}

/// On the version that was read, so that two administrators cannot undo each other's change unseen.
async fn change_members(
    store: &Store,
    group: &Group,
    members: Vec<Member>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let change = GroupChange {
        members: Some(members),
        ..GroupChange::default()
    };
    store
        .update_group(group.id, Some(group.version), change, &origin(caller))
        .await?;
    answer(store, &group.address)
}

fn find(store: &Store, address: &Address) -> Result<Arc<Group>, ApiError> {
    store
        .group_by_address(address)?
        .ok_or_else(|| ApiError::NotFound(format!("there is no group {address}")))
}

fn answer(store: &Store, address: &Address) -> Result<Json<Value>, ApiError> {
    Ok(Json(row(store, &*find(store, address)?)?))
}

fn row(store: &Store, group: &Group) -> Result<Value, StoreError> {
    let associations = store.associations_of(LocalId::Group(group.id))?;
    Ok(json!({
        "address": group.address,
        "aliases": group.aliases,
        "display_name": group.display_name,
        "enabled": group.enabled,
        "member_count": group.members.len(),
        "members": group.members.iter().map(Member::address).collect::<Vec<_>>(),
        "entry_uuid": associations.first().map(|association| association.remote),
        "connector": associations.first().map(|association| association.connector.clone()),
    }))
}
